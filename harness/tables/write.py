"""Writing to the results tables: a new file for each attempt, there as a whole or not at all."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.tables.schema import CORE, CURVES, TRIALS
from harness.tables.single import encode_single
from harness.tables.storage import SUFFIX, Location, Place, place_of, write_bytes

CURVES_FOLDER = "curves"
IDENTITY = ("study", "trial", "digest", "attempt", "state")
"""What no row may lack."""
_CORE_NAMES = frozenset(column.name for column in CORE)


def write_row(folder: Location, row: Mapping[str, Any]) -> Path | str:
    """Write one attempt of a trial into its study's folder and return the file's path, or its URI on another store.

    The row holds core columns and the flattened config; columns that it lacks are null. Times are aware `datetime`s,
    maps are dictionaries.

    Raises:
        ValueError: the row lacks its identity, has an unknown column, or a value does not fit its column.
        TableUnwritable: the folder is read-only, the disk is full…; nothing is left behind.
    """
    lacking = [name for name in IDENTITY if row.get(name) is None]
    if lacking:
        raise ValueError(f"a results row lacks {', '.join(lacking)}, expected at least {', '.join(IDENTITY)}")
    table = _table([_with_branch_kinds(row)], TRIALS)
    return _write(place_of(folder), row["digest"], row["attempt"], own_columns(table))


def write_curves(
    folder: Location, digest: str, attempt: int, points: Iterable[Mapping[str, Any]], *, study: str = ""
) -> Path | str:
    """Write the learning curves of an attempt and return their file, `curves/…` below the study's folder.

    A point is `{"epoch": 3, "step": 120, "loss": 0.7, "lr": 1e-4}`: every number beside `epoch` and `step` becomes a
    measurement under its name. `study` is the folder's name unless given.
    """
    place = place_of(folder)
    rows = [
        {"study": study or place.name, "digest": digest, "attempt": attempt, **measurement}
        for point in points
        for measurement in _measurements(point)
    ]
    return _write(place.child(CURVES_FOLDER), digest, attempt, _table(rows, CURVES))


def own_columns(row: pa.Table) -> pa.Table:
    """Return the core columns and of the config only what this trial has.

    The fields of all other heads and backbones would double the time it takes to read its file.
    """
    return row.select([name for name in row.column_names if name in _CORE_NAMES or row[name].null_count == 0])


def _with_branch_kinds(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the kind of branches that can be absent: `flatten` has `model.adapter` only where it is None."""
    kinds = {
        name: row.get(f"{name}.kind")
        for name in TRIALS.names
        if f"{name}.kind" in TRIALS.names and row.get(f"{name}.kind") is not None
    }
    return {**row, **kinds}


def _measurements(point: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"epoch": point.get("epoch"), "step": point.get("step")}
    for name, value in point.items():
        if name not in place and value is not None:
            yield {**place, "name": name, "value": value}


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    unknown = sorted({name for row in rows for name in row} - set(schema.names))
    if unknown:
        raise ValueError(f"unknown results column {unknown[0]}, expected one of harness.tables.schema")
    columns = []
    for field in schema:
        values = [_plain(row.get(field.name), field.type) for row in rows]
        try:
            columns.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise ValueError(f"{field.name} is {values[0]!r}, expected {field.type}") from error
    # The meanings stay in results/README.md: in every file they would double the time it takes to read many.
    return pa.table(columns, schema=pa.schema([field.remove_metadata() for field in schema], metadata=schema.metadata))


def _plain(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, tuple):
        return list(value)
    return [value] if pa.types.is_list(kind) and isinstance(value, int | float) else value


def _write(folder: Place, digest: str, attempt: int, table: pa.Table) -> Path | str:
    file = folder.child(f"{digest}-{attempt}-{uuid.uuid4().hex[:8]}{SUFFIX}")
    write_bytes(file, encode_single(table))
    return file.shown
