"""What a running study writes about itself, for `tadscale watch`: a small file, renewed while it lives."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.orchestrate.jobs import Event
from harness.orchestrate.progress import Progress

FILE = "live.json"
EVERY_S = 1.0
QUIET_S = 10.0
"""Between two writings where nothing happens: an epoch may take an hour, and its study is not dead."""


class LiveFile:
    """Passes events on to the display and writes down what it knows; gone when the study ends."""

    def __init__(self, path: Path, display: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know where to write; nothing is written before the study begins."""
        self._path = path
        self._display = display
        self._clock = clock
        self._written_s = -EVERY_S
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="live-file", daemon=True)

    def __enter__(self) -> "LiveFile":
        """Begin; workers may take a minute to start, and somebody may be watching."""
        self._write()
        self._beating.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave no file behind that says the study runs."""
        self._over.set()
        if self._beating.is_alive():
            self._beating.join()
        self._path.unlink(missing_ok=True)

    def handle(self, event: Event) -> None:
        """Take an event."""
        self._display.handle(event)
        now = self._clock()
        if now - self._written_s >= EVERY_S or event.kind in ("started", "ended"):
            self._written_s = now
            self._write()

    def _beat(self) -> None:
        while not self._over.wait(QUIET_S):
            self._write()

    def _write(self) -> None:
        document: dict[str, Any] = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "written": time.time(),
            **self._display.snapshot(),
        }
        try:
            # Not flushed to the disk, as results are: nobody reads it after a power cut.
            with self._lock:
                temporary = self._path.with_suffix(".tmp")
                temporary.write_text(json.dumps(document))
                temporary.replace(self._path)
        except OSError:
            return  # a full disk is said where a row cannot be written; the display alone ends no study
