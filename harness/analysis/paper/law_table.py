"""What to spend a budget on, as a table: one line per budget of operations or of memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.amounts import count_text, memory_unit
from harness.analysis.decisions.allocation import Allocation
from harness.analysis.export import Cell, Column, Table
from harness.analysis.fits import Refused
from harness.analysis.fits.curve import FAR_REACH, WARN_REACH
from harness.analysis.paper.law import FRAMES, MEMORY, RESOLUTION, Law, cost_of, fit_law
from harness.analysis.summary import has_result

Row = Mapping[str, Any]
SHARES = (0.25, 0.5, 1.0, 2.0)
"""Budgets, as multiples of what the dearest trial cost."""
BACKBONE = "model.backbone.name"


def law_table(rows: Sequence[Row]) -> Table:
    """Return how budgets are best spent by the fitted law; without rows where there is none, the reason in the note."""
    law = fit_law(rows)
    lines = () if isinstance(law, Refused) else tuple(_lines(law, rows))
    names = () if isinstance(law, Refused) else law.surface.x_names
    columns = (
        Column(key="of", head="budget of"),
        Column(key="budget", head="budget", numeric=True),
        *(Column(key=name.replace(" ", "_"), head=_head(name), numeric=True) for name in names),
        Column(key="map", head="foretold mAP %", numeric=True),
        Column(key="run", head="best that was run within it"),
        Column(key="note", head="to know"),
    )
    note = law.reason if isinstance(law, Refused) else f"{law.in_words()}; {_reading(law)}"
    table = Table(name="paper-law", title="What to spend a budget on", columns=columns, rows=lines, note=note)
    return table.without_empty_columns() if lines else table


def size_text(name: str, size: float) -> str:
    """Return a size as it is said: pixels of a frame by their square root."""
    if name == "pixels":
        return f"{np.sqrt(size):.0f}²"
    return f"{size:,.0f}" if name == "frames" else count_text(float(f"{size:.3g}"))


def cost_text(cost: str, amount: float) -> str:
    """Return a cost with its unit."""
    if cost == MEMORY:
        unit = memory_unit([amount])
        return f"{unit.text(amount)} {unit.name}"
    return count_text(float(f"{amount:.3g}"))


def _lines(law: Law, rows: Sequence[Row]) -> Iterator[tuple[Cell, ...]]:
    for cost, known in law.costs.items():
        for share in SHARES:
            found = law.spend(cost, share)
            if found is not None and not isinstance(known, Refused):
                yield (
                    Cell(cost),
                    Cell(cost_text(cost, found.budget), found.budget),
                    *(_size(name, found) for name in law.surface.x_names),
                    _foretold(found),
                    Cell(_best_run(rows, cost, found.budget)),
                    Cell(_caution(found)),
                )


def _size(name: str, found: Allocation) -> Cell:
    size = found.sizes[name]
    text = size_text(name, size)
    if name in found.intervals:
        low, high = (size_text(name, end) for end in found.intervals[name])
        text += f" [{low}, {high}]"
    return Cell(text, size)


def _foretold(found: Allocation) -> Cell:
    score = 100 * (1 - found.y)
    if found.y_interval is None:
        return Cell(f"{score:.1f}", score)
    low, high = (100 * (1 - end) for end in reversed(found.y_interval))
    return Cell(f"{score:.1f} [{low:.1f}, {high:.1f}]", score)


def _best_run(rows: Sequence[Row], cost: str, budget: float) -> str:
    """Return the setting with the best mean among those that were run and cost no more."""
    members: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if has_result(row) and (cost_of(row, cost) or np.inf) <= budget:
            members.setdefault((row.get(BACKBONE), row[FRAMES], row[RESOLUTION]), []).append(row)
    means = {setting: float(np.mean([row["map_avg"] for row in each])) for setting, each in members.items()}
    if not means:
        return ""
    name, frames, side = max(means, key=lambda setting: means[setting])
    return f"{100 * means[name, frames, side]:.1f}: {f'{name}, ' if name else ''}{frames:,} frames of {side}²"


def _caution(found: Allocation) -> str:
    if found.at_limit:
        return f"the best lies farther: {' and '.join(found.at_limit)} at {FAR_REACH:g} times the measured range"
    return f"{' and '.join(found.far)} past {WARN_REACH:g} times the measured range" if found.far else ""


def _reading(law: Law) -> str:
    level = f"in brackets: {100 * law.surface.level:g} % intervals, the laws of costs taken as they are; "
    return (
        f"{'' if law.surface.interval_refused else level}sizes are searched up to {FAR_REACH:g} times past what was run"
    )


def _head(name: str) -> str:
    return "resolution" if name == "pixels" else name
