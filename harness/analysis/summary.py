"""Means over seeds, with an honest word on their spread, and paired comparisons of two settings."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from harness.analysis.names import setting_name

Rows = pa.Table | Iterable[Mapping[str, Any]]
"""Rows of the trials table, one per trial (`harness.tables.latest`)."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over repeats and how far they lie apart."""

    mean: float
    spread: float | None
    """None for a single repeat."""
    kind: Literal["none", "half_range", "std"]
    """Half of the range for two repeats, where a standard deviation means nothing; sample std from three on."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return mean and spread of at least one value."""
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return cls(mean=mean, spread=None, kind="none", n=1)
        if len(values) == 2:
            return cls(mean=mean, spread=abs(values[0] - values[1]) / 2, kind="half_range", n=2)
        variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return cls(mean=mean, spread=math.sqrt(variance), kind="std", n=len(values))

    def in_percent(self) -> str:
        """Return `43.2 ± 1.1`, in points of a hundred."""
        return f"{100 * self.mean:.1f}" + ("" if self.spread is None else f" ± {100 * self.spread:.1f}")

    def explained(self) -> str:
        """Return what the number after ± is."""
        return {
            "none": "one seed, so no spread",
            "half_range": "± half the range of 2 seeds",
            "std": f"± standard deviation of {self.n} seeds",
        }[self.kind]


@dataclass(frozen=True, kw_only=True)
class Group:
    """One setting of a study: all of its seeds."""

    values: dict[str, Any]
    """Config path to value, for the axes."""
    seeds: tuple[int, ...]
    """Seeds whose trial has a result, ascending."""
    maps: tuple[float, ...]
    """Their mAP, 0 to 1."""
    map_avg: Spread | None
    """None when no seed has a result yet."""
    peak_bytes: int | None
    """Largest measured peak of the seeds."""
    predicted_peak_bytes: int | None
    step_seconds: float | None
    total_seconds: float | None
    """Means over seeds."""
    params_total: int | None
    params_trainable: int | None
    states: dict[str, int]
    """How many trials of the setting ended how."""

    @property
    def name(self) -> str:
        """Return the setting in words."""
        return setting_name(self.values)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two settings, seed by seed."""

    small: dict[str, Any]
    large: dict[str, Any]
    difference: Spread
    """mAP of `large` minus mAP of `small` over the seeds that both have."""
    wins: int
    """Seeds for which `large` is better."""

    def in_words(self) -> str:
        """Return the comparison as a sentence, in points of mAP."""
        points, n = self.difference, self.difference.n
        verb = "beats" if points.mean > 0 else "does not beat"
        by = f" by {points.in_percent()}" if points.mean > 0 else f" (difference {points.in_percent()})"
        return (
            f"{setting_name(self.large)} {verb} {setting_name(self.small)}{by} points of mAP "
            f"({points.explained()}; better for {self.wins} of {n})"
        )


def summarise(rows: Rows, axes: Sequence[str]) -> tuple[Group, ...]:
    """Return one group per combination of the axes' values, in ascending order (None first, then numbers, then text).

    Only trials that finished count for mAP; peak memory is taken wherever it was measured.
    """
    return tuple(
        _group(dict(zip(axes, point, strict=True)), members) for point, members in settings(rows, axes).items()
    )


def varying(rows: Rows, paths: Iterable[str], kept: Sequence[str] = ()) -> list[str]:
    """Return the config paths whose values differ between rows, and the kept ones.

    What is paired with an axis, as a learning rate with the backbone, may have the same value for all of them; a word
    about it in every legend says nothing.
    """
    listed = _listed(rows)
    return [path for path in paths if path in kept or len({_hashable(row[path]) for row in listed}) > 1]


def settings(rows: Rows, axes: Sequence[str]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Return the rows of each combination of the axes' values, in the order of `summarise`."""
    members: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in _listed(rows):
        members.setdefault(tuple(_hashable(row[axis]) for axis in axes), []).append(row)
    return dict(sorted(members.items(), key=lambda item: [_sortable(value) for value in item[0]]))


def lines(groups: Sequence[Group], x: str) -> dict[str, tuple[Group, ...]]:
    """Return the groups that differ in `x` only, by what the others have in common in words (`64² px`)."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        others = {axis: value for axis, value in group.values.items() if axis != x}
        found.setdefault(setting_name(others) or "all trials", []).append(group)
    return {name: tuple(members) for name, members in found.items()}


def compare(rows: Rows, small: Mapping[str, Any], large: Mapping[str, Any]) -> Comparison | None:
    """Return how `large` differs from `small` over the seeds that both have; None when they share none."""
    rows = _listed(rows)
    first, second = (
        {row["seed"]: row["map_avg"] for row in rows if has_result(row) and _is_at(row, at)} for at in (small, large)
    )
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    differences = [second[seed] - first[seed] for seed in shared]
    wins = sum(difference > 0 for difference in differences)
    return Comparison(small=dict(small), large=dict(large), difference=Spread.of(differences), wins=wins)


def extremes(groups: Sequence[Group]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the settings with the smallest and the largest value on every numeric axis, the others as they come first.

    None when no axis has two numeric values.
    """
    if not groups:
        return None
    small, large = dict(groups[0].values), dict(groups[0].values)
    differ = False
    for axis in groups[0].values:
        values = {group.values[axis] for group in groups}
        if len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            small[axis], large[axis], differ = min(values), max(values), True
    return (small, large) if differ else None


def has_result(row: Mapping[str, Any]) -> bool:
    """Return whether a row's mAP counts: the trial finished. One that was stopped early has had fewer epochs."""
    return row["state"] == "finished" and row.get("map_avg") is not None


def _group(values: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> Group:
    scored = sorted((row for row in rows if has_result(row)), key=lambda row: row["seed"])
    maps = tuple(row["map_avg"] for row in scored)

    def known(name: str) -> list[Any]:
        return [row[name] for row in rows if row.get(name) is not None]

    def mean(name: str) -> float | None:
        numbers = [row[name] for row in scored if row.get(name) is not None]
        return math.fsum(numbers) / len(numbers) if numbers else None

    return Group(
        values=values,
        seeds=tuple(row["seed"] for row in scored),
        maps=maps,
        map_avg=Spread.of(maps) if maps else None,
        peak_bytes=max(known("peak_bytes"), default=None),
        predicted_peak_bytes=max(known("predicted_peak_bytes"), default=None),
        step_seconds=mean("step_seconds"),
        total_seconds=mean("total_seconds"),
        params_total=max(known("params_total"), default=None),
        params_trainable=max(known("params_trainable"), default=None),
        states=dict(Counter(row["state"] for row in rows)),
    )


def _listed(rows: Rows) -> list[Mapping[str, Any]]:
    return rows.to_pylist() if isinstance(rows, pa.Table) else list(rows)  # type: ignore[attr-defined]


def _is_at(row: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(_hashable(row[axis]) == value for axis, value in values.items())


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _sortable(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, bool | int | float) else (2, str(value))
