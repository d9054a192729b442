"""The values that cross from the study to the workers and back: jobs, events, outcomes. No Ray here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.orchestrate.packing import Need
from harness.study import State

Metrics = dict[str, float | int | str | None]

EventKind = Literal["slots", "added", "started", "report", "retried", "renewed", "ended", "stopping"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trial to be run."""

    digest: str
    name: str
    """What tells the trial from its neighbours, for people."""
    payload: Mapping[str, Any]
    """Handed to the trial function as it is (plus `hand_out`: how often it was started in this sweep); JSON only."""
    predicted_peak_bytes: int | None = None
    need: Need = field(default_factory=Need)
    """What it takes where it runs; counts only in a sweep that packs."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something a display may want to show."""

    kind: EventKind
    """`slots`: a slot came up or went away; `added`: a search drew a job; `retried`: a worker died and its trial starts
    again from its checkpoint; `renewed`: a slot starts another worker, its last trial left memory behind; `stopping`:
    Ctrl-C was heard, running trials save their state."""
    digest: str | None = None
    values: Metrics = field(default_factory=dict)
    """`started`: slot, hand_out; `report`: what the trial reported; `slots`: up, wanted; `ended`: the last
    reported metrics and the numbers of the result."""
    state: str | None = None
    """How the trial ended."""
    reason: str | None = None
    """One line for `retried`, `renewed`, `slots` and a trial that did not finish."""
    log: str | None = None
    """File that holds the traceback of a trial that failed."""
    job: Job | None = None
    """The job that was added."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial."""

    digest: str
    state: State
    error: str | None = None
    """One line; None for a trial that finished."""
    result: Mapping[str, Any] | None = None
    """What the trial function returned; None when it never returned, and then it wrote no row."""
    log: str | None = None
    """File that holds the traceback."""
    seconds: float = 0.0
    """From the first hand-out to the end, as the board saw it."""
