"""Ray Tune's view of a search: it asks for the next trial here and says how each one ended."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from harness.orchestrate.jobs import Job
from harness.orchestrate.sources import LATER, JobSource


class PointSearcher(Searcher):
    """Hands Tune one job after another; lives in the driver, in the thread that runs `Tuner.fit`."""

    def __init__(self, source: JobSource, submit: Callable[[Job], None], finished: Callable[[], bool]) -> None:
        """Begin with the jobs that an earlier `Tuner` of this sweep left under way.

        Args:
            source: draws points.
            submit: makes a job known to the board before its trial starts.
            finished: says that no more jobs are wanted, because the study is stopping.
        """
        # No metric: Tune would insist on it in every report, and a trial has its mAP only at its end.
        super().__init__()
        self._source = source
        self._submit = submit
        self._finished = finished
        self._again = source.under_way()
        self._digests: dict[str, str] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Keep our own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return what the next relay is to run."""
        job = None if self._finished() else self._again.pop(0) if self._again else self._source.next()
        if job is None:
            return Searcher.FINISHED
        if job is LATER:
            return None
        self._submit(job)
        self._digests[trial_id] = job.digest
        return {"digest": job.digest}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note a trial's progress."""
        self._source.progress(self._digests[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Note a trial's end; a relay that broke leaves no result."""
        self._source.ended(self._digests[trial_id], None if error else result)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the study's Optuna file is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def __reduce__(self) -> Any:
        """Pickle as nothing: Tune writes every `Tuner` to disk, and this one is never read back."""
        return (object, ())
