"""From the columns of a table to the points of lines: what `tadscale fit` fits.

A table is a study's results (then mAP over what the study scaled, seeds and lines are known without being told) or any
other with a column for x and one for y.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from harness.analysis.names import setting_name, short_name
from harness.analysis.report.axes import choose_x, find_axes, hashable
from harness.tables import best
from harness.tables.aliases import short_names

RESULTS_COLUMNS = frozenset({"study", "digest", "attempt", "state", "map_avg"})
"""What tells a results table from others."""
SCORE, SEED = "map_avg", "seed"
EVERYTHING = "all trials"
"""Name of the line where there is one."""
OF_MAP = re.compile(r"(?P<column>[^\[]+)\[(?P<key>.+)\]")
"""`map_at[0.5]`: one entry of a column of maps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """Trials that share a curve."""

    name: str
    """What they have in common, in words."""
    sizes: tuple[Float[np.ndarray, " trials"], ...]
    """One array for each column of x."""
    y: Float[np.ndarray, " trials"]
    seeds: tuple[Any, ...] | None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns hold what."""

    x: tuple[str, ...]
    y: str
    seed: str | None
    by: tuple[str, ...]
    best: float | None
    """Best value of y where y is a score; None where it is a loss."""


def is_results(table: pa.Table) -> bool:
    """Return whether a table holds a study's trials."""
    return set(table.column_names) >= RESULTS_COLUMNS


def choose_columns(
    table: pa.Table,
    *,
    x: Sequence[str] = (),
    y: str | None = None,
    seed: str | None = None,
    by: Sequence[str] | None = None,
    best: float | None = None,
) -> Columns:
    """Return the columns that were asked for, and for a study's results the rest of them too.

    Args:
        table: A study's results or any other table.
        x: Columns of sizes; for results what the study scaled when empty.
        y: Column of outcomes, or an entry of a column of maps such as `map_at[0.5]`; for results mAP when None.
        seed: Column of seeds; `seed` when None and there is one.
        by: Columns that tell lines apart; for results what else the study varied when None.
        best: Best value of y where it is a score; 1 for mAP of results when None.

    Raises:
        ValueError: a column is missing or was not named.
    """
    found_x = tuple(find_column(table, name) for name in x)
    rows = table.to_pylist() if is_results(table) else []
    varied = find_axes(rows).paths if rows else ()
    if not found_x:
        chosen = choose_x(rows, varied)
        if chosen is None:
            raise ValueError(f"no column for x was named, expected one of {', '.join(table.column_names[:20])}")
        found_x = (chosen,)
    if y is None and not rows:
        raise ValueError(f"no column for y was named, expected one of {', '.join(table.column_names[:20])}")
    lines = [path for path in varied if path not in found_x and not _follows(path, found_x, rows)]
    return Columns(
        x=found_x,
        y=_outcome(table, y or SCORE),
        seed=find_column(table, seed) if seed else SEED if SEED in table.column_names else None,
        by=tuple(lines if by is None else (find_column(table, name) for name in by)),
        best=1.0 if best is None and rows and (y or SCORE).startswith("map_") else best,
    )


def find_column(table: pa.Table, name: str) -> str:
    """Return the column of a name or of a short name such as `frames`.

    Raises:
        ValueError: there is no such column; the message names near ones.
    """
    if name in table.column_names:
        return name
    short = short_names(table.column_names)
    if name in short:
        return short[name]
    near = difflib.get_close_matches(name, [*table.column_names, *short], n=3) or table.column_names[:20]
    raise ValueError(f"there is no column {name}, expected one such as {', '.join(near)}")


def table_lines(table: pa.Table, columns: Columns) -> tuple[list[Line], int]:
    """Return the points of each line and how many rows lack x or y; of a study's results the latest finished trials.

    Raises:
        ValueError: x or y is no number, or no row has both.
    """
    rows = best(table) if is_results(table) else table
    sizes = [_numbers(rows, name) for name in columns.x]
    outcomes = _numbers(rows, columns.y)
    if columns.best is not None:
        outcomes = columns.best - outcomes
    known = np.all([np.isfinite(values) for values in (*sizes, outcomes)], axis=0)
    if not known.any():
        raise ValueError(f"no row has both {' and '.join(columns.x)} and {columns.y}, expected some")
    seeds = rows[columns.seed].to_pylist() if columns.seed else None
    members: dict[tuple[Any, ...], list[int]] = {}
    labels = [rows[name].to_pylist() for name in columns.by]
    for index in np.flatnonzero(known).tolist():
        members.setdefault(tuple(hashable(column[index]) for column in labels), []).append(index)
    lines = [
        Line(
            name=setting_name(dict(zip(columns.by, key, strict=True))) or EVERYTHING,
            sizes=tuple(values[chosen] for values in sizes),
            y=outcomes[chosen],
            seeds=None if seeds is None else tuple(seeds[index] for index in chosen),
        )
        for key, chosen in sorted(members.items(), key=lambda item: _order(item[0]))
    ]
    return lines, int(np.sum(~known))


def said(column: str) -> str:
    """Return what a column is called in sentences."""
    return short_name(column) if "." in column and "[" not in column else column


def _outcome(table: pa.Table, name: str) -> str:
    entry = OF_MAP.fullmatch(name)
    return f"{find_column(table, entry['column'])}[{entry['key']}]" if entry else find_column(table, name)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Return a column as numbers, NaN where it has none."""
    entry = OF_MAP.fullmatch(name) if name not in table.column_names else None
    if entry:
        column = pa.chunked_array([_entries(table[entry["column"]].to_pylist(), entry["key"])], pa.float64())
    else:
        column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise ValueError(f"column {name} holds {column.type}, expected numbers")
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), dtype=np.float64)  # type: ignore[attr-defined]


def _entries(maps: Iterable[Any], key: str) -> list[float | None]:
    entries = [dict(each or ()) for each in maps]
    if not any(key in each for each in entries):
        keys = sorted({str(known) for each in entries for known in each})
        raise ValueError(f"there is no entry {key}, expected one of {', '.join(keys[:20])}")
    return [each.get(key) for each in entries]


def _follows(path: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether x says what `path` is, as the size of a backbone says which it is."""
    sizes = {tuple(hashable(row[name]) for name in columns) for row in rows}
    both = {(*(hashable(row[name]) for name in columns), hashable(row[path])) for row in rows}
    return len(both) == len(sizes)


def _order(key: Sequence[Any]) -> list[tuple[int, Any]]:
    return [
        (0, 0) if value is None else (1, value) if isinstance(value, int | float) else (2, str(value)) for value in key
    ]
