"""A study script's `main`: from the command line to the finished curve.

options -> plan -> (dry run | status | data, weights, predictions -> trials on Ray -> rows) -> summary
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cli.fresh import set_aside
from harness.cli.lock import one_driver
from harness.cli.options import Options, below, read_options
from harness.cli.plan import Plan, cache_dir, make_plan, provenance
from harness.cli.summary import show_plan, show_summary
from harness.cli.terminal import Terminal
from harness.study import Study, Trial
from harness.tables import WORTH_IT, TableUnwritable, check_writable, compact
from harness.units import format_bytes

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
        predicted = _predict(plan, plan.trials, terminal) if options.dry_run else {}
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
        rows = plan.rows()
        missing = plan.missing(rows)
        if missing:
            terminal.note(
                f"{len(plan.trials)} trials, {len(plan.trials) - len(missing)} done before, {len(missing)} to run"
            )
            predicted = _predict(plan, missing, terminal)
            stopped = _run_missing(plan, missing, rows, predicted, provenance(argv), terminal)
            rows = plan.rows()
        else:
            terminal.note(f"all {len(plan.trials)} trials are done; --fresh runs them again")
            stopped = False
        show_summary(plan, rows, terminal, seconds=time.monotonic() - began)
        _compact(plan.tables, terminal)
        if stopped:
            done = len(plan.trials) - len(plan.missing(rows))
            terminal.say(
                f"stopped: {done} of {len(plan.trials)} trials are done; start the same command again to go on"
            )
            return STOPPED_CODE
        return FAILED_CODE if any(row["state"] in ("failed", "interrupted") for row in rows.values()) else DONE_CODE


def _predict(plan: Plan, trials: Sequence[Trial], terminal: Terminal) -> dict[str, Any]:
    from harness.memory.predict import predict

    with terminal.stage("predicting memory") as progress:
        configs = [trial.config for trial in trials]
        predictions = predict(configs, cache_dir() / "predictions", progress, workers=plan.options.workers)
    return {trial.digest: prediction for trial, prediction in zip(trials, predictions, strict=True)}


def _run_missing(
    plan: Plan,
    missing: Sequence[Trial],
    rows: Mapping[str, Mapping[str, Any]],
    predicted: Mapping[str, Any],
    columns: Mapping[str, Any],
    terminal: Terminal,
) -> bool:
    """Run trials on Ray; return whether the user stopped them. Trials that cannot fit get their row at once."""
    from harness.orchestrate.run import run_trials
    from harness.trial import TrialJob, ended_without_row

    options, sources = plan.options, plan.sources
    assert sources is not None
    gpu = plan.device.name != "cpu"
    how = _sweep_options(options, gpu)
    budget = plan.budget_bytes
    jobs = []
    for trial in missing:
        need = predicted[trial.digest].peak_bytes
        job = TrialJob(
            study=plan.study.name,
            name=plan.name(trial),
            config=trial.config,
            attempt=1 + (rows[trial.digest]["attempt"] if trial.digest in rows else 0),
            results=plan.folder.resolve(),
            dataset=sources.dataset.resolve(),
            weights=sources.weights[trial.config.model.backbone.name],
            device="cuda" if gpu else "cpu",
            threads=1,
            data_workers=4 if gpu else 0,
            predicted_peak_bytes=need,
            slot=how.slots,
            provenance=columns,
            tables=plan.tables if isinstance(plan.tables, str) else None,
        )
        if need > budget:
            reason = f"predicted to need {format_bytes(need)}, more than {format_bytes(budget)}"
            terminal.note(f"{job.name}: too large, {reason}")
            ended_without_row(job, "too_large", reason)
        else:
            jobs.append(job)
    if not jobs:
        return False
    return run_trials(
        jobs,
        options=how,
        done_before=len(plan.trials) - len(jobs),
        console=terminal.console,
        quiet=options.quiet,
    )


def _sweep_options(options: Options, gpu: bool) -> Any:
    from harness.orchestrate.run import SweepOptions

    return SweepOptions(
        slots=options.slots or ("fresh" if gpu else "warm"),
        workers=options.workers,
        gpus_per_worker=1.0 if gpu else 0.0,
        max_concurrent=options.max_concurrent,
        address=options.address or os.environ.get("RAY_ADDRESS"),
    )


def _compact(folder: Path | str, terminal: Terminal) -> None:
    """Fold many small files into one; only the driver may, and it holds the study's lock here."""
    try:
        compact(folder, at_least=WORTH_IT)
    except TableUnwritable as failure:
        terminal.note(f"{failure}; the old files are all there")
