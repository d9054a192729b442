"""Ctrl-C and SIGTERM outside of Ray; while trials run they are `harness.orchestrate.interrupts`'."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 0.2
"""Signals this close are one wish: `timeout` and `uv run` pass on what the process has heard already."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM like it (a batch system, a stopped container), raise KeyboardInterrupt inside the block.

    An echo of the signal does not raise once more, where the first one is being answered.
    """
    raised_s = -ECHO_S

    def hear(number: int, frame: Any) -> None:
        nonlocal raised_s
        now = time.monotonic()
        if now - raised_s >= ECHO_S:
            raised_s = now
            raise KeyboardInterrupt

    with _heard_by(hear):
        yield


@contextmanager
def interrupt_later() -> Iterator[None]:
    """Let a Ctrl-C (or SIGTERM) wait until the block is over.

    For imports: a compiled module that is interrupted while it is loaded raises whatever its authors thought of.
    """
    heard: list[int] = []
    try:
        with _heard_by(lambda number, frame: heard.append(number)):
            yield
    finally:
        if heard:
            raise KeyboardInterrupt


def call(command: Sequence[str]) -> int:
    """Run a command and return its code; Ctrl-C and SIGTERM are its to answer, which may take it a while."""
    process: subprocess.Popen[bytes] | None = None
    heard: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        if process is None:
            heard.append(number)
        else:
            process.send_signal(number)

    with _heard_by(pass_on):
        process = subprocess.Popen(command)
        for number in heard:
            process.send_signal(number)
        return process.wait()


@contextmanager
def _heard_by(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread only
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
