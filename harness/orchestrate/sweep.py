"""Run jobs: Ray Tune decides which is next, slots run them, the caller hears of everything that happens.

study's main thread     hears events from the board; Ctrl-C arrives here and nowhere else
thread "tune"           Tuner.fit over the jobs, or over the points that a search draws (tuning.py)
threads "slot-0"...     one Ray Train worker group each (slots.py)
"""

import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.orchestrate.board_actor import BoardActor
from harness.orchestrate.cluster import NAMESPACE, Cluster
from harness.orchestrate.crew import Crew
from harness.orchestrate.failures import classify
from harness.orchestrate.following import Following
from harness.orchestrate.interrupts import Interrupts
from harness.orchestrate.jobs import Event, Job, Outcome
from harness.orchestrate.ledger import Ledger
from harness.orchestrate.packing import Node, Packing
from harness.orchestrate.relay import numbers
from harness.orchestrate.slots import MAX_FAILURES, SlotConfig, SlotKind
from harness.orchestrate.sources import JobSource
from harness.orchestrate.stopping import Judging
from harness.orchestrate.tuning import Tuning

STOP_GRACE_S = 20.0
"""How long running trials have to save their state after the first Ctrl-C."""


def run_sweep(
    cluster: Cluster,
    jobs: Sequence[Job],
    *,
    execute: str,
    num_slots: int,
    slots: SlotKind = "warm",
    workers_per_slot: int = 1,
    cpus_per_worker: int = 1,
    gpus_per_worker: float = 0.0,
    packing: Packing | None = None,
    source: JobSource | None = None,
    judging: Judging = Judging(),  # noqa: B008 - a value
    on_event: Callable[[Event], None] = lambda event: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    log_dir: Path | None = None,
    stop_grace_s: float = STOP_GRACE_S,
    interrupts: Interrupts | None = None,
    following: Following | None = None,
    slots_for: Callable[[Sequence[Node]], int] | None = None,
) -> dict[str, Outcome]:
    """Run every job once, or those that a search draws, and return what became of them, in the given order.

    A trial that raises ends as `failed` or `out_of_memory`; one whose worker dies is started again from its own
    checkpoint, at most `MAX_FAILURES` times. The first Ctrl-C asks running trials to save their state and returns
    what is known (jobs that never began are left out); the second one does not wait for them.

    Args:
        cluster: from `connect`.
        jobs: digests must differ; none where there is a `source`.
        execute: dotted path of `function(job: dict, reporter) -> dict` (its `state` and `error` become the outcome's).
        num_slots: how many trials run at once; see `cluster.num_slots`.
        slots: `warm` keeps worker groups between trials, `fresh` starts one per trial.
        workers_per_slot: Ray Train workers per trial.
        cpus_per_worker: CPUs, and torch threads, of a worker.
        gpus_per_worker: GPUs of a worker.
        packing: keeps account of cards, cores and host memory, so that jobs only start where they fit; without it
            every slot takes any job.
        source: draws the jobs, one whenever a slot is free.
        judging: who ends trials early, by the `map_avg` or the `loss` that they report per `epoch`.
        on_event: called in this thread.
        on_end: called in this thread as soon as the end of a job is known.
        log_dir: where tracebacks of failed trials go.
        stop_grace_s: how long trials may take to save their state after the first Ctrl-C.
        interrupts: what the caller listens to Ctrl-C with; by default one is made.
        following: notices machines that come and go, on a cluster where they do.
        slots_for: how many trials could run at once on these machines; more slots are started where there are fewer.
    """
    if not jobs and source is None:
        return {}
    name = f"sweep-{uuid.uuid4().hex[:8]}"
    config = SlotConfig(
        kind=slots,
        board=name,
        execute=execute,
        storage=cluster.storage,
        workers=workers_per_slot,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        own_cluster=cluster.own,
    )
    ledger = Ledger(jobs, on_end, log_dir)
    sweep = _Sweep(cluster, ledger, on_event, config, num_slots, packing)
    if following is not None and slots_for is not None:
        sweep.follow(following, slots_for)
    with interrupts or Interrupts() as heard:
        with heard.breakable():
            sweep.run(source, judging, heard, stop_grace_s)
        sweep.settle()
    if source is not None and sweep.tune_error and not heard.asked:
        raise RuntimeError(f"Ray Tune broke during the search: {sweep.tune_error}")
    return ledger.outcomes


