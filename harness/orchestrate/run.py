"""A study's missing trials on Ray: from jobs to rows, with the display in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from harness.orchestrate.cluster import connect, num_slots
from harness.orchestrate.jobs import Job
from harness.orchestrate.progress import Progress
from harness.orchestrate.sweep import run_sweep
from harness.trial import TrialJob, ended_without_row

EXECUTE = "harness.trial.execute"


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How trials run; none of it changes a result."""

    slots: Literal["warm", "fresh"]
    workers: int
    """Ray Train workers per trial."""
    gpus_per_worker: float
    max_concurrent: int | None
    address: str | None


def run_trials(
    jobs: Sequence[TrialJob], *, options: SweepOptions, done_before: int, console: Console, quiet: bool
) -> bool:
    """Run the trials; return whether Ctrl-C stopped them. Every trial that began has its row afterwards.

    Args:
        jobs: what to run, in this order.
        options: how.
        done_before: trials of the study that need no running, for the display.
        console: where the display goes.
        quiet: show nothing.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    if not quiet:
        console.print("starting Ray ...", style="dim")
    with connect(options.address) as cluster:
        slots = num_slots(
            cluster, len(jobs), workers=options.workers, cpus_per_worker=1, gpus_per_worker=options.gpus_per_worker
        )
        slots = min(slots, options.max_concurrent or slots)
        if not quiet and cluster.dashboard_url:
            console.print(f"Ray dashboard: {cluster.dashboard_url}", style="dim")
        sweep_jobs = [
            Job(
                digest=job.digest,
                name=job.name,
                payload=job.to_json(),
                predicted_peak_bytes=job.predicted_peak_bytes,
            )
            for job in jobs
        ]
        with Progress(sweep_jobs, done_before=done_before, quiet=quiet, console=console) as display:
            outcomes = run_sweep(
                cluster,
                sweep_jobs,
                execute=EXECUTE,
                num_slots=slots,
                slots=options.slots,
                workers_per_slot=options.workers,
                gpus_per_worker=options.gpus_per_worker,
                on_event=display.handle,
                log_dir=jobs[0].results / "work" / "logs",
            )
    for job in jobs:
        outcome = outcomes.get(job.digest)
        # A trial whose process was killed could not write its own row.
        if outcome is not None and outcome.result is None and outcome.seconds > 0:
            where = f" (log: {outcome.log})" if outcome.log else ""
            ended_without_row(job, outcome.state, f"{outcome.error}{where}")
    return len(outcomes) < len(jobs) or any(outcome.state == "interrupted" for outcome in outcomes.values())
