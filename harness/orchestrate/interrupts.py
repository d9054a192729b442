"""Ctrl-C and SIGTERM while trials run: the first asks, the second breaks off, the third ends the process.

    first    is only noted; the study looks at it where stopping tears nothing apart, so never inside Ray's start
    second   raises KeyboardInterrupt while trials run (`breakable`), and ends the process where there are none
    third    ends the process

Ending the process is safe: Ray's processes die with it, and rows and checkpoints are written whole or not at all.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

STOPPED_CODE = 130
ECHO_S = 0.2
"""Signals this close are one wish: `timeout` and `uv run` pass on what the process has heard already."""
SHOW_CURSOR = b"\x1b[?25h"
LAST_WORDS = b"stopped; start the same command again to go on\n"


class Interrupts:
    """Listens to Ctrl-C and SIGTERM as a context; may be entered again inside itself."""

    def __init__(
        self,
        *,
        on_first: Callable[[], None] = lambda: None,
        leave: Callable[[int], Any] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Note nothing yet.

        Args:
            on_first: called when the first is heard, between any two instructions of the main thread.
            leave: ends the process, for tests.
            clock: seconds, for tests.
        """
        self.asked = False
        """Whether the study is to stop."""
        self._on_first = on_first
        self._leave = leave
        self._clock = clock
        self._breakable = False
        self._heard_s = -1.0
        self._depth = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Listen."""
        self._depth += 1
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        self._depth -= 1
        if self._depth:
            return
        for number, handler in self._before.items():
            # Python knows no handler that was set from C; Ray's would print a stack trace.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def listen(self) -> None:
        """Take the signals, again if need be: Ray takes SIGTERM when it starts, to print where everybody was."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python gives signals to the main thread only
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.signal(number, self._hear)
            self._before.setdefault(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the study is to stop: the caller has nothing yet that would have to be saved."""
        if self.asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def breakable(self) -> Iterator[None]:
        """Let the second signal raise KeyboardInterrupt inside the block; it ends the block and goes no further."""
        self._breakable = True
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            self._breakable = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = self._clock()
        if self.asked and now - self._heard_s < ECHO_S:
            return
        self._heard_s = now
        if not self.asked:
            self.asked = True
            self._on_first()
        elif self._breakable:
            self._breakable = False
            raise KeyboardInterrupt
        else:
            os.write(2, (SHOW_CURSOR if sys.stderr.isatty() else b"") + LAST_WORDS)
            self._leave(STOPPED_CODE)
