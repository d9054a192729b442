"""The study's display: live on a terminal, calm lines in a log file, nothing when quiet. Knows events, not Ray.

with Progress(jobs, total=12, done_before=3) as progress:
    run_sweep(..., on_event=progress.handle)
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from harness.orchestrate import screen
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.tally import Running, Tally

CALM_SECONDS = 10.0
"""In a log file, at most one line of progress per this many seconds (starts and ends of trials have their own)."""

STYLES = {"finished": "green", "failed": "red", "out_of_memory": "yellow", "interrupted": "yellow"}


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
        price: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the display.

        Args:
            jobs: the jobs of this sweep.
            total: trials of the whole study; by default those of this sweep and `done_before`.
            done_before: trials that earlier runs finished.
            quiet: show nothing.
            console: where to; by default stderr, because stdout is for results.
            price: of all machines for an hour; shows what the study costs.
            clock: seconds, for tests.
        """
        total = len(jobs) + done_before if total is None else total
        self._tally = Tally(jobs, total=total, done_before=done_before, clock=clock)
        self._quiet = quiet
        self._console = console or Console(stderr=True)
        self._price = price
        self._clock = clock
        self._last_line_s = clock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start the display."""
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self.render, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            done, total, waiting = self._tally.done, self._tally.total, self._tally.waiting
            self._say(f"{done} of {total} trials done, starting Ray workers for {waiting}")
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
        name = self._tally.name(event.digest)
        ended = self._tally.hear(event)
        match event.kind:
            case "slots" if event.reason:
                self._say(f"a slot went away: {event.reason}", "yellow")
            case "started" if self._live is None and (event.values.get("hand_out") or 1) == 1:
                self._say(f"started {name}")
            case "retried":
                self._say(f"restarting {name} from its checkpoint: {event.reason}", "yellow")
            case "renewed":
                self._say(f"starting a slot's worker anew: {event.reason}", "yellow")
            case "ended":
                assert ended is not None
                self._say_end(event, ended)
            case "stopping":
                self._say("stopping: running trials save their state (Ctrl-C again to leave at once)", "yellow")
            case _:
                pass
        if self._live is None and self._tally.running and self._clock() - self._last_line_s >= CALM_SECONDS:
            self._say("; ".join([self.summary(), *map(screen.line, self.snapshot()["running"])]))

    def summary(self) -> str:
        """Return the counts, the time that is left and the cost, in one line."""
        return screen.summary(self.snapshot(), self._price)

    def snapshot(self) -> dict[str, Any]:
        """Return what is known as plain values; see `Tally.snapshot`."""
        return self._tally.snapshot()

    def left_s(self) -> float | None:
        """Return the seconds until the last trial ends."""
        return self._tally.left_s()

    def render(self) -> RenderableType:
        """Return what a terminal shows now."""
        return screen.screen(self.snapshot(), self._price)

    def _say_end(self, event: Event, run: Running) -> None:
        state = str(event.state).replace("_", " ")
        reason = f": {event.reason}" if event.reason else ""
        log = f" (traceback in {event.log})" if event.log else ""
        parts: list[str] = []
        if event.state == "finished":
            quality = screen.percent(run.values.get("map_avg"))
            measured = {"peak_bytes": run.values.get("peak_bytes"), "predicted_peak_bytes": run.predicted_peak_bytes}
            seconds = screen.duration(self._clock() - run.started_s)
            parts = [f"mAP {quality}" if quality else "", screen.memory(measured), seconds]
        figures = "  " + ", ".join(part for part in parts if part) if parts else ""
        self._say(f"{state} {run.name}{figures}{reason}{log}", STYLES.get(str(event.state)))

    def _say(self, line: str, style: str | None = None) -> None:
        self._last_line_s = self._clock()
        if not self._quiet:
            # soft_wrap: a line in a log file stays one line, whatever width rich assumes for it.
            self._console.print(Text(line, style=style or ""), soft_wrap=True)
