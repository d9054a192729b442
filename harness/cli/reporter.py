"""What a run in this process tells the terminal, and how Ctrl-C reaches it."""

import signal
from contextlib import AbstractContextManager, ExitStack
from types import FrameType
from typing import Any

from harness.cli.terminal import Terminal
from harness.training.report import Metrics

STAGES = (("extracted", "videos", "extracting features"), ("test_batch", "test_batches", "testing"))
"""Which numbers of a report are progress of which stage."""


class TerminalReporter(AbstractContextManager["TerminalReporter"]):
    """Shows a run's stages one after another; the first Ctrl-C asks it to save its state and stop."""

    rank = 0
    world_size = 1

    def __init__(self, terminal: Terminal) -> None:
        """Show nothing yet."""
        self._terminal = terminal
        self._stack = ExitStack()
        self._stage = ""
        self._advance: Any = None
        self._stop = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "TerminalReporter":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def report(self, metrics: Metrics) -> None:
        """Show one set of metrics."""
        for done, total, stage in STAGES:
            if done in metrics and total in metrics:
                self._show(stage, metrics[done], metrics[total])
        if "epoch" in metrics:
            if self._terminal.console.is_terminal:
                self._show("training", metrics["epoch"], metrics["epochs"])
            self._terminal.note(f"epoch {metrics['epoch']} of {metrics['epochs']}: loss {metrics['loss']:.3f}")

    def should_stop(self) -> bool:
        """Say whether Ctrl-C or a termination came."""
        return self._stop

    def _show(self, stage: str, done: Any, total: Any) -> None:
        if stage != self._stage:
            self._stack.close()
            self._advance = self._stack.enter_context(self._terminal.stage(stage))
            self._stage = stage
        self._advance(done, total)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stop = True
        self._terminal.note("stopping after this step; Ctrl-C again stops at once")
