"""`tadscale query`: SQL over the results tables."""

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.cli.options import UserError

FORMATS = ("table", "csv", "json", "markdown")


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "query",
        help="ask the results tables in SQL",
        description="Answer one SELECT over the views trials (all attempts), best (latest finished attempt of each "
        'trial) and curves. Config values are columns named by their path, in double quotes: "data.window.frames". '
        "The query can read these tables and nothing else.",
    )
    parser.add_argument("sql", help='e.g. select "data.window.frames", map_avg from best')
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="results folder, or one study's (default: results)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table")
    return parser


def run(given: argparse.Namespace) -> int:
    """Answer the query on standard output."""
    return _query(given.sql, given.results, given.format)


def _query(sql_text: str, results: Path, form: str) -> int:
    from harness.tables import sql

    if not results.is_dir():
        raise UserError(f"--results is {results}, expected a folder with results tables")
    answer = sql(sql_text, results)
    rows = [{name: _plain(value) for name, value in row.items()} for row in answer.to_pylist()]
    names = answer.column_names
    if form == "json":
        import json

        print(json.dumps(rows, indent=1, default=str))
    elif form == "csv":
        import csv

        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif form == "markdown":
        print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
        for row in rows:
            print(f"| {' | '.join(_text(row[name]) for name in names)} |")
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*names)
        for row in rows:
            table.add_row(*(Text(_text(row[name])) for name in names))
        Console().print(table)
    return 0


def _plain(value: object) -> object:
    """Arrow gives maps as lists of pairs."""
    if isinstance(value, list) and value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
        return dict(value)
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
