"""A study script's `main`: from the command line to the finished curve.

options -> plan -> (dry run | status | data, weights, predictions -> trials on Ray -> rows) -> summary
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.cli.changes import changes_since_last
from harness.cli.fresh import set_aside
from harness.cli.lock import one_driver
from harness.cli.options import Options, below, read_options
from harness.cli.plan import make_plan, provenance
from harness.cli.running import drawn, predict, run_grid, run_search
from harness.cli.summary import show_plan, show_summary
from harness.cli.terminal import Terminal
from harness.study import DONE, Study
from harness.tables import WORTH_IT, TableUnwritable, check_writable, compact

DONE_CODE, FAILED_CODE, MISTAKE_CODE, STOPPED_CODE = 0, 1, 2, 130


def main(study: Study, argv: Sequence[str] | None = None) -> None:
    """Run a study from the command line and exit with its code."""
    code = run(study, sys.argv[1:] if argv is None else argv)
    if code == STOPPED_CODE:
        # Ray is shut down and everything is on disk. Interrupted while it was starting, Ray leaves threads behind that
        # crash in the interpreter's teardown (seen as a segmentation fault), so there is none.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(study: Study, argv: Sequence[str]) -> int:
    """Run a study; return 0 done, 1 some trials failed, 2 the user's mistake, 130 stopped by Ctrl-C."""
    return guarded(lambda: _run(study, read_options(study, argv), argv))


def guarded(command: Callable[[], int]) -> int:
    """Turn a user's mistake into one sentence on stderr; a defect of ours keeps its traceback."""
    try:
        return command()
    except KeyboardInterrupt:
        print("stopped; start the same command again to go on", file=sys.stderr)
        return STOPPED_CODE
    except (ValueError, OSError) as mistake:
        if os.environ.get("TADSCALE_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(mistake).split())}", file=sys.stderr)
        return MISTAKE_CODE


def _run(study: Study, options: Options, argv: Sequence[str]) -> int:
    terminal = Terminal(json=options.json, quiet=options.quiet)
    if options.dry_run or options.status:
        plan = make_plan(study, options, terminal, prepare=False)
        plan = drawn(plan) if options.status else plan
        predicted = predict(plan, plan.trials, terminal) if options.dry_run else {}
        show_plan(plan, predicted, terminal, status=options.status)
        return DONE_CODE

    began = time.monotonic()
    folder = options.results / study.name
    check_writable(folder)
    if options.storage:
        check_writable(below(options.storage, study.name))
    with one_driver(folder):
        plan = make_plan(study, options, terminal, prepare=True)
        assert plan.sources is not None
        for note in plan.sources.notes:
            terminal.note(note)
        if options.fresh:
            set_aside(plan, terminal)
        for line in changes_since_last(plan) if options.search.method == "grid" else ():
            terminal.note(line)
        how = run_grid if options.search.method == "grid" else run_search
        ran = how(plan, provenance(argv), terminal)
        show_summary(ran.plan, ran.rows, terminal, seconds=time.monotonic() - began)
        _compact(plan.tables, terminal)
        if ran.stopped:
            done = sum(row["state"] in DONE for row in ran.rows.values())
            terminal.say(f"stopped: {done} of {ran.wanted} trials are done; start the same command again to go on")
            return STOPPED_CODE
        unfinished = any(row["state"] in ("failed", "interrupted") for row in ran.rows.values())
        return FAILED_CODE if unfinished else DONE_CODE


def _compact(folder: Path | str, terminal: Terminal) -> None:
    """Fold many small files into one; only the driver may, and it holds the study's lock here."""
    try:
        compact(folder, at_least=WORTH_IT)
    except TableUnwritable as failure:
        terminal.note(f"{failure}; the old files are all there")
