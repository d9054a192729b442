"""Work that may never come back: done in a thread that is given up when there is no sign of life for too long."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

BATCH_TIMEOUT_S = 600.0
"""Longest wait for a batch without any sign of life from those who load it. A cold network file system, asked for the
far end of a long video, may take minutes."""

GIVEN_UP = "given up: "
"""How the names of threads begin that were left behind."""


class NoSignOfLife(Exception):
    """The work was given up; its thread is left behind."""


def guarded(work: Callable[[], T], timeout_s: float, last_sign_s: Callable[[], float], *, name: str) -> T:
    """Return what `work` returns, or raise what it raises; give up when it shows no sign of life for `timeout_s`.

    A thread stuck inside a decoder or a file system cannot be ended. It is left behind as a daemon, which does not keep
    the process from ending.

    Args:
        work: what is done.
        timeout_s: longest time without a sign.
        last_sign_s: says when the last one was, in seconds of `time.monotonic`; the start counts as one.
        name: of the thread.

    Raises:
        NoSignOfLife: it was given up.
    """
    result: list[T] = []
    failure: list[BaseException] = []
    finished = threading.Event()
    began_s = time.monotonic()

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # handed to the caller below
            failure.append(error)
        finally:
            finished.set()

    def left_s() -> float:
        return max(began_s, last_sign_s()) + timeout_s - time.monotonic()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    while not finished.wait(max(left_s(), 0.001)):
        if left_s() <= 0:
            thread.name = f"{GIVEN_UP}{name}"
            raise NoSignOfLife
    if failure:
        raise failure[0]
    return result[0]


def given_up() -> list[str]:
    """Return the names of the threads that were left behind and still hang."""
    names = [thread.name for thread in threading.enumerate()]
    return [name.removeprefix(GIVEN_UP) for name in names if name.startswith(GIVEN_UP)]
