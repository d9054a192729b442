"""A study's trials on Ray: from jobs, or points that a search draws, to rows, with the display in between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from harness.orchestrate.cluster import Cluster, connect, num_slots
from harness.orchestrate.history import History
from harness.orchestrate.jobs import Job, Outcome
from harness.orchestrate.points import PointSource
from harness.orchestrate.progress import Progress
from harness.orchestrate.sweep import run_sweep
from harness.study import SchedulerName, Trial
from harness.trial import TrialJob, ended_without_row

EXECUTE = "harness.trial.execute"
CPUS_PER_WORKER = 1

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How trials run; none of it changes a result, except that a scheduler ends some of them early."""

    slots: Literal["warm", "fresh"]
    workers: int
    """Ray Train workers per trial."""
    gpus_per_worker: float
    max_concurrent: int | None
    address: str | None
    scheduler: SchedulerName = "none"


def run_trials(
    jobs: Sequence[TrialJob],
    *,
    options: SweepOptions,
    done_before: int,
    console: Console,
    quiet: bool,
    on_row: Callable[[Row], None] = lambda row: None,
) -> bool:
    """Run the trials; return whether Ctrl-C stopped them. Every trial that began has its row afterwards.

    Args:
        jobs: what to run, in this order.
        options: how.
        done_before: trials of the study that need no running, for the display.
        console: where the display goes.
        quiet: show nothing.
        on_row: called with the core columns of each row once it is written.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    run = _Run(options, console, quiet, jobs[0].results / "work" / "logs", on_row)
    sweep_jobs = [run.known(job) for job in jobs]
    outcomes = run.sweep(
        sweep_jobs,
        total=len(jobs) + done_before,
        done_before=done_before,
        epochs=max(job.config.training.epochs for job in jobs),
    )
    return len(outcomes) < len(jobs) or any(outcome.state == "interrupted" for outcome in outcomes.values())


def run_points(
    history: History,
    consider: Callable[[Trial], TrialJob | Row],
    *,
    options: SweepOptions,
    budget_bytes: int,
    console: Console,
    quiet: bool,
    log_dir: Path,
) -> bool:
    """Draw points and run them until there are enough; return whether Ctrl-C stopped the search.

    Args:
        history: the study's Optuna file.
        consider: returns a drawn trial's row where nothing needs running, else its job.
        options: how trials run.
        budget_bytes: memory that a trial may need.
        console: where the display goes.
        quiet: show nothing.
        log_dir: where tracebacks of failed trials go.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    run = _Run(options, console, quiet, log_dir, lambda row: None)

    def decide(trial: Trial) -> Job | Row:
        known = consider(trial)
        return run.known(known) if isinstance(known, TrialJob) else known

    run.sweep(
        [],
        total=history.space.search.samples,
        done_before=len(history.told),
        epochs=history.space.grid.base.training.epochs,
        source=PointSource(history, decide, budget_bytes=budget_bytes),
    )
    return len(history.told) < history.space.search.samples and run.interrupted


class _Run:
    def __init__(
        self,
        options: SweepOptions,
        console: Console,
        quiet: bool,
        log_dir: Path,
        on_row: Callable[[Row], None],
    ) -> None:
        self.interrupted = False
        self._options = options
        self._console = console
        self._quiet = quiet
        self._log_dir = log_dir
        self._on_row = on_row
        self._trials: dict[str, TrialJob] = {}

    def known(self, job: TrialJob) -> Job:
        self._trials[job.digest] = job
        return Job(
            digest=job.digest,
            name=job.name,
            payload=job.to_json(),
            predicted_peak_bytes=job.predicted_peak_bytes,
        )

    def sweep(
        self,
        jobs: Sequence[Job],
        *,
        total: int,
        done_before: int,
        epochs: int,
        source: PointSource | None = None,
    ) -> dict[str, Outcome]:
        options = self._options
        self._say("starting Ray ...")
        with connect(options.address) as cluster:
            slots = self._num_slots(cluster, total - done_before)
            if cluster.dashboard_url:
                self._say(f"Ray dashboard: {cluster.dashboard_url}")
            display = Progress(jobs, total=total, done_before=done_before, quiet=self._quiet, console=self._console)
            with display:
                return run_sweep(
                    cluster,
                    jobs,
                    execute=EXECUTE,
                    num_slots=slots,
                    slots=options.slots,
                    workers_per_slot=options.workers,
                    cpus_per_worker=CPUS_PER_WORKER,
                    gpus_per_worker=options.gpus_per_worker,
                    source=source,
                    scheduler=options.scheduler,
                    epochs=epochs,
                    on_event=display.handle,
                    on_end=self._ended,
                    log_dir=self._log_dir,
                )

    def _num_slots(self, cluster: Cluster, num_jobs: int) -> int:
        options = self._options
        slots = num_slots(
            cluster,
            num_jobs,
            workers=options.workers,
            cpus_per_worker=CPUS_PER_WORKER,
            gpus_per_worker=options.gpus_per_worker,
        )
        return min(slots, options.max_concurrent or slots)

    def _ended(self, outcome: Outcome) -> None:
        self.interrupted |= outcome.state == "interrupted"
        row = outcome.result
        # A trial whose process was killed could not write its own row.
        if row is None and outcome.seconds > 0:
            where = f" (log: {outcome.log})" if outcome.log else ""
            row = ended_without_row(self._trials[outcome.digest], outcome.state, f"{outcome.error}{where}")
        if row is not None:
            self._on_row(row)

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(line, style="dim")
