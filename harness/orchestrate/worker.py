"""What a Ray Train worker runs: trials from the board, one after another, through a function given by its name."""

import contextlib
import importlib
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train.collective import broadcast_from_rank_zero

from harness.orchestrate import gpu_use
from harness.orchestrate.cards import bound_memory, take_largest_card
from harness.orchestrate.cluster import NAMESPACE
from harness.orchestrate.failures import classify_exception
from harness.orchestrate.jobs import Metrics
from harness.orchestrate.leftovers import Leftovers

REPORTS_IN_FLIGHT = 64


class RayReporter:
    """Carries a trial's reports to the board, and the wish to stop back."""

    def __init__(self, board: Any, digest: str, *, rank: int, world_size: int) -> None:
        """Speak for one worker about one trial."""
        self.rank = rank
        self.world_size = world_size
        self._board = board
        self._digest = digest
        self._sent: list[Any] = []
        self._gpu = gpu_use.of_this_process()
        self._stopped = board.stopped.remote(digest) if rank == 0 else None
        self.stop_state = "interrupted"
        """The state of a trial that ended because it was asked to: `stopped_early` if a scheduler did."""

    def report(self, metrics: Metrics) -> None:
        """Send metrics without waiting for them to arrive; other ranks than 0 send nothing."""
        if self.rank:
            return
        if len(self._sent) >= REPORTS_IN_FLIGHT:
            # Waits only when the board is that far behind, so that reports cannot pile up without end.
            _, self._sent = ray.wait(self._sent, num_returns=len(self._sent) // 2, timeout=10)
        shown = plain({**metrics, **self._gpu.since_last()})
        self._sent.append(self._board.call.remote("report", self._digest, shown))

    def should_stop(self) -> bool:
        """Say whether the trial should save its state and end; with several workers only rank 0 knows."""
        if self._stopped is None:
            return False
        if not ray.wait([self._stopped], timeout=0)[0]:
            return False
        # An error means that the board is gone, and with it the study: stopping is right then as well.
        with contextlib.suppress(RayError):
            self.stop_state = ray.get(self._stopped)
        return True


def plain(metrics: Mapping[str, Any]) -> Metrics:
    """Return the metrics as plain numbers and strings (NumPy and 0-d tensors become floats)."""
    simple = (bool, int, float, str, type(None))
    return {name: value if isinstance(value, simple) else float(value) for name, value in metrics.items()}


def serve(config: Mapping[str, Any]) -> None:
    """Run jobs from the board until it is closed (or one job, if `once`).

    An exception of the trial function ends that trial as `failed` (or `out_of_memory`) and the worker goes on.
    With several workers the others may wait in a collective that never comes, so the group is started again.
    A trial that leaves memory behind is the worker's last: the board is told, and the slot starts another.
    """
    board = ray.get_actor(config["board"], namespace=NAMESPACE)
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    execute = load(config["execute"])
    _use_threads(config["cpus_per_worker"])
    take_largest_card()
    incarnation, nodes = uuid.uuid4().hex, _nodes(world_size)
    leftovers = Leftovers()
    while True:
        job: Any = ray.get(board.take.remote(config["slot"], incarnation, nodes)) if rank == 0 else None
        if world_size > 1:
            job = broadcast_from_rank_zero(job)
        if job is None:
            return
        bound_memory(job.get("card_bytes"))
        outcome = _run(execute, job, RayReporter(board, job["digest"], rank=rank, world_size=world_size))
        if rank == 0 or outcome["traceback"]:
            ray.get(board.call.remote("end", job["digest"], outcome))
        if outcome["traceback"] and world_size > 1:
            raise RuntimeError(f"trial {job['digest']} failed on rank {rank}: {outcome['error']}")
        if config["once"]:
            return
        left = _agreed(leftovers.of_last_trial(), world_size)
        if left is not None:
            if rank == 0:
                ray.get(board.call.remote("renew", config["slot"], left))
            return


def load(path: str) -> Callable[..., Mapping[str, Any]]:
    """Return the function at a dotted path such as `harness.trial.execute`."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _run(execute: Callable[..., Mapping[str, Any]], job: dict[str, Any], reporter: RayReporter) -> dict[str, Any]:
    try:
        result = dict(execute(job, reporter))
    except Exception as error:  # whatever a trial raises is that trial's end, not the worker's
        state, reason = classify_exception(error)
        text = traceback.format_exc()
        # Frames hold the trial's tensors; the next trial of a warm worker must not find them in memory.
        traceback.clear_frames(error.__traceback__)
        return {"state": state, "error": reason, "result": None, "traceback": text}
    state, reason = str(result.get("state", "finished")), result.get("error")
    return {"state": state, "error": reason, "result": result, "traceback": None}


def _agreed(left: str | None, world_size: int) -> str | None:
    """Return what any rank has left behind; all of them leave together, or the others would wait for it."""
    if world_size == 1:
        return left
    from harness.training.distributed import gather

    return next((found for found in gather(left) if found is not None), None)


def _nodes(world_size: int) -> list[str]:
    """Return where each rank is."""
    here = ray.get_runtime_context().get_node_id()
    if world_size == 1:
        return [here]
    from harness.training.distributed import gather

    return gather(here)


def _use_threads(num_threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(num_threads)
