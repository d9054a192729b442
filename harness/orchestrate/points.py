"""Which point of a search is next, what is known of it already, and what Optuna is told of its end. No Ray here."""

from collections.abc import Callable, Mapping
from typing import Any

import optuna

from harness.orchestrate.history import History
from harness.orchestrate.jobs import Job
from harness.study import SchedulerMetric, Trial

DRAWS_PER_SAMPLE = 3
"""How many points one start draws at most for each that counts: failed ones and impossible ones do not."""
UNFINISHED = frozenset({"interrupted", "planned"})

Row = Mapping[str, Any]
Consider = Callable[[Trial], Job | Row]
"""A trial's row where it has one that counts (or gets one at once, as `too_large`), else its job."""


class PointSource:
    """Draws points until enough have been run; what the tables know is answered from them."""

    def __init__(
        self, history: History, consider: Consider, *, budget_bytes: int, metric: SchedulerMetric = "map"
    ) -> None:
        """Go on where an earlier driver stopped.

        Args:
            history: the study's Optuna file.
            consider: called once per new trial, in the thread that asks for points.
            budget_bytes: memory that a trial may need, which tells by how much others do not fit.
            metric: what Optuna is shown of a trial on its way: mAP where it is scored, or the loss, negated.
        """
        self._history = history
        self._consider = consider
        self._budget = budget_bytes
        self._metric: SchedulerMetric = metric
        self._samples = history.space.search.samples
        self._draws_left = DRAWS_PER_SAMPLE * self._samples
        self._open: dict[str, tuple[Job, list[optuna.Trial]]] = {}
        self._rows: dict[str, Row] = {}
        self.drawn: dict[str, Trial] = {}
        """Every trial that this source drew, by digest."""
        self.unfinished = False
        """Whether a trial was interrupted, so that it has no end yet."""
        history.resume()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial that this source drew."""
        return tuple(self.drawn.values())

    def next(self) -> Job | None:
        """Return the next job that has to be run; None when no more are needed."""
        while self._history.num_drawn < self._samples and self._draws_left > 0:
            self._draws_left -= 1
            job = self._try(self._history.draw())
            if job is not None:
                return job
        return None

    def under_way(self) -> list[Job]:
        """Return the jobs whose end is not known."""
        return [job for job, _ in self._open.values()]

    def progress(self, digest: str, metrics: Mapping[str, Any]) -> None:
        """Note what a job reports."""
        epoch = metrics.get("epoch")
        value = metrics.get("map_avg") if self._metric == "map" else metrics.get("loss")
        if digest in self._open and isinstance(epoch, int) and isinstance(value, float):
            for point in self._open[digest][1]:
                self._history.watch(point, epoch, value if self._metric == "map" else -value)

    def ended(self, digest: str, result: Mapping[str, Any] | None) -> None:
        """Tell Optuna how a job ended; later calls for the same job do nothing."""
        if digest not in self._open:
            return
        job, points = self._open.pop(digest)
        row = row_of_end(job, result)
        if row is None:
            self.unfinished = True
            return
        self._rows[digest] = row
        for point in points:
            self._history.tell(point, row, budget_bytes=self._budget)

    def scored(self) -> dict[str, tuple[Mapping[str, Any], float]]:
        """Return the points that finished, with their mAP, in the order in which they were drawn."""
        ends = [(point.params, point.user_attrs) for point in self._history.told]
        return {end["digest"]: (params, end["map_avg"]) for params, end in ends if end["state"] == "finished"}

    def _try(self, point: optuna.Trial) -> Job | None:
        try:
            trial = self._history.space.trial(point.params)
        except ValueError as error:
            # Values that do not fit each other, such as a head too deep for so few frames.
            row = {"digest": f"point-{point.number}", "state": "failed", "error": str(error)}
            self._history.tell(point, row)
            return None
        digest = trial.digest
        self.drawn[digest] = trial
        if digest in self._open:
            self._open[digest][1].append(point)
            return None
        known = self._rows.get(digest) or self._consider(trial)
        if isinstance(known, Job):
            self._open[digest] = (known, [point])
            return known
        self._rows[digest] = known
        self._history.tell(point, known, budget_bytes=self._budget)
        return None


def row_of_end(job: Job, result: Mapping[str, Any] | None) -> Row | None:
    """Return the core columns of an ended job's row; None if it was interrupted, and so has no end yet."""
    result = result or {"state": "failed"}
    if result["state"] in UNFINISHED:
        return None
    known = {name: result.get(name) for name in ("state", "map_avg", "peak_bytes")}
    return {
        "digest": job.digest,
        "trial": job.name,
        "predicted_peak_bytes": job.predicted_peak_bytes,
        **known,
    }
