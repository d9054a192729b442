"""`tadscale query`: SQL over the results tables."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError
from harness.cli.results import check_results

if TYPE_CHECKING:
    from harness.tables.formats import Format

FORMATS = ("table", "csv", "json", "parquet", "markdown", "latex")
"""Those of `harness.tables.formats`, which `--help` need not wait for."""
EXAMPLES = """\
examples:
  tadscale query 'select frames, resolution, avg(map_avg), max(peak_bytes) from best group by all order by all'
  tadscale query 'select backbone, frames, map_avg, peak_bytes / 2**30 as gib from pareto' --format latex
  tadscale query 'select step, value from curves where name = $$loss$$' --output loss.csv
  tadscale query 'summarize best' --results s3://bucket/results
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "query",
        help="ask the results tables in SQL",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Answer one SELECT (DuckDB's SQL) over the views
  trials   every attempt of every trial
  best     the latest finished attempt of each trial
  pareto   the settings that no other beats in both mAP and peak memory, seeds averaged
  curves   the measurements of training: loss, lr, map_avg ... by epoch and step
Config values are columns named by their path in double quotes, "data.window.frames", or by the end of the path where
only one column ends so: frames, adapter_lr, backbone_width. A branch stands for its name or kind: backbone, head.
results/README.md defines every column. The query can read these tables and nothing else.""",
        epilog=EXAMPLES,
    )
    parser.add_argument("sql", help="the query, in single quotes because column names may need double ones")
    parser.add_argument(
        "--results",
        default="results",
        metavar="DIR",
        help="results folder, or one study's; also s3://bucket/prefix (default: results)",
    )
    parser.add_argument("--format", choices=FORMATS, help="default: as the ending of --output says, else table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead of standard output")
    return parser


def run(given: argparse.Namespace) -> int:
    """Answer the query on standard output or in a file."""
    from harness.tables import sql
    from harness.tables.formats import render

    form = _format(given.format, given.output)
    check_results("--results", given.results)
    if given.output:
        _check_output(given.output, given.results)
    answer = sql(given.sql, given.results)
    if given.output:
        from harness.atomic import whole_file

        with whole_file(given.output) as temporary:
            temporary.write_bytes(render(answer, form))
    else:
        _print(render(answer, form, width=os.get_terminal_size().columns if sys.stdout.isatty() else None))
    return 0


def _format(wanted: "Format | None", output: Path | None) -> "Format":
    from harness.tables.formats import SUFFIXES

    if output and not wanted and output.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output is {output}, expected an ending among {', '.join(SUFFIXES)}, or --format with it")
    form = wanted or (SUFFIXES[output.suffix.lower()] if output else "table")
    if form == "parquet" and not output and sys.stdout.isatty():
        raise UserError("--format is parquet, which is not for a terminal; expected --output FILE or a pipe")
    return form


def _check_output(output: Path, results: str) -> None:
    if output.is_dir():
        raise UserError(f"--output is {output}, a folder; expected a file")
    if (
        output.suffix == ".parquet"
        and "://" not in results
        and output.resolve().is_relative_to(Path(results).resolve())
    ):
        raise UserError(f"--output is {output}, inside --results, where it would be taken for a results table")


def _print(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough. Python would complain at exit when it flushes once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
