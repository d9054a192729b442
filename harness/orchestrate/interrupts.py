"""Ctrl-C while trials run."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Counts Ctrl-C (and SIGTERM): the first only leaves a note, so that nothing is torn apart; the second raises."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Listen to signals; only the main thread of a process can."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
