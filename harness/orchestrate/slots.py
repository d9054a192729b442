"""Slots: places where one trial runs at a time, each a Ray Train worker group kept alive by a thread of the study.

    warm   one worker group takes job after job: overhead of milliseconds per trial, one start per slot
    fresh  one worker group per job: nothing that ran before can touch its memory

A worker that dies is started again by Ray Train; the board then hands its job out again.
"""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback

from harness.orchestrate.cluster import NAMESPACE, SLOT_THREADS
from harness.orchestrate.packing import Spots
from harness.orchestrate.worker import serve

SlotKind = Literal["warm", "fresh"]
NODE_LABEL = "ray.io/node-id"
"""Every Ray node has this label; it keeps a trial on the node where its room is."""
MAX_FAILURES = 2
"""How often a dead worker group is started again for the same job."""


@dataclass(frozen=True, kw_only=True)
class SlotConfig:
    """What every slot of a sweep has."""

    kind: SlotKind
    board: str
    """Name of the board's actor."""
    execute: str
    """Dotted path of the trial function."""
    storage: str
    """Folder for Ray Train's own bookkeeping; trials write nothing there."""
    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    own_cluster: bool = True


class Slot:
    """One slot; `start` it, then it serves the board until that is closed."""

    def __init__(self, index: int, config: SlotConfig, closing: threading.Event) -> None:
        """Prepare a slot; nothing runs yet, and nothing is started again once `closing` is set."""
        self.index = index
        self.error: str | None = None
        """Why the slot gave up, if it did."""
        self._config = config
        self._closing = closing
        # A daemon: a study that must leave at once does not wait for Ray.
        self._thread = threading.Thread(target=self._serve, name=f"{SLOT_THREADS}{index}", daemon=True)

    def start(self) -> None:
        """Start the worker group in the background; later calls do nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the slot to end; say whether it did. One that was never started has nothing to end."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the slot serves, or will."""
        return self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """Whether the slot has served and does no more."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def _serve(self) -> None:
        try:
            board = ray.get_actor(self._config.board, namespace=NAMESPACE)
            in_vain = 0
            while self._config.kind == "warm" or ray.get(board.reserve.remote(self.index)):
                try:
                    spots: Any = ray.get(board.call.remote("spots", self.index))
                    if self._closing.is_set():
                        return
                    if gone := _gone(spots):
                        ray.get(board.call.remote("forget_nodes", self.index, gone))
                        continue
                    self._fit(spots)
                    if self._config.kind == "warm" and not ray.get(board.call.remote("takes_renewal", self.index)):
                        return
                except Exception as error:
                    if self._closing.is_set():
                        return
                    again = ray.get(board.call.remote("slot_down", self.index, str(error)))
                    # A warm one was started again by Ray Train before it came to this.
                    in_vain = 0 if again else in_vain + 1
                    if in_vain > (MAX_FAILURES if self._config.kind == "fresh" else 0):
                        self.error = str(error)
                        return
        except Exception as error:  # the board is gone: the sweep is over or starts anew
            self.error = str(error)

    def _fit(self, spots: Spots | None) -> None:
        from harness.orchestrate.trainer import SlotTrainer

        config = self._config
        SlotTrainer(
            serve,
            own_cluster=config.own_cluster,
            train_loop_config={
                "board": config.board,
                "slot": self.index,
                "execute": config.execute,
                "once": config.kind == "fresh",
                "cpus_per_worker": config.cpus_per_worker,
            },
            scaling_config=ScalingConfig(
                num_workers=config.workers,
                use_gpu=config.gpus_per_worker > 0,
                resources_per_worker=resources_per_worker(config, spots),
                label_selector=[{NODE_LABEL: spot.node} for spot in spots] if spots else None,
            ),
            run_config=RunConfig(
                name=f"{config.board}-slot{self.index}-{uuid.uuid4().hex[:6]}",
                storage_path=config.storage,
                # A fresh slot's trial may have to go on elsewhere: Ray Train would wait for the same place again.
                failure_config=FailureConfig(
                    max_failures=0 if config.kind == "fresh" else MAX_FAILURES, controller_failure_limit=2
                ),
                callbacks=[DeathNotice(config.board, self.index)],
            ),
        ).fit()


def _gone(spots: Spots | None) -> list[str]:
    """Return the nodes of the spots that are there no more; Ray would wait for them without an end."""
    wanted = {spot.node for spot in spots or ()}
    return sorted(wanted - {node["NodeID"] for node in ray.nodes() if node["Alive"]}) if wanted else []


def resources_per_worker(config: SlotConfig, spots: Spots | None = None) -> dict[str, float]:
    """Return what Ray is asked for per worker: of cards the part that its trial was given, the same for every rank."""
    gpus = spots[0].share if spots else config.gpus_per_worker
    return {"CPU": config.cpus_per_worker, **({"GPU": gpus} if gpus else {})}


class DeathNotice(UserCallback):
    """Tells the board why a worker died; Ray calls it in the Train controller, once per failed group."""

    def __init__(self, board: str, slot: int) -> None:
        """Know whom to tell."""
        self._board = board
        self._slot = slot

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
        """Send the error of the lowest failed rank."""
        error = worker_exceptions[min(worker_exceptions)]
        text = f"{type(error).__name__}: {error}"
        ray.get_actor(self._board, namespace=NAMESPACE).call.remote("worker_died", self._slot, text)
