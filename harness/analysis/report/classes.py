"""Average precision class by class: where the best setting gains over the smallest one."""

from collections.abc import Sequence

from harness.analysis.export import Cell, Column, Table
from harness.analysis.report.axes import Row
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group, Spread, extremes, has_result


def classes_table(report: Report) -> Table | None:
    """Return AP of each class for the best setting and, where sizes vary, for the smallest; None without any AP."""
    if not report.scored:
        return None
    best = report.scored[0]
    small = _smallest(report, best)
    found = _precisions(report.members[best.name])
    if not found:
        return None
    below = _precisions(report.members[small.name]) if small else {}
    columns = [Column(key="class", head="class"), Column(key="best", head=f"AP % {best.name or 'all'}", numeric=True)]
    if small:
        columns.append(Column(key="smallest", head=f"AP % {small.name}", numeric=True))
        columns.append(Column(key="gain", head="gain", numeric=True))
    rows = []
    for name in sorted(found):
        cells = [Cell(name), _cell(found[name])]
        if small:
            both = found[name], below.get(name, [])
            cells += [_cell(both[1]), _gain(*both)]
        rows.append(tuple(cells))
    return Table(
        name="classes",
        title="Classes",
        columns=tuple(columns),
        rows=tuple(rows),
        note="AP is averaged over the temporal IoU thresholds and over seeds"
        + ("; gain is the difference of the means" if small else ""),
    )


def _smallest(report: Report, best: Group) -> Group | None:
    ends = extremes(report.scored)
    if ends is None:
        return None
    return next((group for group in report.scored if group.values == ends[0] and group is not best), None)


def _precisions(rows: Sequence[Row]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if has_result(row):
            for name, value in dict(row["ap"] or {}).items():
                # A class without an action in the test set has no average precision.
                if value is not None and value == value:
                    found.setdefault(name, []).append(value)
    return found


def _cell(values: Sequence[float]) -> Cell:
    if not values:
        return Cell("", None)
    spread = Spread.of(values)
    return Cell(spread.in_percent(), 100 * spread.mean)


def _gain(best: Sequence[float], small: Sequence[float]) -> Cell:
    if not best or not small:
        return Cell("", None)
    points = 100 * (Spread.of(best).mean - Spread.of(small).mean)
    return Cell(f"{points:+.1f}", points)
