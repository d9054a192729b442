"""Which trial is next on a ladder, and who climbs. No Ray here.

    rung 1: a search's points, or a grid's --all have ended--> the best climb --> rung 2: those points, dearer --> ...

A rung begins when every trial of the one below has ended. Nothing of this is stored: a study that was stopped finds the
rows of its trials, and with them the same points climb again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from harness.orchestrate.fidelity import promoted
from harness.orchestrate.jobs import Job
from harness.orchestrate.listed import ListedSource, Params
from harness.orchestrate.points import Consider, Row
from harness.orchestrate.sources import LATER, JobSource, Later
from harness.orchestrate.space import Space, parameter
from harness.study import Trial

Note = Callable[[int, Params, Row], None]


class RungSource(JobSource, Protocol):
    """What runs the points of a rung."""

    @property
    def unfinished(self) -> bool:
        """Whether a trial was interrupted, so that the rung has no end yet."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial of the rung so far."""
        ...

    def scored(self) -> Mapping[str, tuple[Params, float]]:
        """Return the points that finished, with their mAP."""
        ...


class Halving:
    """Runs one rung after another."""

    def __init__(self, spaces: Sequence[Space], first: RungSource, consider: Consider, *, eta: int, note: Note) -> None:
        """Begin at the lowest rung.

        Args:
            spaces: of each rung, lowest first.
            first: runs the lowest rung.
            consider: returns a trial's row where nothing needs running, else its job.
            eta: one in so many points climbs.
            note: called with the number of a rung, from 0, a point that climbed to it, and its row.
        """
        self._spaces = spaces
        self._consider = consider
        self._eta = eta
        self._note = note
        self._rungs: list[RungSource] = [first]
        self.complete = False
        """Whether the highest rung has ended."""

    @property
    def trials(self) -> tuple[tuple[Trial, ...], ...]:
        """The trials of every rung that has begun."""
        return tuple(tuple(rung.trials) for rung in self._rungs)

    def next(self) -> Job | Later | None:
        """Return the next job that has to be run."""
        while not self.complete:
            rung = self._rungs[-1]
            job = rung.next()
            if job is not None:
                return job
            if rung.under_way():
                return LATER
            if rung.unfinished:
                return None
            self._climb(rung)
        return None

    def under_way(self) -> list[Job]:
        """Return the jobs whose end is not known."""
        return self._rungs[-1].under_way()

    def progress(self, digest: str, metrics: Mapping[str, Any]) -> None:
        """Note what a job reports."""
        self._rungs[-1].progress(digest, metrics)

    def ended(self, digest: str, result: Mapping[str, Any] | None) -> None:
        """Note how a job ended."""
        self._rungs[-1].ended(digest, result)

    def _climb(self, rung: RungSource) -> None:
        number = len(self._rungs)
        if number == len(self._spaces):
            self.complete = True
            return
        scores = {digest: score for digest, (_, score) in rung.scored().items() if not math.isnan(score)}
        points = {digest: self._lifted(rung.scored()[digest][0], number) for digest in scores}
        known: dict[str, Job | Row] = {}

        def fits(digest: str) -> bool:
            params, trial = points[digest]
            if trial is None:
                return False
            found = known[trial.digest] = self._consider(trial)
            if isinstance(found, Job) or found["state"] != "too_large":
                return True
            self._note(number, params, found)
            return False

        climbing: list[tuple[Params, Trial]] = []
        origin: dict[str, dict[str, Any]] = {}
        for digest in promoted(scores, self._eta, fits):
            params, trial = points[digest]
            assert trial is not None
            climbing.append((params, trial))
            origin[trial.digest] = {"promoted_from": digest, "promoted_with": scores[digest]}
        self._rungs.append(
            ListedSource(
                climbing,
                lambda trial: known[trial.digest],
                lambda params, row: self._note(number, params, {**row, **origin[row["digest"]]}),
            )
        )

    def _lifted(self, params: Params, number: int) -> tuple[Params, Trial | None]:
        """Return a point one rung up, and its trial if its values fit each other there."""
        space = self._spaces[number]
        *_, axis = space.grid.axes
        lifted = {**params, parameter(axis): next(iter(space.labels(axis)))}
        try:
            return lifted, space.trial(lifted)
        except ValueError:
            return lifted, None
