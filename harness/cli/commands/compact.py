"""`tadscale compact`: the many small files of finished trials folded into one per folder."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.cli.results import check_results


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "compact",
        help="fold many small table files into few",
        description="Fold the files that trials left in each folder of the results into one, so that reading thousands "
        "of them takes no seconds. No row is lost, whatever stops it; a study does the same at its end. A folder "
        "whose study is running is refused, and on s3:// it is on you that none is.",
    )
    parser.add_argument(
        "--results",
        default="results",
        metavar="DIR",
        help="results folder, or one study's; also s3://bucket/prefix (default: results)",
    )
    return parser


def run(given: argparse.Namespace) -> int:
    """Compact and say how many files became how many."""
    from harness.tables import compact

    check_results("--results", given.results)
    with ExitStack() as held:
        _hold(given.results, held)
        done = compact(given.results)
    for folder in done:
        print(f"{folder.folder}: {folder.files:,} files are one now, with {folder.rows:,} rows")
    if not done:
        print(f"{given.results}: nothing to compact")
    return 0


def _hold(location: str, held: ExitStack) -> None:
    """Hold every study at a place that has a driver, or in a folder ever had one."""
    from harness.cli.claims import claimed
    from harness.cli.lease import one_machine
    from harness.cli.lock import one_driver

    if "://" in location:
        for study in claimed(location):
            held.enter_context(one_machine(study, print))
        return
    results = Path(location)
    for lock in (results / ".lock", *sorted(results.glob("*/.lock"))):
        if lock.is_file():
            held.enter_context(one_driver(lock.parent))
