"""One study, one driver: two that write checkpoints of the same trials would spoil each other's."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.cli.options import UserError


@contextmanager
def one_driver(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back when the process ends, however it ends.

    Raises:
        UserError: another process holds it; its number and machine are named.
    """
    path = folder / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another"
            raise UserError(f"--results is {folder.parent}, where process {holder} is running this study") from None
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()} (since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC)")
        file.flush()
        yield
