"""A study's trials on Ray: from jobs, or points that a search draws, to rows, with the display in between."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from harness.orchestrate.cluster import connect
from harness.orchestrate.failures import classify
from harness.orchestrate.following import Following
from harness.orchestrate.history import History
from harness.orchestrate.interrupts import Interrupts
from harness.orchestrate.jobs import Event, Job, Outcome
from harness.orchestrate.live import LiveFile
from harness.orchestrate.needs import need_of
from harness.orchestrate.nodes import survey
from harness.orchestrate.places import CPUS_PER_WORKER, Demand, Places
from harness.orchestrate.points import Consider, PointSource
from harness.orchestrate.progress import Progress
from harness.orchestrate.reach import check_reach
from harness.orchestrate.rows import Rows
from harness.orchestrate.sources import JobSource
from harness.orchestrate.stopping import Judging
from harness.orchestrate.sweep import run_sweep
from harness.orchestrate.telling import Telling
from harness.orchestrate.tensorboard import TensorBoard
from harness.study import SchedulerMetric, SchedulerName, Trial
from harness.trial import TrialJob

EXECUTE = "harness.trial.execute"

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SweepOptions(Demand):
    """How trials run; none of it changes a result, except that a scheduler ends some of them early."""

    address: str | None
    scheduler: SchedulerName = "none"
    metric: SchedulerMetric = "map"
    """What the scheduler, and Optuna, compare trials by while they run."""
    margin: float = 1.0
    """Predicted bytes are multiplied by this where trials are packed."""
    exclusive: bool = False
    """Whether every trial has a card of its own."""
    shared_folder: bool = True
    """Whether the study's folder must be the same on every machine; not if tables and checkpoints go to a store."""
    price: float | None = None
    """Of all machines for an hour, for the display."""
    inputs: Callable[[], Sequence[Path]] = tuple
    """Names files that every machine must have."""


def run_trials(jobs: Sequence[TrialJob], *, options: SweepOptions, done_before: int, telling: Telling) -> bool:
    """Run the trials; return whether Ctrl-C stopped them. Every trial that began has its row afterwards.

    Args:
        jobs: what to run, in this order.
        options: how.
        done_before: trials of the study that need no running, for the display.
        telling: where the study says what happens.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    run = _Run(options, telling)
    outcomes = run.sweep(
        [run.known(job) for job in jobs],
        total=len(jobs) + done_before,
        done_before=done_before,
        epochs=max(job.config.training.epochs for job in jobs),
    )
    unfinished = len(outcomes) < len(jobs) or any(outcome.state == "interrupted" for outcome in outcomes.values())
    return run.interrupted and unfinished


def run_points(
    history: History,
    consider: Callable[[Trial], TrialJob | Row],
    *,
    options: SweepOptions,
    budget_bytes: int,
    telling: Telling,
) -> bool:
    """Draw points and run them until there are enough; return whether Ctrl-C stopped the search.

    Args:
        history: the study's Optuna file.
        consider: returns a drawn trial's row where nothing needs running, else its job.
        options: how trials run.
        budget_bytes: memory that a trial may need.
        telling: where the study says what happens.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    interrupted = run_source(
        lambda decide: PointSource(history, decide, budget_bytes=budget_bytes, metric=options.metric),
        consider,
        options=options,
        total=history.space.search.samples,
        done_before=len(history.told),
        epochs=history.space.grid.base.training.epochs,
        telling=telling,
    )
    return len(history.told) < history.space.search.samples and interrupted


def run_source(
    source: Callable[[Consider], JobSource],
    consider: Callable[[Trial], TrialJob | Row],
    *,
    options: SweepOptions,
    total: int,
    done_before: int,
    epochs: int,
    telling: Telling,
) -> bool:
    """Run what a source draws until it draws no more; return whether Ctrl-C was heard.

    Args:
        source: makes the source, given what decides about a drawn trial.
        consider: returns a drawn trial's row where nothing needs running, else its job.
        options: how trials run.
        total: about how many trials there will be, for the display.
        done_before: how many of them need no running.
        epochs: those of the longest trial.
        telling: where the study says what happens; a source tells of its rows itself.

    Raises:
        ValueError: the cluster cannot be reached, or not even one trial fits on it.
    """
    run = _Run(options, telling)

    def decide(trial: Trial) -> Job | Row:
        known = consider(trial)
        return run.fitting(known) if isinstance(known, TrialJob) else known

    run.sweep([], total=total, done_before=done_before, epochs=epochs, source=source(decide))
    return run.interrupted


