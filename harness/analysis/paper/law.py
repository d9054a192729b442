"""The joint law of pixels and parameters, as a table: what `scale_law` asks beyond the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.export import Cell, Column, Table
from harness.analysis.fits import Refused, Surface, fit_surface
from harness.analysis.summary import has_result

FRAMES, RESOLUTION = "data.window.frames", "data.window.resolution"
BUDGETS = (0.5, 1.0, 2.0)
"""Products of pixels and parameters that are split, as multiples of the largest that was run."""


def fit_law(rows: Sequence[Mapping[str, Any]]) -> Surface | Refused:
    """Fit the error over pixels of a window and parameters of the detector to single trials, or say why not."""
    scored = [row for row in rows if has_result(row) and row["params_total"]]
    if not scored:
        return Refused(reason="no surface: no trial has a result")
    return fit_surface(
        [_pixels(row) for row in scored],
        [float(row["params_total"]) for row in scored],
        [1 - row["map_avg"] for row in scored],
        seeds=[row["seed"] for row in scored],
        x_names=("pixels", "parameters"),
        y_name="error",
    )


def law_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return how budgets are best split by the fitted law; without rows where there is none, the reason in the note."""
    law = fit_law(rows)
    columns = tuple(
        Column(key=key, head=head, numeric=True)
        for key, head in (
            ("budget", "pixels times parameters"),
            ("pixels", "pixels of a window"),
            ("parameters", "parameters"),
            ("map", "foretold mAP %"),
        )
    )
    lines = () if isinstance(law, Refused) else tuple(_split(law, share) for share in BUDGETS)
    note = law.reason if isinstance(law, Refused) else law.in_words()
    return Table(name="paper-law", title="The best split of a budget", columns=columns, rows=lines, note=note)


def _split(law: Surface, share: float) -> tuple[Cell, ...]:
    budget = share * law.x_max[0] * law.x_max[1]
    pixels, parameters = law.allocate(budget)
    try:
        foretold = 100 * (1 - law.predict(pixels, parameters).item())
    except ValueError:
        # Too far past what was measured to say.
        foretold = None
    return (
        Cell(count_text(budget), budget),
        Cell(count_text(pixels), pixels),
        Cell(count_text(parameters), parameters),
        Cell("") if foretold is None else Cell(f"{foretold:.1f}", foretold),
    )


def _pixels(row: Mapping[str, Any]) -> float:
    return float(row[FRAMES] * row[RESOLUTION] ** 2)
