"""The `tadscale` command: one subcommand per file of `harness.cli.commands`."""

import sys
from collections.abc import Sequence

from harness.cli.commands import (
    bench,
    check,
    compact,
    detect,
    diagnose,
    errors,
    evaluate,
    extract,
    fit,
    frontier,
    memory,
    plan,
    query,
    report,
    reproduce,
    train,
    watch,
)
from harness.cli.options import Parser
from harness.cli.study import guarded, leave

COMMANDS = (
    *(train, detect, extract, evaluate, diagnose, errors, memory, plan, frontier),
    *(query, watch, fit, report, reproduce, compact, check, bench),
)
"""In the order of `--help`. What a command needs beyond the standard library it imports when it runs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code: 0 done, 2 the user's mistake."""
    leave(guarded(lambda: _run(sys.argv[1:] if argv is None else argv)))


def _run(argv: Sequence[str]) -> int:
    parser = Parser(prog="tadscale", description="Scaling studies of temporal action detection.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands).set_defaults(run=command.run)
    given = parser.parse_args(argv)
    return given.run(given)