class _Sweep:
    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        on_event: Callable[[Event], None],
        config: SlotConfig,
        num_slots: int,
        packing: Packing | None,
    ) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._on_event = on_event
        self._config = config
        self._num_slots = num_slots
        # A starting worker group keeps two cores busy with imports; where it has no more, one after the other gives
        # the first trial its start sooner and the last one no later.
        at_once = max(1, cluster.num_cpus // 2) if cluster.own else num_slots
        self._crew = Crew(config, num_slots, starts_at_once=at_once)
        self._look: Callable[[], list[Node] | None] = lambda: None
        self._slots_for: Callable[[Sequence[Node]], int] = lambda nodes: num_slots
        self._added: deque[Job] = deque()
        self._tune: Tuning | None = None
        self._draws = False
        self._up = 0
        # Once the study is to stop, it does not wait for a board that went before it.
        self._answer_s: float | None = None
        self._leaving = threading.Event()
        actor: Any = ray.remote(BoardActor)
        self._board: Any = actor.options(
            name=config.board,
            namespace=NAMESPACE,
            num_cpus=0,
            max_concurrency=10_000,
            # On the study's own machine: with any other one the whole study would be lost, not only a trial.
            scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
        ).remote(
            {job.digest: dict(job.payload) for job in ledger.jobs},
            hand_outs=1 + MAX_FAILURES,
            slots=num_slots,
            sticky=config.kind == "fresh",
            needs={job.digest: job.need for job in ledger.jobs},
            packing=packing,
        )

    def follow(self, following: Following, slots_for: Callable[[Sequence[Node]], int]) -> None:
        """Look after machines that come and go, from the first `listen` on."""
        self._look, self._slots_for = following.look, slots_for

    def run(self, source: JobSource | None, judging: Judging, interrupts: Interrupts, stop_grace_s: float) -> None:
        """Run until every job has ended, or an interrupt was answered."""
        try:
            self._start(source, judging)
            self._listen(interrupts, stop_grace_s)
            self._close()
        except RayError:
            # A SIGTERM for the whole process group takes Ray away as well; nothing is left to be waited for.
            if not interrupts.asked:
                raise

    def settle(self) -> None:
        """Note the trials that were not waited for."""
        self._crew.dismiss()
        self._ledger.interrupt_running()

    @property
    def tune_error(self) -> str | None:
        """Why Ray Tune gave up, if it did."""
        return self._tune.error if self._tune else None

    def _start(self, source: JobSource | None, judging: Judging) -> None:
        self._crew.start(self._up)
        self._draws = source is not None
        self._tune = Tuning(
            self._config.board,
            self._config.storage,
            self._num_slots,
            missing=lambda: self._ledger.unfinished,
            source=source,
            submit=self._submit,
            judging=judging,
            leaving=self._leaving.is_set,
        )
        self._tune.start()

    def _submit(self, job: Job) -> None:
        # Called by Tune's thread; the display hears of the job in the main one, before anything else about it.
        if job.digest not in self._ledger.missing:
            self._ledger.missing.add(job.digest)
            self._added.append(job)
            ray.get(self._board.call.remote("add", job.digest, dict(job.payload), job.need))

    def _listen(self, interrupts: Interrupts, stop_grace_s: float) -> None:
        """Pass events on until every job has ended, or was given time to end after an interrupt."""
        give_up_at: float | None = None
        while self._more and (give_up_at is None or (self._ledger.any_running and time.monotonic() < give_up_at)):
            if interrupts.asked and give_up_at is None:
                give_up_at = time.monotonic() + stop_grace_s
                self._leaving.set()
                self._answer_s = stop_grace_s
                self._on_event(Event(kind="stopping"))
                self._get(self._board.call.remote("stop"))
            self._cluster.check()
            self._hear(wait_s=0.3)
            if give_up_at is not None:
                # Running trials are saving their state, or nobody is left who could; neither is a failure.
                if not self._crew.alive:
                    return
                continue
            self._follow()
            self._crew.start(self._up)
            if self.tune_error is not None:
                self._fail_rest(f"Ray Tune broke: {classify(self.tune_error)[1]}", self.tune_error)
            elif not self._crew.alive:
                self._fail_rest(classify(self._crew.error)[1], self._crew.error)

    @property
    def _more(self) -> bool:
        return bool(self._ledger.missing) or (self._draws and self._tune is not None and self._tune.alive)

    def _follow(self) -> None:
        nodes = self._look()
        if nodes is None:
            return
        self._get(self._board.call.remote("follow_nodes", nodes))
        wanted = self._slots_for(nodes)
        if self._crew.grow(wanted):
            self._get(self._board.call.remote("widen", wanted))

    def _close(self) -> None:
        """Send the slots home."""
        self._leaving.set()
        self._crew.dismiss()
        with contextlib.suppress(RayError):
            ray.get(self._board.close.remote(), timeout=5)
        # The study's own cluster is ended by force anyway; on a shared one the slots must give back what they hold.
        deadline = time.monotonic() + (0.3 if self._cluster.own else 20.0)
        self._crew.join(deadline)
        if self._tune is not None:
            self._tune.join(max(0.0, deadline - time.monotonic()))

    def _fail_rest(self, error: str, text: str) -> None:
        self._leaving.set()
        self._get(self._board.call.remote("fail_rest", error, text))

    def _get(self, answer: Any) -> Any:
        return ray.get(answer, timeout=self._answer_s)

    def _hear(self, wait_s: float) -> None:
        happened = self._get(self._board.events.remote(wait_s))
        while self._added:
            job = self._added.popleft()
            self._ledger.jobs.append(job)
            self._on_event(Event(kind="added", digest=job.digest, job=job))
        for said in happened:
            outcome = said.pop("outcome", None)
            if outcome is not None:
                log = self._ledger.ended(said["digest"], outcome)
                said |= {"state": outcome["state"], "reason": outcome["error"], "log": log}
                said["values"] |= numbers(outcome["result"])
            if said["kind"] == "started":
                self._ledger.started(said["digest"])
            if said["kind"] == "slots":
                self._up = said["values"]["up"]
            if said.get("state") != "planned":
                self._on_event(Event(**said))
