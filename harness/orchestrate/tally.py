"""What is known of a running study, kept from its events: counts, running trials, the time that is left. No display."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.orchestrate.jobs import Event, Job, Metrics

SHOWN = (
    *("epoch", "epochs", "extracted", "videos", "loss", "map_avg", "peak_bytes"),
    *("gpu_percent", "gpu_used_bytes"),
)
"""What a display shows of a trial's reports."""


@dataclass
class Running:
    """A trial that runs."""

    name: str
    predicted_peak_bytes: int | None
    started_s: float
    values: Metrics = field(default_factory=dict)


class Tally:
    """Counts a sweep's events; `hear` takes them in order."""

    def __init__(self, jobs: Sequence[Job], *, total: int, done_before: int, clock: Callable[[], float]) -> None:
        """Know the jobs; `total` and `done_before` count trials of the whole study."""
        self.jobs = {job.digest: job for job in jobs}
        self.running: dict[str, Running] = {}
        self.done = done_before
        self.total = total
        self.waiting = total - done_before
        self.clock = clock
        self._states: Counter[str] = Counter()
        self._durations: list[float] = []
        self._slots = 0
        self._stopping = False
        self._began_s = clock()

    def hear(self, event: Event) -> Running | None:
        """Take an event; return the trial that ended with it."""
        match event.kind:
            case "slots":
                self._slots = int(event.values.get("up") or 0)
            case "added":
                assert event.job is not None
                self.jobs[event.job.digest] = event.job
            case "started":
                self._start(str(event.digest))
            case "report":
                if event.digest in self.running:
                    self.running[event.digest].values.update(event.values)
            case "ended":
                return self._end(event)
            case "stopping":
                self._stopping = True
        return None

    def name(self, digest: str | None) -> str:
        """Return what people call a trial."""
        return self.jobs[digest].name if digest in self.jobs else str(digest)

    def snapshot(self) -> dict[str, Any]:
        """Return what is known as plain values: counts, seconds passed and left, and each running trial."""
        now = self.clock()
        running = [
            {"trial": run.name, "seconds": now - run.started_s, "predicted_peak_bytes": run.predicted_peak_bytes}
            | {name: run.values.get(name) for name in SHOWN}
            for run in list(self.running.values())  # a copy: a display may draw in a thread of its own
        ]
        return {
            "total": self.total,
            "done": self.done,
            "waiting": max(0, self.waiting),
            "states": dict(self._states),
            "slots": self._slots,
            "stopping": self._stopping,
            "seconds": now - self._began_s,
            "left_s": self.left_s(),
            "running": running,
        }

    def left_s(self) -> float | None:
        """Return the seconds until the last trial ends, from those that ended and the epochs of those that run."""
        now = self.clock()
        shares = [(now - run.started_s, _share(run.values)) for run in list(self.running.values())]
        lengths = self._durations or [spent / share for spent, share in shares if share]
        if not lengths:
            return None
        length = sum(lengths) / len(lengths)
        rests = [spent * (1 - share) / share if share else max(0.0, length - spent) for spent, share in shares]
        slots = max(1, self._slots, len(rests))
        return max([(sum(rests) + self.waiting * length) / slots, *rests])

    def _start(self, digest: str) -> None:
        if digest not in self.running:
            job = self.jobs[digest]
            self.waiting -= 1
            self.running[digest] = Running(job.name, job.predicted_peak_bytes, self.clock())

    def _end(self, event: Event) -> Running:
        digest = str(event.digest)
        run = self.running.pop(digest, None)
        if run is None:
            self.waiting -= 1
            run = Running(self.jobs[digest].name, self.jobs[digest].predicted_peak_bytes, self.clock())
        run.values.update(event.values)
        self._states[str(event.state)] += 1
        if event.state not in ("failed", "interrupted"):
            self.done += 1
        if event.state == "finished":
            self._durations.append(self.clock() - run.started_s)
        return run


def _share(values: Metrics) -> float:
    epoch, epochs = values.get("epoch"), values.get("epochs")
    return min(1.0, float(epoch) / float(epochs)) if epoch and epochs else 0.0
