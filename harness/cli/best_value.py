"""Values that another study found best: `--set training.adapter_lr=best:tune_learning_rate`.

rows of that study --same data set, same backbone--> settings --most values tried--> mean mAP per value --> the best one
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from harness.cli.arguments import UserError
from harness.config import parse_value, with_values
from harness.study import Axis, Grid, axis_paths
from harness.tables.query import best, load
from harness.tables.schema import CONFIG
from harness.tables.storage import Location, place_of

MARK = "best:"
BACKBONE = "model.backbone"

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best of the values that a study tried."""

    value: Any
    map_avg: float
    """Mean over its seeds."""
    tried: tuple[Any, ...]
    """Every value, in ascending order."""

    def in_words(self) -> str:
        """Return the value with what it was compared with, and a warning where it is an end of the range."""
        end = (
            "; it is an end of that range"
            if len(self.tried) > 1 and self.value in self.tried[:: len(self.tried) - 1]
            else ""
        )
        return f"{self.value:g}, {100 * self.map_avg:.1f} % mAP, best of {', '.join(f'{v:g}' for v in self.tried)}{end}"


def with_best(grid: Grid, path: str, study: str, tables: Location, data: str) -> tuple[Grid, list[str]]:
    """Return the grid with a setting at the value that a study found best for each backbone, and lines that say which.

    Args:
        grid: what is to be run.
        path: a numeric setting, such as `training.adapter_lr`.
        study: the name of the other study.
        tables: where its tables are.
        data: only trials on this data set count.

    Raises:
        ValueError: there is no such setting, or no finished trial that says what is best.
    """
    parse_value(grid.base, path, "1")  # a number, or it says what is wrong
    rows = best(load(tables)).to_pylist() if place_of(tables).is_folder else []
    rows = [row for row in rows if row["data.name"] == data]
    chosen: dict[str, Found] = {}

    def value(backbone: str) -> Any:
        found = chosen[backbone] = chosen.get(backbone) or _best(rows, path, study, tables, backbone, data)
        return found.value

    changed = _changed(grid, path, value)
    return changed, [f"{path} with {name}: {found.in_words()} ({study})" for name, found in chosen.items()]


def _changed(grid: Grid, path: str, value: Any) -> Grid:
    axes: dict[Axis, Sequence[Any]] = {}
    placed = False
    for axis, values in grid.axes.items():
        paths = axis_paths(axis)
        if BACKBONE in paths:
            points = [dict(zip(paths, point if isinstance(axis, tuple) else (point,), strict=True)) for point in values]
            points = [{**point, path: value(point[BACKBONE].name)} for point in points]
            axes[tuple(points[0])] = tuple(tuple(point.values()) for point in points)
            placed = True
        elif path == axis:
            continue  # one value instead of those listed
        elif path in paths:
            others = ", ".join(other for other in paths if other != path)
            raise UserError(f"{path} changes together with {others} here and cannot be set alone")
        else:
            axes[axis] = values
    base = grid.base if placed else with_values(grid.base, {path: value(grid.base.model.backbone.name)})
    return replace(grid, base=base, axes=axes)


def _best(rows: Sequence[Row], path: str, study: str, tables: Location, backbone: str, data: str) -> Found:
    """Return the best value with a backbone; only trials that differ in nothing but it and the seed are compared."""
    settings: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    for row in rows:
        if row["model.backbone.name"] == backbone and row.get(path) is not None and row["map_avg"] is not None:
            setting = tuple(str(row.get(column.name)) for column in CONFIG if column.name != path)
            settings.setdefault(setting, {}).setdefault(row[path], []).append(row["map_avg"])
    if not settings:
        raise UserError(
            f"--set {path}={MARK}{study}, but {place_of(tables)} has no finished trial with {backbone} on {data}; "
            f"expected some, studies/{study}.py runs them"
        )
    # Of several settings the one with most values says most; the rows are in the order in which they ended.
    scores = max(reversed(settings.values()), key=len)
    means = {value: fmean(scores[value]) for value in sorted(scores)}
    chosen = max(means, key=lambda value: means[value])
    return Found(value=chosen, map_avg=means[chosen], tried=tuple(means))
