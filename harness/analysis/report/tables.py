"""The report's tables, as values."""

from collections.abc import Mapping
from typing import Any

from harness.analysis.amounts import Unit, count_text, time_unit
from harness.analysis.decisions import ParetoPoint
from harness.analysis.export import Cell, Column, Table
from harness.analysis.names import short_names, value_name
from harness.analysis.report.axes import is_size
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group

EMPTY = Cell("", None)


def settings_table(report: Report) -> Table:
    """Return one row per setting: mAP with its spread, peaks, parameters, time."""
    groups, unit = report.groups, report.memory_unit
    clock = time_unit(group.total_seconds for group in groups)
    top = report.scored[0].map_avg.mean if report.scored and report.scored[0].map_avg else None
    front = {point.group.name: point for point in report.pareto}
    columns = (
        *axis_columns(report),
        Column(key="seeds", head="seeds", numeric=True),
        Column(key="map", head="mAP %", numeric=True),
        Column(key="peak", head=f"peak {unit.name}", numeric=True),
        Column(key="predicted", head=f"predicted {unit.name}", numeric=True),
        Column(key="params", head="parameters", numeric=True),
        Column(key="trained", head="trained", numeric=True),
        Column(key="step", head="s per step", numeric=True),
        Column(key="time", head=f"{clock.name} per trial", numeric=True),
        Column(key="front", head="on the front"),
        Column(key="beaten", head="probability beaten", numeric=True),
        Column(key="state", head="ended"),
    )
    rows = tuple(
        (
            *axis_cells(group.values),
            number(len(group.seeds), 0),
            _score(group, top if len(groups) > 1 else None),
            amount(group.peak_bytes, unit),
            amount(group.predicted_peak_bytes, unit),
            count(group.params_total),
            count(group.params_trainable),
            number(group.step_seconds, 3),
            amount(group.total_seconds, clock),
            *_place(front.get(group.name)),
            Cell(states(group.states)),
        )
        for group in groups
    )
    explained = sorted({group.map_avg.explained() for group in groups if group.map_avg})
    note = f"{'; '.join(explained)}; peaks are the largest over seeds, times their means" if explained else ""
    return Table(name="settings", title="Settings", columns=columns, rows=rows, note=note).without_empty_columns()


def trials_table(report: Report) -> Table:
    """Return one row per trial, its latest attempt."""
    unit = report.memory_unit
    clock = time_unit(row["total_seconds"] for row in report.rows)
    tious = sorted({tiou for row in report.rows for tiou in dict(row["map_at"] or {})}, key=float)
    columns = (
        *axis_columns(report),
        Column(key="seed", head="seed", numeric=True),
        Column(key="state", head="state"),
        Column(key="map", head="mAP %", numeric=True),
        *(Column(key=f"map@{tiou}", head=f"@{tiou}", numeric=True) for tiou in tious),
        Column(key="peak", head=f"peak {unit.name}", numeric=True),
        Column(key="predicted", head=f"predicted {unit.name}", numeric=True),
        Column(key="step", head="s per step", numeric=True),
        Column(key="time", head=clock.name, numeric=True),
        Column(key="attempt", head="attempt", numeric=True),
        Column(key="digest", head="digest"),
    )
    rows = tuple(
        (
            *axis_cells({path: row[path] for path in report.axes.paths}),
            number(row["seed"], 0),
            Cell(row["state"].replace("_", " ")),
            percent(row["map_avg"]),
            *(percent(dict(row["map_at"] or {}).get(tiou)) for tiou in tious),
            amount(row["peak_bytes"], unit),
            amount(row["predicted_peak_bytes"], unit),
            number(row["step_seconds"], 3),
            amount(row["total_seconds"], clock),
            number(row["attempt"], 0),
            Cell(row["digest"]),
        )
        for row in report.rows
    )
    note = "@0.5 is the mAP at a temporal IoU of 0.5; mAP % is the average over the thresholds" if tious else ""
    ids = tuple(row["digest"] for row in report.rows)
    table = Table(name="trials", title="Trials", columns=columns, rows=rows, note=note, ids=ids)
    return table.without_empty_columns()


def failures_table(report: Report) -> Table | None:
    """Return every attempt without a result and why, or None when there is none."""
    lost = [row for row in report.attempts if row["state"] not in ("finished", "stopped_early")]
    if not lost:
        return None
    unit = report.memory_unit
    later = {row["digest"]: row["state"] for row in report.rows}
    columns = (
        Column(key="trial", head="trial"),
        Column(key="state", head="ended"),
        Column(key="attempt", head="attempt", numeric=True),
        Column(key="error", head="why"),
        Column(key="predicted", head=f"predicted {unit.name}", numeric=True),
        Column(key="now", head="the trial now"),
    )
    rows = tuple(
        (
            Cell(row["trial"]),
            Cell(row["state"].replace("_", " ")),
            number(row["attempt"], 0),
            Cell(row["error"] or ""),
            amount(row["predicted_peak_bytes"], unit),
            Cell(later[row["digest"]].replace("_", " ")),
        )
        for row in lost
    )
    table = Table(name="failures", title="Trials without a result", columns=columns, rows=rows)
    return table.without_empty_columns()


def axis_columns(report: Report) -> tuple[Column, ...]:
    """Return a column for each axis."""
    numeric = {path: all(is_size(row[path]) for row in report.rows) for path in report.axes.paths}
    return tuple(
        Column(key=name.replace(" ", "_"), head=name, numeric=numeric[path])
        for path, name in short_names(report.axes.paths).items()
    )


def axis_cells(values: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of a setting's values."""
    return tuple(Cell(value_name(path, value), value if is_size(value) else None) for path, value in values.items())


def number(value: float | None, digits: int) -> Cell:
    """Return a number with that many digits behind the point."""
    return EMPTY if value is None else Cell(f"{value:,.{digits}f}", value)


def percent(share: float | None) -> Cell:
    """Return a share of one in percent."""
    return EMPTY if share is None else Cell(f"{100 * share:.1f}", 100 * share)


def amount(value: float | None, unit: Unit, digits: int = 1) -> Cell:
    """Return an amount in a unit, which it is also sorted and filtered by."""
    return EMPTY if value is None else Cell(unit.text(value, digits), value / unit.factor)


def count(value: int | None) -> Cell:
    """Return a large count as it is said."""
    return EMPTY if value is None else Cell(count_text(value), value)


def states(counts: Mapping[str, int]) -> str:
    """Return how the trials of a setting ended: `finished`, or `2 finished, 1 out of memory`."""
    names = {state.replace("_", " "): times for state, times in counts.items()}
    if len(names) == 1:
        return next(iter(names))
    return ", ".join(f"{times} {state}" for state, times in sorted(names.items()))


def _score(group: Group, top: float | None) -> Cell:
    if group.map_avg is None:
        return EMPTY
    mean = group.map_avg.mean
    return Cell(group.map_avg.in_percent(), 100 * mean, best=mean == top)


def _place(point: ParetoPoint | None) -> tuple[Cell, Cell]:
    if point is None:
        return EMPTY, EMPTY
    return Cell("yes" if point.on_front else "no"), number(point.probability_dominated, 2)
