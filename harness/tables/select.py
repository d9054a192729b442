"""SQL over the results tables: DuckDB on Arrow tables in memory, shut off from everything else.

    query -> which views it mentions -> read those -> bind as written, else with short names -> answer

A mistake is answered in one sentence that names what was meant, as far as that can be guessed.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harness.tables.aliases import endings, short_names
from harness.tables.front import PARETO, pareto
from harness.tables.gather import first_line
from harness.tables.query import best, load, logged, read_curves
from harness.tables.schema import CURVES, TRIALS
from harness.tables.storage import Location

if TYPE_CHECKING:
    import duckdb

EMPTY = {"trials": TRIALS, "best": TRIALS, "pareto": PARETO, "curves": CURVES}
"""The views and the columns that each has in any case."""
SETTINGS: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
UNKNOWN_COLUMN = re.compile(
    r'(?:Referenced column|a column named) "([^"]+)"|Column "([^"]+)" (?:in EXCLUDE list not found|does not exist)'
)
"""How DuckDB says that it does not know a column."""
UNKNOWN_VIEW = re.compile(r"Table with name (\S+) does not exist")


def sql(query: str, root: Location) -> pa.Table:
    """Answer one SELECT over the views `trials`, `best`, `pareto` and `curves`.

    `trials` has every attempt, `best` the latest finished attempt of each trial, `pareto` the settings that no other
    beats in both mAP and memory (`harness.tables.pareto`). Config columns are named by their path in double quotes,
    or by a short name where the query gives that name no other meaning (`harness.tables.aliases`).

    The query sees these tables and nothing else: no files, no network, nothing that could be changed.

    Raises:
        ValueError: the query is not one SELECT, or DuckDB refuses it; the message is one sentence.
    """
    import duckdb

    words = {word.lower() for word in re.findall(r"\w+", query)}
    views = _views(words, root)
    with duckdb.connect(":memory:", config=SETTINGS) as connection:
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            _check_one_select(connection, query)
            return _bound(connection, query, views, words).to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(_explained(error, query, views, words)) from error


def _views(words: Iterable[str], root: Location) -> dict[str, pa.Table]:
    """Read what the query mentions; the other views are there without rows."""
    views = {name: schema.empty_table() for name, schema in EMPTY.items()}
    wanted = views.keys() & words
    if wanted - {"curves"}:
        views["trials"] = load(root)
    if wanted & {"best", "pareto"}:
        views["best"] = best(views["trials"])
    if "pareto" in wanted:
        views["pareto"] = pareto(views["best"])
    if "curves" in wanted:
        views["curves"] = logged(read_curves(root))
    return views


def _check_one_select(connection: "duckdb.DuckDBPyConnection", query: str) -> None:
    import duckdb

    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ValueError(f"the query is {first_line(query)!r}, expected a single SELECT")


def _bound(
    connection: "duckdb.DuckDBPyConnection", query: str, views: Mapping[str, pa.Table], words: Iterable[str]
) -> "duckdb.DuckDBPyRelation":
    """Return the query with its names resolved: as it stands, else with the short names that it mentions."""
    import duckdb

    _register(connection, views)
    try:
        return connection.sql(query)
    except duckdb.BinderException:
        _register(connection, {name: _with_short_names(table, words) for name, table in views.items()})
        return connection.sql(query)


def _register(connection: "duckdb.DuckDBPyConnection", views: Mapping[str, pa.Table]) -> None:
    for name, table in views.items():
        connection.register(name, table)


def _with_short_names(table: pa.Table, words: Iterable[str]) -> pa.Table:
    known = short_names(table.column_names)
    for word in sorted(known.keys() & set(words)):
        table = table.append_column(word, table[known[word]])
    return table


def _explained(error: Exception, query: str, views: Mapping[str, pa.Table], words: Iterable[str]) -> str:
    """Return one sentence for a query that DuckDB refused."""
    mentioned = views.keys() & words
    columns = {name for view in mentioned for name in views[view].column_names}
    for name in sorted(columns):
        if "." in name and re.search(rf'(?<![\w"]){re.escape(name)}(?![\w"])', query):
            return f'{name} has dots in its name, expected it in double quotes: "{name}"'
    missing = UNKNOWN_VIEW.search(str(error))
    if missing:
        return f"there is no view {missing.group(1)}, expected one of {', '.join(views)}"
    found = UNKNOWN_COLUMN.search(str(error))
    name = (found.group(1) or found.group(2)) if found else ""
    if not name or name in columns:
        return first_line(error)
    elsewhere = [view for view, table in views.items() if name in table.column_names]
    if elsewhere:
        return f"there is no column {name} in {', '.join(sorted(mentioned))}, only in {', '.join(elsewhere)}"
    return _unknown_column(name, columns)


def _unknown_column(name: str, columns: set[str]) -> str:
    """Return a sentence with the paths that a name could mean, or else with the nearest names."""
    meant = endings(columns)
    owners = meant.get(name.lower(), ())
    if owners:
        return f"{name} could be {' or '.join(map(_quoted, owners))}, expected one of these paths"
    alike = [known for known in sorted(columns | meant.keys()) if ("." in known) == ("." in name)]
    near = difflib.get_close_matches(name.lower(), alike, n=3)
    hint = f"did you mean {' or '.join(map(_quoted, near))}?" if near else "results/README.md lists them"
    return f"there is no column {name}; {hint}"


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name
