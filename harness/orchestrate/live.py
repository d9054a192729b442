"""What a running study writes about itself, for `tadscale watch`: a small file, new about once a second."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.orchestrate.jobs import Event
from harness.orchestrate.progress import Progress

FILE = "live.json"
EVERY_S = 1.0


class LiveFile:
    """Passes events on to the display and writes down what it knows; gone when the study ends."""

    def __init__(self, path: Path, display: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know where to write; nothing is written before the first event."""
        self._path = path
        self._display = display
        self._clock = clock
        self._written_s = -EVERY_S

    def __enter__(self) -> "LiveFile":
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave no file behind that says the study runs."""
        self._path.unlink(missing_ok=True)

    def handle(self, event: Event) -> None:
        """Take an event."""
        self._display.handle(event)
        now = self._clock()
        if now - self._written_s >= EVERY_S or event.kind in ("started", "ended"):
            self._written_s = now
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
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(document))
            temporary.replace(self._path)
        except OSError:
            return  # a full disk is said where a row cannot be written; the display alone ends no study
