"""Writing to the results tables: a new file for each attempt, there as a whole or not at all."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.tables.schema import CURVES, TRIALS

CURVES_FOLDER = "curves"
IDENTITY = ("study", "trial", "digest", "attempt", "state")
"""What no row may lack."""


class TableUnwritable(OSError):
    """The results folder cannot be written to; the message is one sentence for the user."""


def write_row(folder: Path | str, row: Mapping[str, Any]) -> Path:
    """Write one attempt of a trial and return its file; columns that `row` lacks are null.

    The row holds core columns and the flattened config. Times are aware `datetime`s, maps are dictionaries.

    Raises:
        ValueError: the row lacks its identity, has an unknown column, or a value does not fit its column.
        TableUnwritable: the folder is read-only, the disk is full…; nothing is left behind.
    """
    lacking = [name for name in IDENTITY if row.get(name) is None]
    if lacking:
        raise ValueError(f"a results row lacks {', '.join(lacking)}, expected at least {', '.join(IDENTITY)}")
    table = _table([_with_branch_kinds(row)], TRIALS)
    return _write(Path(folder), row["digest"], row["attempt"], table)


def write_curves(
    folder: Path | str, digest: str, attempt: int, points: Iterable[Mapping[str, Any]], *, study: str = ""
) -> Path:
    """Write the learning curves of an attempt and return their file, `curves/…` below the study's folder.

    A point is `{"epoch": 3, "step": 120, "loss": 0.7, "lr": 1e-4}`: every number beside `epoch` and `step` becomes a
    measurement under its name. `study` is the folder's name unless given.
    """
    folder = Path(folder)
    rows = [
        {"study": study or folder.name, "digest": digest, "attempt": attempt, **measurement}
        for point in points
        for measurement in _measurements(point)
    ]
    return _write(folder / CURVES_FOLDER, digest, attempt, _table(rows, CURVES))


def check_writable(folder: Path | str) -> None:
    """Make the folder and write to it, so that a study fails before its first trial and not after it.

    Raises:
        TableUnwritable: with one sentence that names the folder and the reason.
    """
    folder = Path(folder)
    probe = folder / f"{uuid.uuid4().hex}.tmp"
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"probe")
        finally:
            probe.unlink(missing_ok=True)


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


def _write(folder: Path, digest: str, attempt: int, table: pa.Table) -> Path:
    """Write, flush to the disk and only then name the file; readers look for `*.parquet` alone."""
    path = folder / f"{digest}-{attempt}-{uuid.uuid4().hex[:8]}.parquet"
    temporary = path.with_suffix(".tmp")
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                # One row gains nothing from compression, dictionaries or statistics; without them it is read in
                # 1.4 ms instead of 3.6.
                pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(folder)
    return path


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _explained:
    """Turn an OSError into one sentence about the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise TableUnwritable(f"results cannot be written to {self.folder}: {reason}") from error