class _Run:
    def __init__(self, options: SweepOptions, telling: Telling) -> None:
        self._interrupts = Interrupts(on_first=self._acknowledge)
        self._connected = False
        self._options = options
        self._telling = telling
        self._say = telling.say
        self._rows = Rows(telling.say, telling.on_row)
        self._curves = TensorBoard(
            telling.curves, lambda digest: telling.describe(self._trials[digest].config), telling.say
        )
        self._places: Places | None = None
        self._trials: dict[str, TrialJob] = {}

    @property
    def interrupted(self) -> bool:
        return self._interrupts.asked

    def known(self, job: TrialJob) -> Job:
        self._trials[job.digest] = job
        options = self._options
        return Job(
            digest=job.digest,
            name=job.name,
            payload=job.to_json(),
            predicted_peak_bytes=job.predicted_peak_bytes,
            need=need_of(
                job,
                margin=options.margin,
                on_card=options.gpus_per_worker > 0,
                exclusive=options.exclusive,
                ranks=options.workers,
            ),
        )

    def fitting(self, job: TrialJob) -> Job | Row:
        """Return the job, or its row if it fits nowhere."""
        return self._placed(self.known(job))

    def sweep(
        self,
        jobs: Sequence[Job],
        *,
        total: int,
        done_before: int,
        epochs: int,
        source: JobSource | None = None,
    ) -> dict[str, Outcome]:
        options, telling = self._options, self._telling
        self._say("starting Ray ...")
        with self._interrupts as interrupts, _explained(interrupts), connect(options.address) as cluster:
            interrupts.listen()
            self._connected = True
            interrupts.check()
            if not cluster.own:
                check_reach(telling.folder if options.shared_folder else None, options.inputs)
            nodes = survey(own=cluster.own)
            places = self._places = Places(cluster, nodes, options)
            jobs = self._placeable(jobs)
            slots = places.num_slots(jobs, total - done_before)
            if cluster.dashboard_url:
                asks = " (for its token: ray get-auth-token)" if os.environ.get("RAY_AUTH_MODE") == "token" else ""
                self._say(f"Ray dashboard: {cluster.dashboard_url}{asks}")
            display = Progress(jobs, total=total, done_before=done_before, quiet=telling.quiet, console=telling.console,
                               price=options.price)  # fmt: skip
            live_file = LiveFile(telling.live, display)
            for job in jobs:
                self._curves.know(job)
            with display, live_file as live:
                interrupts.check()
                outcomes = run_sweep(
                    cluster,
                    jobs,
                    execute=EXECUTE,
                    num_slots=slots,
                    slots=options.slots,
                    workers_per_slot=options.workers,
                    cpus_per_worker=CPUS_PER_WORKER,
                    gpus_per_worker=options.gpus_per_worker,
                    packing=places.packing,
                    source=source,
                    judging=Judging(scheduler=options.scheduler, metric=options.metric, epochs=epochs),
                    on_event=lambda event: self._hear(event, live),
                    on_end=self._ended,
                    log_dir=telling.logs,
                    interrupts=interrupts,
                    following=None if cluster.own else Following(nodes),
                    slots_for=lambda nodes: places.slots_on(nodes, jobs, total - done_before),
                )
        self._rows.settle()
        return outcomes

    def _placeable(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that fit somewhere; the others get their row at once."""
        answers = (self._placed(job) for job in jobs)
        return [answer for answer in answers if isinstance(answer, Job)]

    def _placed(self, job: Job) -> Job | Row:
        found = self._places.fitting(job) if self._places is not None else job
        if isinstance(found, Job):
            return found
        self._say(f"{job.name}: too large, {found}")
        return self._rows.write(self._trials[job.digest], "too_large", found)

    def _hear(self, event: Event, live: LiveFile) -> None:
        live.handle(event)
        self._curves.handle(event)

    def _ended(self, outcome: Outcome) -> None:
        self._rows.ended(self._trials[outcome.digest], outcome)

    def _acknowledge(self) -> None:
        # Written past the console, which may be in the middle of a line of its own.
        if not (self._connected or self._telling.quiet):
            os.write(2, b"stopping as soon as Ray is up (Ctrl-C again to leave at once)\n")


@contextlib.contextmanager
def _explained(interrupts: Interrupts) -> Iterator[None]:
    """Say in one sentence that Ray itself went away: its head, this machine's raylet, or the board."""
    try:
        yield
    except (RayError, ConnectionError) as error:
        interrupts.check()  # whoever stopped the study stopped Ray too
        if isinstance(error, ConnectionError):
            raise
        reason = classify(str(error))[1]
        raise ConnectionError(
            f"Ray went away in the middle of the study ({reason}); finished trials are kept, "
            "start the same command again to go on"
        ) from error
