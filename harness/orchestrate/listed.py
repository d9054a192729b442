"""Points that are known from the start, one after another: a grid's, or those that climbed to a rung. No Ray here."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.orchestrate.jobs import Job
from harness.orchestrate.points import Consider, Row, row_of_end
from harness.study import Trial

Params = Mapping[str, Any]


class ListedSource:
    """Hands out listed points; what the tables know is answered from them."""

    def __init__(
        self, points: Iterable[tuple[Params, Trial]], consider: Consider, note: Callable[[Params, Row], None]
    ) -> None:
        """Begin with the first.

        Args:
            points: what stands in the study's Optuna file, and the trial.
            consider: returns a trial's row where nothing needs running, else its job.
            note: called with a point and its row, once that is known.
        """
        self._points = {trial.digest: (params, trial) for params, trial in points}
        self._left = deque(self._points)
        self._consider = consider
        self._note = note
        self._open: dict[str, Job] = {}
        self._rows: dict[str, Row] = {}
        self.unfinished = False

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every point's trial."""
        return tuple(trial for _, trial in self._points.values())

    def next(self) -> Job | None:
        """Return the next job that has to be run; None when no more are left."""
        while self._left:
            digest = self._left.popleft()
            known = self._consider(self._points[digest][1])
            if isinstance(known, Job):
                self._open[digest] = known
                return known
            self._keep(digest, known)
        return None

    def under_way(self) -> list[Job]:
        """Return the jobs whose end is not known."""
        return list(self._open.values())

    def progress(self, digest: str, metrics: Mapping[str, Any]) -> None:
        """Do nothing: nobody draws further points by it."""

    def ended(self, digest: str, result: Mapping[str, Any] | None) -> None:
        """Keep how a job ended."""
        if digest not in self._open:
            return
        row = row_of_end(self._open.pop(digest), result)
        if row is None:
            self.unfinished = True
        else:
            self._keep(digest, row)

    def scored(self) -> dict[str, tuple[Params, float]]:
        """Return the points that finished, with their mAP, in the order given."""
        known = {digest: (params, self._rows.get(digest)) for digest, (params, _) in self._points.items()}
        return {
            digest: (params, row["map_avg"])
            for digest, (params, row) in known.items()
            if row is not None and row["state"] == "finished" and row.get("map_avg") is not None
        }

    def _keep(self, digest: str, row: Row) -> None:
        self._rows[digest] = row
        self._note(self._points[digest][0], row)
