"""A study from its options to its summary, step by step.

plan -> (dry run | status | data, weights, predictions -> trials on Ray -> rows) -> summary
"""

import time
from collections.abc import Sequence
from pathlib import Path

from harness.cli.changes import changes_since_last
from harness.cli.fresh import set_aside
from harness.cli.halving import in_words, run_halving
from harness.cli.lease import one_machine
from harness.cli.lock import one_driver
from harness.cli.options import Options, below
from harness.cli.overview import show_plan
from harness.cli.plan import make_plan, provenance
from harness.cli.running import drawn, predict, run_grid, run_search
from harness.cli.study import DONE_CODE, FAILED_CODE, STOPPED_CODE
from harness.cli.summary import show_summary
from harness.cli.terminal import Terminal
from harness.orchestrate.cluster import check_address
from harness.study import DONE, Study
from harness.tables import WORTH_IT, TableUnwritable, check_writable, compact
from harness.tables.storage import place_of, write_bytes


def conduct(study: Study, options: Options, argv: Sequence[str]) -> int:
    """Run a study, or show what it would run, and return its exit code."""
    terminal = Terminal(json=options.json, quiet=options.quiet)
    if options.dry_run or options.status:
        plan = make_plan(study, options, terminal, prepare=False)
        plan = drawn(plan) if options.status else plan
        predicted = predict(plan, plan.trials, terminal) if options.dry_run else {}
        show_plan(plan, predicted, terminal, status=options.status)
        if options.search.fidelity is not None and not options.json:
            terminal.say(in_words(plan))
        return DONE_CODE

    began = time.monotonic()
    folder = options.results / study.name
    store = below(options.storage, study.name) if options.storage else None
    for place in (folder, *([store] if store else [])):
        check_writable(place)
    check_address(options.address)
    with one_driver(folder), one_machine(store, terminal.say):
        plan = make_plan(study, options, terminal, prepare=True)
        assert plan.sources is not None
        for note in plan.sources.notes:
            terminal.note(note)
        if options.fresh:
            set_aside(plan, terminal)
        if store:
            # Machines that have the store and not this folder read the videos' index from there.
            index = plan.sources.dataset
            write_bytes(place_of(store).child(index.name), index.read_bytes())
        for line in changes_since_last(plan):
            terminal.note(line)
        how = run_grid if options.search.method == "grid" else run_search
        how = how if options.search.fidelity is None else run_halving
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
