"""The study's display: live on a terminal, calm lines in a log file, nothing when quiet. Knows events, not Ray.

with Progress(jobs, total=12, done_before=3) as progress:
    run_sweep(..., on_event=progress.handle)
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.orchestrate.jobs import Event, Job, Metrics

CALM_SECONDS = 10.0
"""In a log file, at most one line of progress per this many seconds (starts and ends of trials have their own)."""

STYLES = {"finished": "green", "failed": "red", "out_of_memory": "yellow", "interrupted": "yellow"}


@dataclass
class _Running:
    name: str
    predicted_peak_bytes: int | None
    started_s: float
    values: Metrics = field(default_factory=dict)


class Progress:
    """Shows a sweep; `handle` takes its events."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        total: int | None = None,
        done_before: int = 0,
        quiet: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the display.

        Args:
            jobs: the jobs of this sweep.
            total: trials of the whole study; by default those of this sweep and `done_before`.
            done_before: trials that earlier runs finished.
            quiet: show nothing.
            console: where to; by default stderr, because stdout is for results.
            clock: seconds, for tests.
        """
        self._jobs = {job.digest: job for job in jobs}
        self._total = len(jobs) + done_before if total is None else total
        self._done = done_before
        self._failed = 0
        self._states: Counter[str] = Counter()
        self._quiet = quiet
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._durations: list[float] = []
        self._waiting = self._total - done_before
        self._slots = 0
        self._stopping = False
        self._began_s = clock()
        self._last_line_s = clock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start the display."""
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self.render, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._say(f"{self._done} of {self._total} trials done, starting Ray workers for {self._waiting}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the display; the lines of ended trials stay."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def handle(self, event: Event) -> None:
        """Take an event, say what deserves a line, and keep the rest for the next look."""
        match event.kind:
            case "slots":
                self._slots = int(event.values.get("up") or 0)
                if event.reason:
                    self._say(f"a slot went away: {event.reason}", "yellow")
            case "added":
                assert event.job is not None
                self._jobs[event.job.digest] = event.job
            case "started":
                self._start(event)
            case "report":
                if event.digest in self._running:
                    self._running[event.digest].values.update(event.values)
            case "retried":
                self._say(f"restarting {self._name(event.digest)} from its checkpoint: {event.reason}", "yellow")
            case "ended":
                self._end(event)
            case "stopping":
                self._stopping = True
                self._say("stopping: running trials save their state (Ctrl-C again to leave at once)", "yellow")
        if self._live is None and self._running and self._clock() - self._last_line_s >= CALM_SECONDS:
            self._say(
                self.summary() + "".join(f"; {line}" for line in map(self._describe, list(self._running.values())))
            )

    def summary(self) -> str:
        """Return the counts and the time that is left, in one line."""
        parts = [f"{self._done} of {self._total} trials done", f"{len(self._running)} running"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        left_s = self.left_s()
        if self._stopping:
            parts.append("stopping")
        elif not self._slots and not self._running:
            parts.append("starting Ray workers")
        elif left_s is not None:
            parts.append(f"about {duration(left_s)} left")
        return ", ".join(parts)

    def snapshot(self) -> dict[str, Any]:
        """Return what is known as plain values: counts, seconds left, and each running trial."""
        now = self._clock()
        running = [
            {"trial": run.name, "seconds": now - run.started_s, "predicted_peak_bytes": run.predicted_peak_bytes,
             **{name: run.values.get(name) for name in ("epoch", "epochs", "loss", "map_avg", "peak_bytes")}}
            for run in self._running.values()
        ]  # fmt: skip
        return {
            "total": self._total,
            "done": self._done,
            "failed": self._failed,
            "states": dict(self._states),
            "slots": self._slots,
            "left_s": self.left_s(),
            "running": running,
        }

    def left_s(self) -> float | None:
        """Return the seconds until the last trial ends, from those that ended and the epochs of those that run."""
        now = self._clock()
        shares = [(now - run.started_s, _share(run.values)) for run in list(self._running.values())]
        lengths = self._durations or [spent / share for spent, share in shares if share]
        if not lengths:
            return None
        length = sum(lengths) / len(lengths)
        rests = [spent * (1 - share) / share if share else max(0.0, length - spent) for spent, share in shares]
        slots = max(1, self._slots, len(rests))
        return max([(sum(rests) + self._waiting * length) / slots, *rests])

    def render(self) -> RenderableType:
        """Return what a terminal shows now."""
        head = Text(f"{self.summary()}  ·  {duration(self._clock() - self._began_s)}", style="bold")
        running = list(self._running.values())  # a copy: rich draws in a thread of its own
        if not running:
            return head
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trial", overflow="fold")
        for name in ("epoch", "loss", "mAP", "memory", "predicted", "time"):
            table.add_column(name, justify="right", no_wrap=True)
        for run in running:
            table.add_row(
                Text(run.name),
                _epoch(run.values),
                _number(run.values.get("loss"), ".3f"),
                _number(run.values.get("map_avg"), ".3f"),
                _bytes(run.values.get("peak_bytes")),
                _bytes(run.predicted_peak_bytes),
                duration(self._clock() - run.started_s),
            )
        return Group(head, table)

    def _start(self, event: Event) -> None:
        job = self._jobs[str(event.digest)]
        again = (event.values.get("hand_out") or 1) != 1
        if job.digest not in self._running:
            self._waiting -= 1
            self._running[job.digest] = _Running(job.name, job.predicted_peak_bytes, self._clock())
        if self._live is None and not again:
            self._say(f"started {job.name}")

    def _end(self, event: Event) -> None:
        job = self._jobs[str(event.digest)]
        run = self._running.pop(job.digest, None)
        if run is None:
            self._waiting -= 1
            run = _Running(job.name, job.predicted_peak_bytes, self._clock())
        seconds = self._clock() - run.started_s
        self._states[str(event.state)] += 1
        if event.state == "failed":
            self._failed += 1
        elif event.state != "interrupted":
            self._done += 1
        if event.state == "finished":
            self._durations.append(seconds)
        run.values.update(event.values)
        state = str(event.state).replace("_", " ")
        reason = f": {event.reason}" if event.reason else ""
        log = f" (traceback in {event.log})" if event.log else ""
        figures = f"  {self._figures(run)}{duration(seconds)}" if event.state == "finished" else ""
        self._say(f"{state} {job.name}{figures}{reason}{log}", STYLES.get(str(event.state)))

    def _figures(self, run: _Running) -> str:
        quality = _number(run.values.get("map_avg"), ".3f")
        memory, predicted = _bytes(run.values.get("peak_bytes")), _bytes(run.predicted_peak_bytes)
        parts = [f"mAP {quality}"] if quality else []
        if memory:
            parts.append(f"{memory} (predicted {predicted})" if predicted else memory)
        return "".join(f"{part}, " for part in parts)

    def _describe(self, run: _Running) -> str:
        loss = _number(run.values.get("loss"), ".3f")
        return f"{run.name}: " + ", ".join([f"epoch {_epoch(run.values) or '0'}", *([f"loss {loss}"] if loss else [])])

    def _name(self, digest: str | None) -> str:
        return self._jobs[digest].name if digest in self._jobs else str(digest)

    def _say(self, line: str, style: str | None = None) -> None:
        self._last_line_s = self._clock()
        if not self._quiet:
            # soft_wrap: a line in a log file stays one line, whatever width rich assumes for it.
            self._console.print(Text(line, style=style or ""), soft_wrap=True)


def duration(seconds: float) -> str:
    """Return seconds as people say them: `41 s`, `6 min 30 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _share(values: Metrics) -> float:
    epoch, epochs = values.get("epoch"), values.get("epochs")
    return min(1.0, float(epoch) / float(epochs)) if epoch and epochs else 0.0


def _epoch(values: Metrics) -> str:
    epoch, epochs = values.get("epoch"), values.get("epochs")
    return "" if epoch is None else f"{epoch}/{epochs}" if epochs else str(epoch)


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""


def _bytes(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
