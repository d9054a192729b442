"""Everything a report is about, read once: rows, settings, fits, learning curves, and what could not be read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypedDict

import pyarrow as pa

from harness.analysis.amounts import Unit, memory_unit
from harness.analysis.decisions import ParetoPoint
from harness.analysis.names import setting_name
from harness.analysis.report.axes import Axes, Row, choose_by, choose_x, find_axes
from harness.analysis.report.lines import Fits, fit_groups
from harness.analysis.report.pareto import against_front
from harness.analysis.summary import Group, has_result, settings, summarise
from harness.tables import Location, Skipped, latest, read_curves, read_trials

MOST_POINTS = 80_000
"""Measurements of learning curves that a report holds, over all trials: about a megabyte."""

ATTEMPT = ("study", "digest", "attempt")
"""What names an attempt."""


class Curve(TypedDict):
    """One measurement of a trial while it was trained."""

    per: Literal["epoch", "step"]
    x: list[float]
    y: list[float]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One study, ready to be shown."""

    study: str
    title: str
    rows: tuple[Row, ...]
    """The latest attempt of every trial."""
    attempts: tuple[Row, ...]
    """Every attempt."""
    axes: Axes
    x: str | None
    """Config path on the horizontal axis; None when nothing varies."""
    by: str | None
    """Config path that colours tell apart."""
    curves: Mapping[str, Mapping[str, Curve]]
    """By digest, then by what is measured."""
    skipped: tuple[Skipped, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """One group per setting."""
        return summarise(self.rows, self.axes.paths)

    @cached_property
    def scored(self) -> tuple[Group, ...]:
        """The settings with a result, the best first."""
        return tuple(sorted((g for g in self.groups if g.map_avg), key=lambda g: -g.map_avg.mean if g.map_avg else 0))

    @cached_property
    def members(self) -> Mapping[str, Sequence[Row]]:
        """The rows of each setting, by its name."""
        found = settings(self.rows, self.axes.paths)
        return {
            setting_name(dict(zip(self.axes.paths, point, strict=True))): tuple(rows) for point, rows in found.items()
        }

    @cached_property
    def setting_of(self) -> Mapping[str, str]:
        """The name of each trial's setting, by digest."""
        return {row["digest"]: name for name, rows in self.members.items() for row in rows}

    @cached_property
    def fits(self) -> Fits:
        """The error of each line against `x`; empty when `x` is no size or there are too many lines."""
        return fit_groups(self.groups, self.x)

    @cached_property
    def pareto(self) -> tuple[ParetoPoint, ...]:
        """The settings with a result and a peak, the cheapest first, and whether another beats them."""
        return against_front(self.scored)

    @cached_property
    def memory_unit(self) -> Unit:
        """The unit of every amount of memory in the report."""
        return memory_unit(row[name] for row in self.rows for name in ("peak_bytes", "predicted_peak_bytes"))


def gather(
    folder: Location, *, title: str | None = None, x: str | None = None, by: str | None = None
) -> tuple[Report, ...]:
    """Read the tables of a folder and return a report for each study that has rows there.

    Args:
        folder: A study's folder, or where tables are kept elsewhere: `s3://bucket/study`.
        title: In place of the study's name.
        x: Config path of the horizontal axis; chosen from what varies when None.
        by: Config path that colours tell apart; likewise.

    Raises:
        ValueError: there are no rows, or `x` or `by` is no config path of the rows.
    """
    loaded = read_trials(folder)
    if not len(loaded.table):
        raise ValueError(f"{folder} holds no results, expected *.parquet files of a study")
    measured = read_curves(folder)
    curves = _curves(measured.table)
    skipped = (*loaded.skipped, *measured.skipped)
    attempts = loaded.table.to_pylist()
    rows = {(row["study"], row["digest"], row["attempt"]): row for row in attempts}
    newest = latest(loaded.table)
    current = [rows[key] for key in zip(*(newest[name].to_pylist() for name in ATTEMPT), strict=True)]
    return tuple(
        _report(
            study,
            title or study,
            tuple(row for row in current if row["study"] == study),
            tuple(row for row in attempts if row["study"] == study),
            (x, by),
            curves,
            skipped,
        )
        for study in sorted({row["study"] for row in current})
    )


def _report(
    study: str,
    title: str,
    rows: tuple[Row, ...],
    attempts: tuple[Row, ...],
    wanted: tuple[str | None, str | None],
    curves: Mapping[str, Mapping[str, Curve]],
    skipped: tuple[Skipped, ...],
) -> Report:
    for path in wanted:
        if path is not None and ("." not in path or path not in rows[0]):
            raise ValueError(f"{path} is no config path of {study}, expected one such as data.window.frames")
    axes = _with_paths(find_axes(rows), [path for path in wanted if path])
    x = wanted[0] or choose_x(rows, axes.paths)
    by = wanted[1] or choose_by(rows, axes.paths, x)
    digests = {row["digest"] for row in rows}
    return Report(
        study=study,
        title=title,
        rows=_in_order(rows, axes.paths),
        attempts=attempts,
        axes=axes,
        x=x,
        by=by,
        curves={digest: curve for digest, curve in curves.items() if digest in digests},
        skipped=skipped,
    )


def _with_paths(axes: Axes, wanted: Sequence[str]) -> Axes:
    more = tuple(path for path in dict.fromkeys(wanted) if path not in axes.paths)
    # A path that was asked for takes the place of the one it varies with.
    paths = tuple(path for path in axes.paths if path not in {axes.tied.get(asked) for asked in more})
    return Axes((*paths, *more), {path: to for path, to in axes.tied.items() if path not in more})


def _in_order(rows: Iterable[Row], paths: Sequence[str]) -> tuple[Row, ...]:
    """Order trials by mAP, the best first, then those without one by setting and seed."""
    ordered = [row for members in settings(rows, paths).values() for row in sorted(members, key=lambda r: r["seed"])]
    return tuple(sorted(ordered, key=lambda row: -row["map_avg"] if has_result(row) else 1.0))


def _curves(table: pa.Table) -> dict[str, dict[str, Curve]]:
    """Return the learning curves of each trial, thinned so that all of them fit into one page."""
    measured: dict[tuple[str, str], dict[tuple[bool, float], tuple[int, float]]] = {}
    columns = [table[name].to_pylist() for name in ("digest", "name", "attempt", "epoch", "step", "value")]
    for digest, name, attempt, epoch, step, value in zip(*columns, strict=True):
        place = (step is not None, epoch if step is None else step)
        known = measured.setdefault((digest, name), {})
        # A resumed attempt goes on where the one before ended; what both measured counts as the later one saw it.
        if place[1] is not None and value is not None and (place not in known or known[place][0] <= attempt):
            known[place] = (attempt, value)
    room = max(MOST_POINTS // max(len(measured), 1), 8)
    found: dict[str, dict[str, Curve]] = {}
    for (digest, name), points in measured.items():
        by_step = any(stepped for stepped, _ in points)
        values = {place: value for (stepped, place), (_, value) in points.items() if stepped == by_step}
        places = thinned(sorted(values), room)
        heights = [float(f"{values[place]:.5g}") for place in places]
        found.setdefault(digest, {})[name] = Curve(per="step" if by_step else "epoch", x=places, y=heights)
    return found


def thinned(places: Sequence[float], room: int) -> list[float]:
    """Return at most `room` of the places, evenly spaced, the first and the last among them."""
    if len(places) <= room:
        return list(places)
    last = len(places) - 1
    return [places[round(index * last / (room - 1))] for index in range(room)]
