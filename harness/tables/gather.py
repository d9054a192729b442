"""Many small files as one Arrow table.

    files -> a table each, in threads -> one table per schema -> one table with the schema's columns and types

Files of the same program and kind of config have the same schema, so what costs per schema is paid a few times and not
once per file. A file that cannot be used is left out and named with the reason.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from harness.tables.schema import VERSION, VERSION_KEY
from harness.tables.single import decode
from harness.tables.storage import REMOTE_THREADS, Found, Place, read_bytes

LARGE_BYTES = 1 << 20
"""From this size on a file is decoded by several threads, column by column."""
LOCAL_THREADS = 2
"""More of them wait for each other: half of the work on a small file is Python's."""
FILES_PER_TASK = 64


class Skipped(NamedTuple):
    """A file that could not be used."""

    path: Path | str
    reason: str


class Gathered(NamedTuple):
    """A table, and what became of each file."""

    table: pa.Table
    file_of_row: np.ndarray
    """Number of the file that each row stood in, among `used`."""
    used: tuple[Place, ...]
    skipped: tuple[Skipped, ...]
    vanished: tuple[Place, ...]
    """Files that were gone when they were to be read."""


class _Part(NamedTuple):
    """Tables of one schema under one another."""

    table: pa.Table
    files: tuple[Place, ...]
    rows: tuple[int, ...]


class _Batch(NamedTuple):
    """What one task read."""

    parts: tuple[_Part, ...]
    skipped: tuple[Skipped, ...]
    vanished: tuple[Place, ...]


def gather(files: Sequence[Found], schema: pa.Schema, required: Sequence[str]) -> Gathered:
    """Read files into one table: the columns of `schema` in its order, then those that only files have.

    Columns that a file lacks are null in its rows. A file without a `required` column is not one of ours.
    """
    batches = _read_all(files)
    skipped = [entry for batch in batches for entry in batch.skipped]
    parts: list[_Part] = []
    further = pa.schema([])
    for part in _by_schema([part for batch in batches for part in batch.parts]):
        try:
            _check(part.table.schema, required)
            table, further = _conform(part.table, schema, further)
            parts.append(part._replace(table=table))
        except (pa.ArrowException, ValueError) as error:
            skipped.extend(Skipped(file.shown, first_line(error)) for file in part.files)
    return Gathered(
        table=_stacked([part.table for part in parts], schema, further),
        file_of_row=np.repeat(
            np.arange(sum(len(part.files) for part in parts)), [n for part in parts for n in part.rows]
        ),
        used=tuple(file for part in parts for file in part.files),
        skipped=tuple(skipped),
        vanished=tuple(file for batch in batches for file in batch.vanished),
    )


def first_line(error: BaseException | str) -> str:
    """Return the first line of a message that says something, or the kind of error."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), "" if isinstance(error, str) else type(error).__name__)


def _read_all(files: Sequence[Found]) -> list[_Batch]:
    if not files:
        return []
    threads = LOCAL_THREADS if files[0].place.is_local else REMOTE_THREADS
    size = min(FILES_PER_TASK, -(-len(files) // threads))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(_read_some, (files[start : start + size] for start in range(0, len(files), size))))


def _read_some(files: Sequence[Found]) -> _Batch:
    """Read files and put those of one schema together at once, so that few small objects are alive at a time."""
    parts: list[_Part] = []
    skipped: list[Skipped] = []
    vanished: list[Place] = []
    for place, _, size in files:
        try:
            table = decode(read_bytes(place), use_threads=size > LARGE_BYTES)
            parts.append(_Part(table, (place,), (len(table),)))
        except FileNotFoundError:
            vanished.append(place)
        except (pa.ArrowException, OSError, ValueError) as error:
            skipped.append(Skipped(place.shown, first_line(error)))
    return _Batch(tuple(_by_schema(parts)), tuple(skipped), tuple(vanished))


def _by_schema(parts: Sequence[_Part]) -> Iterator[_Part]:
    groups: list[list[_Part]] = []
    for part in parts:
        schema = part.table.schema
        group = next((group for group in groups if group[0].table.schema.equals(schema, check_metadata=True)), None)
        if group is None:
            groups.append([part])
        else:
            group.append(part)
    for group in groups:
        yield _Part(
            pa.concat_tables([part.table for part in group]).combine_chunks(),
            tuple(file for part in group for file in part.files),
            tuple(count for part in group for count in part.rows),
        )


def _check(schema: pa.Schema, required: Sequence[str]) -> None:
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise ValueError("it is not a results table (no schema version)")
    if int(version) > VERSION:
        raise ValueError(f"it has schema version {int(version)}, this program reads up to {VERSION}")
    names = set(schema.names)
    if len(names) < len(schema):
        raise ValueError("it has two columns of one name")
    missing = [name for name in required if name not in names]
    if missing:
        raise ValueError(f"it lacks the column {missing[0]}")


def _conform(table: pa.Table, schema: pa.Schema, further: pa.Schema) -> tuple[pa.Table, pa.Schema]:
    """Return the table with our types where we have the column, and `further` with the columns it has besides.

    Raises:
        ValueError: a column has a type that cannot become ours, or that of the other files.
    """
    ours = set(schema.names)
    columns, besides = {}, []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in ours:
            column = _cast(column, schema.field(name).type)
        else:
            besides.append(pa.field(name, column.type))
        columns[name] = column
    further = pa.unify_schemas([further, pa.schema(besides)], promote_options="permissive")
    return pa.table(columns), further


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the column in another type; where single values have since become lists, each is a list of one."""
    if column.type == kind:
        return column
    if not pa.types.is_list(kind) or pa.types.is_list(column.type):
        return column.cast(kind)
    values = column.combine_chunks()
    starts = np.concatenate(([0], np.cumsum(values.is_valid().to_numpy(zero_copy_only=False)))).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(starts), values.drop_null(), mask=values.is_null())
    return pa.chunked_array([lists.cast(kind)])


def _stacked(tables: Sequence[pa.Table], schema: pa.Schema, further: pa.Schema) -> pa.Table:
    fields = [*schema, *further]
    whole = pa.schema(fields, metadata=schema.metadata)
    complete = []
    for table in tables:
        present = set(table.column_names)
        columns = [
            table[field.name].cast(field.type) if field.name in present else pa.nulls(len(table), field.type)
            for field in fields
        ]
        complete.append(pa.table(columns, schema=whole))
    if len(complete) == 1:
        return complete[0]
    return pa.concat_tables(complete).combine_chunks() if complete else whole.empty_table()
