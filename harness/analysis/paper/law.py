"""The joint law of frames, pixels and parameters, and what to spend a budget on: what `scale_law` asks.

    trials -> error = E + A / frames^a + B / pixels^b + C / parameters^c      (or over pixels of a window, parameters)
           -> operations and peak memory as sums of products of the sizes
           -> for each budget the sizes of the least error, with intervals

Pixels are those of a frame. Parameters are those of the frozen backbone, of the whole detector where nothing is frozen:
the head is the same in every trial, and would hide how much larger one backbone is than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.analysis.decisions.allocation import Allocation, allocate
from harness.analysis.fits import Refused, Surface, fit_sizes
from harness.analysis.fits.cost import CostLaw, Term, fit_cost
from harness.analysis.summary import has_result

Row = Mapping[str, Any]
FRAMES, RESOLUTION = "data.window.frames", "data.window.resolution"
THREE, TWO = ("frames", "pixels", "parameters"), ("pixels of a window", "parameters")
TERMS: Mapping[tuple[str, ...], Sequence[Term]] = {
    THREE: ((1, 1, 1), (0, 0, 1), (1, 1, 0), (1, 2, 1)),
    TWO: ((1, 1), (0, 1), (1, 0)),
}
"""Products that cost: matrices over all tokens, weights, embeddings and activations, attention within a clip."""
OPERATIONS, MEMORY = "operations of a step", "peak memory"
COSTS = (OPERATIONS, MEMORY)


@dataclass(frozen=True, kw_only=True)
class Law:
    """A fitted law of the error with laws of what its sizes cost."""

    surface: Surface
    instead_of: str | None
    """Why it is not a law of three sizes; None where it is."""
    costs: Mapping[str, CostLaw | Refused]
    """By what it is that they foretell, `COSTS`."""

    def spend(self, cost: str, share: float) -> Allocation | None:
        """Return the best use of a share of what the dearest trial cost; None where it buys nothing or is unknown."""
        known = self.costs[cost]
        return None if isinstance(known, Refused) else allocate(self.surface, known, share * known.largest)

    def in_words(self) -> str:
        """Return the laws as sentences, and why any is missing."""
        said = [self.surface.in_words(), *(cost.in_words() for cost in self.costs.values())]
        first = [f"{self.instead_of}, so frames and pixels count together"] if self.instead_of else []
        return "; ".join([*first, *said])


def fit_law(rows: Sequence[Row]) -> Law | Refused:
    """Fit the error over frames, pixels and parameters to single trials.

    Where the trials do not tell three exponents apart the law is over pixels of a window and parameters, and where they
    do not tell those either it is refused.
    """
    scored = [row for row in rows if has_result(row) and row.get("params_total")]
    if not scored:
        return Refused(reason="no surface: no trial has a result")
    three = _surface(scored, THREE)
    if isinstance(three, Surface) and not three.untold:
        return Law(surface=three, instead_of=None, costs=_costs(scored, THREE))
    two = _surface(scored, TWO)
    if isinstance(two, Surface) and not two.untold:
        return Law(surface=two, instead_of=_why(three, scored), costs=_costs(scored, TWO))
    return Refused(reason="; ".join(dict.fromkeys([_why(three, scored), _why(two, scored)])))


def sizes_of(row: Row, names: Sequence[str]) -> tuple[float, ...]:
    """Return a trial's sizes: those of `THREE` or `TWO`."""
    frames, pixels, parameters = float(row[FRAMES]), float(row[RESOLUTION]) ** 2, _parameters(row)
    return (frames, pixels, parameters) if names == THREE else (frames * pixels, parameters)


def cost_of(row: Row, cost: str) -> float | None:
    """Return what a trial cost, measured where it was, else predicted; None where it is not known."""
    if cost == OPERATIONS:
        return row.get("flops")
    return row.get("peak_bytes") or row.get("predicted_peak_bytes")


def _surface(rows: Sequence[Row], names: tuple[str, ...]) -> Surface | Refused:
    columns = zip(*(sizes_of(row, names) for row in rows), strict=True)
    return fit_sizes(
        {name: list(column) for name, column in zip(names, columns, strict=True)},
        [1 - row["map_avg"] for row in rows],
        # Settings may have the same pixels of a window, and then a seed comes twice.
        seeds=[row["seed"] for row in rows] if names == THREE else None,
        y_name="error",
    )


def _costs(rows: Sequence[Row], names: tuple[str, ...]) -> dict[str, CostLaw | Refused]:
    found: dict[str, CostLaw | Refused] = {}
    for cost in COSTS:
        known = [row for row in rows if cost_of(row, cost)]
        if not known:
            found[cost] = Refused(reason=f"no law of {cost}: no row holds any")
            continue
        columns = zip(*(sizes_of(row, names) for row in known), strict=True)
        sizes = {name: list(column) for name, column in zip(names, columns, strict=True)}
        found[cost] = fit_cost(cost, sizes, [cost_of(row, cost) or 0.0 for row in known], TERMS[names])
    return found


def _why(fit: Surface | Refused, rows: Sequence[Row]) -> str:
    """Return why a law is not given; of what is not told, what the error does from the smallest to the largest."""
    if isinstance(fit, Refused):
        return fit.reason
    untold = [_untold(fit, name, rows) for name in fit.untold]
    return f"no surface over {', '.join(fit.x_names)}: the trials do not tell every exponent; {'; '.join(untold)}"


def _untold(fit: Surface, name: str, rows: Sequence[Row]) -> str:
    low, high = fit.exponent_of(name)
    place = fit.x_names.index(name)
    sizes = [sizes_of(row, fit.x_names)[place] for row in rows]
    means = [
        fmean(1 - row["map_avg"] for row, size in zip(rows, sizes, strict=True) if size == end)
        for end in (min(sizes), max(sizes))
    ]
    return (
        f"that of {name} lies anywhere from {low:.2g} to {high:.2g}, the mean error going from {means[0]:.3f} at the "
        f"smallest to {means[1]:.3f} at the largest"
    )


def _parameters(row: Row) -> float:
    frozen = row["params_total"] - (row.get("params_trainable") or 0)
    return float(frozen or row["params_total"])
