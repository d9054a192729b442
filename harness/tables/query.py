"""Reading the results tables: all files of a study or of all studies as one Arrow table, and SQL over it."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.tables.schema import CURVES, TRIALS, VERSION, VERSION_KEY
from harness.tables.write import CURVES_FOLDER

ARCHIVE_FOLDER = "archive"
"""Where `--fresh` puts earlier results, beside the studies' folders; not read with the rest."""

log = logging.getLogger(__name__)


class Skipped(NamedTuple):
    """A file that could not be used."""

    path: Path
    reason: str


class Loaded(NamedTuple):
    """A table and what is missing from it."""

    table: pa.Table
    skipped: tuple[Skipped, ...]


def load(root: Path | str) -> pa.Table:
    """Return every attempt below `root`, a study's folder or the folder of all; unreadable files are logged."""
    return _logged(read_trials(root))


def read_trials(root: Path | str) -> Loaded:
    """Return every attempt below `root`, oldest first, and the files that could not be used.

    Columns that a file lacks are null, columns that the schema lacks are kept. When an attempt was written twice, by
    a worker that was believed dead for instance, its finished row counts, else the later one.
    """
    files = [path for path in _files(root) if path.parent.name != CURVES_FOLDER]
    loaded = _read(files, TRIALS, ("study", "digest", "attempt", "state"))
    table = loaded.table.sort_by([("ended_utc", "ascending"), ("digest", "ascending"), ("attempt", "ascending")])
    return Loaded(_one_row_per(table, ("study", "digest", "attempt")), loaded.skipped)


def read_curves(root: Path | str) -> Loaded:
    """Return every measurement below `root`, and the files that could not be used."""
    files = [path for path in _files(root) if path.parent.name == CURVES_FOLDER]
    return _read(files, CURVES, ("digest", "attempt", "name", "value"))


def _files(root: Path | str) -> Iterator[Path]:
    """Yield the table files below a folder, except what `--fresh` set aside."""
    for path in Path(root).rglob("*.parquet"):
        if ARCHIVE_FOLDER not in path.relative_to(root).parts:
            yield path


def latest(table: pa.Table) -> pa.Table:
    """Return the row of each trial's latest attempt."""
    return _one_row_per(
        table.sort_by([("attempt", "ascending"), ("digest", "ascending")]), ("study", "digest"), keep_finished=False
    )


def best(table: pa.Table) -> pa.Table:
    """Return the row of each trial's latest finished attempt; trials without one are left out."""
    return latest(table.filter(pc.field("state") == "finished"))


def sql(query: str, root: Path | str) -> pa.Table:
    """Answer one SELECT over the views `trials`, `best` (latest finished attempt of each trial) and `curves`.

    The query sees these tables and nothing else: no files, no network, nothing that could be changed.

    Raises:
        ValueError: the query is not one SELECT, or DuckDB refuses it; the message is DuckDB's first line.
    """
    import duckdb

    trials = load(root)
    views = {"trials": trials, "best": best(trials), "curves": _logged(read_curves(root))}
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        for name, table in views.items():
            connection.register(name, table)
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type not in (
                duckdb.StatementType.SELECT,
                duckdb.StatementType.EXPLAIN,
            ):
                raise ValueError(f"the query is {_first_line(query)!r}, expected a single SELECT")
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(_first_line(str(error))) from error


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _logged(loaded: Loaded) -> pa.Table:
    for path, reason in loaded.skipped:
        log.warning("%s is left out of the results: %s", path, reason)
    return loaded.table


def _read(paths: Iterable[Path], schema: pa.Schema, required: tuple[str, ...]) -> Loaded:
    tables, skipped = [], []
    for path in sorted(paths):
        try:
            # ParquetFile rather than read_table: a third of the time for files of one row.
            with pq.ParquetFile(path) as file:
                table = file.read(use_threads=False)
            tables.append(_checked(table, schema, required))
        except FileNotFoundError:
            continue  # compacted or deleted since the folder was listed
        except (pa.ArrowException, OSError, ValueError) as error:
            skipped.append(Skipped(path, _first_line(str(error)) or type(error).__name__))
    if not tables:
        return Loaded(schema.empty_table(), tuple(skipped))
    united = pa.concat_tables(tables, promote_options="permissive")
    return Loaded(_complete(united, schema), tuple(skipped))


def _checked(table: pa.Table, schema: pa.Schema, required: tuple[str, ...]) -> pa.Table:
    """Return the table with our types where we have the column; ValueError when it is not one of ours."""
    version = (table.schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise ValueError("it is not a results table (no schema version)")
    if int(version) > VERSION:
        raise ValueError(f"it has schema version {int(version)}, this program reads up to {VERSION}")
    names = set(table.column_names)
    missing = [name for name in required if name not in names]
    if missing:
        raise ValueError(f"it lacks the column {missing[0]}")
    if table.schema.equals(schema):
        return table.replace_schema_metadata(None)
    for index, field in enumerate(table.schema):
        known = schema.field(field.name) if field.name in schema.names else None
        if known is not None and known.type != field.type:
            table = table.set_column(index, field.name, _cast(table[field.name], known.type))
    return table.replace_schema_metadata(None)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the column in another type; a value that has since become a list is a list of one."""
    if not pa.types.is_list(kind) or pa.types.is_list(column.type):
        return column.cast(kind)
    values = column.combine_chunks().cast(kind.value_type)
    starts = pa.array(
        [None if missing else index for index, missing in enumerate(values.is_null().to_pylist())] + [len(values)],
        pa.int32(),
    )
    return pa.chunked_array([pa.ListArray.from_arrays(starts, values).cast(kind)])


def _complete(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema` in its order, null where the table has none, then the columns it has besides."""
    present, known = set(table.column_names), set(schema.names)
    fields = [*schema, *(field for field in table.schema if field.name not in known)]
    columns = [table[field.name] if field.name in present else pa.nulls(len(table), field.type) for field in fields]
    return pa.table(columns, schema=pa.schema(fields, metadata=schema.metadata))


def _one_row_per(table: pa.Table, key: tuple[str, ...], *, keep_finished: bool = True) -> pa.Table:
    """Return the last row of each key, or its finished one; the order of rows stays."""
    chosen: dict[tuple[Any, ...], int] = {}
    states = table["state"].to_pylist()
    for index, identity in enumerate(zip(*(table[name].to_pylist() for name in key), strict=True)):
        known = chosen.get(identity)
        if known is None or not keep_finished or states[known] != "finished" or states[index] == "finished":
            chosen[identity] = index
    if len(chosen) == len(table):
        return table
    return table.take(pa.array(sorted(chosen.values()), pa.int64()))
