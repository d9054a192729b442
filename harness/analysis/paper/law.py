"""The joint law of frames, pixels and parameters, and what to spend a budget on: what `scale_law` asks.

    trials -> error = E + A / frames^a + B / pixels^b + C / parameters^c      (or over pixels of a window, parameters)
           -> operations and peak memory as sums of products of the sizes
           -> for each budget the sizes of the least error, with intervals

Pixels are those of a frame. Parameters are those of the frozen backbone, of the whole detector where nothing is frozen:
the head is the same in every trial, and would hide how much larger one backbone is than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from harness.analysis.decisions.allocation import Allocation, allocate
from harness.analysis.fits import Refused, Surface, fit_sizes
from harness.analysis.fits.cost import CostLaw, Term, fit_cost
from harness.analysis.summary import has_result

Row = Mapping[str, Any]
Names = tuple[str, ...]
LAW_STUDY = "scale_law"
FRAMES, RESOLUTION = "data.window.frames", "data.window.resolution"
THREE, TWO = ("frames", "pixels", "parameters"), ("pixels of a window", "parameters")
TERMS: Mapping[Names, Sequence[Term]] = {
    THREE: ((1, 1, 1), (0, 0, 1), (1, 1, 0), (1, 2, 1)),
    TWO: ((1, 1), (0, 1), (1, 0)),
}
"""Products that cost: matrices over all tokens, weights, embeddings and activations, attention within a clip."""
OPERATIONS, MEMORY = "operations of a step", "peak memory"
COSTS = (OPERATIONS, MEMORY)
NUM_BUDGETS, DEAREST = 8, 2.0
"""Budgets of a picture, and the largest of them over the dearest trial's cost."""


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

    @cached_property
    def paths(self) -> Mapping[str, Sequence[Allocation]]:
        """The best uses of budgets from what the cheapest trial cost to twice what the dearest did, by kind of cost."""
        found: dict[str, Sequence[Allocation]] = {}
        for name, cost in self.costs.items():
            if not isinstance(cost, Refused):
                shares = np.geomspace(cost.smallest / cost.largest, DEAREST, NUM_BUDGETS).tolist()
                found[name] = [spent for share in shares if (spent := self.spend(name, share)) is not None]
        return found

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
    return _fit_trials(tuple(_Trial.of(row) for row in scored))


class _Trial(NamedTuple):
    """What a law takes of a row."""

    frames: float
    pixels: float
    parameters: float
    error: float
    seed: int
    costs: tuple[float | None, ...]

    @classmethod
    def of(cls, row: Row) -> "_Trial":
        frames, pixels, parameters = sizes_of(row)
        costs = tuple(cost_of(row, cost) for cost in COSTS)
        return cls(frames, pixels, parameters, 1 - row["map_avg"], row["seed"], costs)

    def sizes(self, names: Names) -> tuple[float, ...]:
        return self[:3] if names == THREE else (self.frames * self.pixels, self.parameters)


@lru_cache(maxsize=4)
def _fit_trials(trials: tuple[_Trial, ...]) -> Law | Refused:
    """Fit once for the table, the pictures and the page of a report."""
    three = _surface(trials, THREE)
    if isinstance(three, Surface) and not three.untold:
        return Law(surface=three, instead_of=None, costs=_costs(trials, THREE))
    two = _surface(trials, TWO)
    if isinstance(two, Surface) and not two.untold:
        return Law(surface=two, instead_of=_why(three, trials), costs=_costs(trials, TWO))
    return Refused(reason="; ".join(dict.fromkeys([_why(three, trials), _why(two, trials)])))


def sizes_of(row: Row) -> tuple[float, float, float]:
    """Return a trial's frames, pixels of a frame and parameters."""
    frozen = row["params_total"] - (row.get("params_trainable") or 0)
    return float(row[FRAMES]), float(row[RESOLUTION]) ** 2, float(frozen or row["params_total"])


def cost_of(row: Row, cost: str) -> float | None:
    """Return what a trial cost, measured where it was, else predicted; None where it is not known."""
    if cost == OPERATIONS:
        return row.get("flops")
    return row.get("peak_bytes") or row.get("predicted_peak_bytes")


def _surface(trials: Sequence[_Trial], names: Names) -> Surface | Refused:
    return fit_sizes(
        _columns(trials, names),
        [trial.error for trial in trials],
        # Settings may have the same pixels of a window, and then a seed comes twice.
        seeds=[trial.seed for trial in trials] if names == THREE else None,
        y_name="error",
    )


def _columns(trials: Sequence[_Trial], names: Names) -> dict[str, list[float]]:
    columns = zip(*(trial.sizes(names) for trial in trials), strict=True)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _costs(trials: Sequence[_Trial], names: Names) -> dict[str, CostLaw | Refused]:
    found: dict[str, CostLaw | Refused] = {}
    for place, cost in enumerate(COSTS):
        known = [trial for trial in trials if trial.costs[place]]
        amounts = [trial.costs[place] or 0.0 for trial in known]
        found[cost] = (
            fit_cost(cost, _columns(known, names), amounts, TERMS[names])
            if known
            else Refused(reason=f"no law of {cost}: no row holds any")
        )
    return found


def _why(fit: Surface | Refused, trials: Sequence[_Trial]) -> str:
    """Return why a law is not given; of what is not told, what the error does from the smallest to the largest."""
    if isinstance(fit, Refused):
        return fit.reason
    untold = [_untold(fit, name, trials) for name in fit.untold]
    return f"no surface over {', '.join(fit.x_names)}: the trials do not tell every exponent; {'; '.join(untold)}"


def _untold(fit: Surface, name: str, trials: Sequence[_Trial]) -> str:
    low, high = fit.exponent_of(name)
    names = THREE if fit.x_names == THREE else TWO
    sizes = _columns(trials, names)[name]
    means = [
        fmean(trial.error for trial, size in zip(trials, sizes, strict=True) if size == end)
        for end in (min(sizes), max(sizes))
    ]
    return (
        f"that of {name} lies anywhere from {low:.2g} to {high:.2g}, the mean error going from {means[0]:.3f} at the "
        f"smallest to {means[1]:.3f} at the largest"
    )
