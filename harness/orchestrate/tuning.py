"""The thread that runs Ray Tune, over listed jobs or points that a search draws, and anew if it breaks."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray import tune

from harness.orchestrate.cluster import NAMESPACE, TUNE_THREAD
from harness.orchestrate.jobs import Job
from harness.orchestrate.relay import relay
from harness.orchestrate.searcher import PointSearcher
from harness.orchestrate.sources import JobSource
from harness.orchestrate.stopping import Judging

DRIVER_BYTES = 2**20
"""What a Tune trial asks for: it only relays, and a CPU for it would be one that a worker lacks."""
ATTEMPTS = 3


class Tuning:
    """Tune in the background; `error` says why it gave up."""

    def __init__(
        self,
        board: str,
        storage: str,
        num_slots: int,
        *,
        missing: Callable[[], Sequence[str]],
        source: JobSource | None,
        submit: Callable[[Job], None],
        judging: Judging,
        leaving: Callable[[], bool],
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            board: name of the board's actor.
            storage: folder for Tune's own bookkeeping.
            num_slots: how many trials run at a time.
            missing: digests of the listed jobs that have not ended, in order.
            source: draws points instead.
            submit: makes a drawn job known to the board.
            judging: who ends trials early.
            leaving: says that no further trials are wanted.
        """
        self.error: str | None = None
        self._board = board
        self._storage = storage
        self._num_slots = num_slots
        self._missing = missing
        self._source = source
        self._submit = submit
        self._judging = judging
        self._leaving = leaving
        self._thread = threading.Thread(target=self._run, name=TUNE_THREAD, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether trials may still be drawn."""
        return self._thread.is_alive()

    def _run(self) -> None:
        failure = ""
        for attempt in range(ATTEMPTS):
            missing = self._missing()
            # Tune would start a cluster of its own if the study's were gone.
            if self._leaving() or not (missing or self._source):
                return
            try:
                self._tuner(missing, attempt).fit()
                self._submit_forgotten()
                return
            except Exception as error:  # a memory kill of a relay arrives as a bare RuntimeError (ray-facts finding 3)
                failure = str(error)
        # What breaks while the study stops is no news: Ray may be going away as well.
        self.error = None if self._leaving() else failure

    def _submit_forgotten(self) -> None:
        # Tune starts a relay that was killed again once and then gives its trial up. The board runs it all the same, if
        # only it hears of it; jobs that it knows already stay as they are.
        if not self._leaving():
            board = ray.get_actor(self._board, namespace=NAMESPACE)
            ray.get([board.call.remote("submit", digest) for digest in self._missing()])

    def _tuner(self, digests: Sequence[str], attempt: int) -> tune.Tuner:
        listed = {} if self._source else {"digest": tune.grid_search(list(digests))}
        searcher = PointSearcher(self._source, self._submit, self._leaving) if self._source else None
        return tune.Tuner(
            tune.with_resources(relay, {"memory": DRIVER_BYTES}),
            param_space={"board": self._board, **listed},
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1 if searcher else 1,
                scheduler=self._judging.begin(self._board),
                max_concurrent_trials=self._num_slots,
                reuse_actors=True,
                trial_name_creator=_digest_of_trial,
                trial_dirname_creator=_digest_of_trial,
            ),
            run_config=tune.RunConfig(
                name=f"{self._board}-tune{attempt}",
                storage_path=self._storage,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )


def _digest_of_trial(trial: Any) -> str:
    return trial.config["digest"]
