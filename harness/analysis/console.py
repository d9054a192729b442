"""The study's table on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.analysis.amounts import memory_unit
from harness.analysis.names import short_names, value_name
from harness.analysis.summary import Group

if TYPE_CHECKING:
    from rich.table import Table


def trial_table(groups: Sequence[Group], *, title: str = "") -> "Table":
    """Return a rich table with one line per setting: mAP, peak memory predicted and measured, seconds."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, caption=_caption(groups), title_justify="left", caption_justify="left")
    axes = list(groups[0].values) if groups else []
    unit = memory_unit(peak for group in groups for peak in (group.peak_bytes, group.predicted_peak_bytes))
    for name in short_names(axes).values():
        table.add_column(name, justify="right", no_wrap=True)
    for head in ("mAP %", f"peak {unit.name}\npredicted", f"peak {unit.name}\nmeasured", "seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    top = max((group.map_avg.mean for group in groups if group.map_avg), default=None)
    for group in groups:
        best = group.map_avg is not None and group.map_avg.mean == top
        cells = [
            *(value_name(axis, group.values[axis]) for axis in axes),
            group.map_avg.in_percent() if group.map_avg else _ends(group),
            unit.text(group.predicted_peak_bytes),
            unit.text(group.peak_bytes),
            "" if group.total_seconds is None else f"{group.total_seconds:,.1f}",
        ]
        # Text, not markup: a class or a backbone may be called [bold].
        table.add_row(*map(Text, cells), style="bold" if best else None)
    return table


def _caption(groups: Sequence[Group]) -> str | None:
    kinds = {group.map_avg.explained() for group in groups if group.map_avg}
    return "; ".join(sorted(kinds)) or None


def _ends(group: Group) -> str:
    return ", ".join(state.replace("_", " ") for state in sorted(group.states))
