"""What drivers leave on a shared store about themselves: a small file each, `STUDY/.driver/NAME.json`."""

import json
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
from pyarrow import fs

from harness.tables.storage import Location, Place, delete, place_of, read_bytes, write_bytes

FOLDER = ".driver"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a driver writes about itself."""

    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    host: str = field(default_factory=socket.gethostname)
    machine: str = field(default_factory=lambda: machine())
    """Where process numbers mean something."""
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=lambda: psutil.Process().create_time())
    """When the process began, by its own machine's clock: numbers are used again."""
    since: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    held: bool = False
    """False while it is still looking for others."""
    took_over: tuple[str, ...] = ()
    """Names of claims that were given up for dead."""

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to be gone; of another machine's nothing is known."""
        if self.machine != machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True


class Seen(NamedTuple):
    """A claim as it lies there."""

    claim: Claim
    renewed: datetime | None
    """By the store's clock; None where the store does not say."""


class Claims:
    """The claims to one study."""

    def __init__(self, study: Place) -> None:
        """Know the study's folder or prefix."""
        self.folder = study.child(FOLDER)

    def write(self, claim: Claim) -> None:
        """Write or renew a claim."""
        write_bytes(self._file(claim.name), json.dumps(asdict(claim)).encode())

    def remove(self, names: Sequence[str]) -> None:
        """Remove claims; those that are gone already are no error."""
        delete([self._file(name) for name in names])

    def read(self) -> dict[str, Seen]:
        """Return every claim by its name; one that cannot be understood counts as held by somebody."""
        selector = fs.FileSelector(self.folder.path, allow_not_found=True)
        found: dict[str, Seen] = {}
        for info in self.folder.filesystem.get_file_info(selector):
            name = info.base_name.removesuffix(".json")
            if name == info.base_name or name.startswith("."):
                continue
            try:
                values = json.loads(read_bytes(self._file(name)).to_pybytes())
                found[name] = Seen(Claim(**{**values, "took_over": tuple(values["took_over"])}), info.mtime)
            except FileNotFoundError:
                continue
            except (ValueError, TypeError, KeyError):
                unknown = Claim(name=name, host="some machine", machine="", pid=0, started=0.0, since="?", held=True)
                found[name] = Seen(unknown, info.mtime)
        return found

    def _file(self, name: str) -> Place:
        return self.folder.child(f"{name}.json")


def claimed(location: Location) -> list[Place]:
    """Return the studies at a place, or below it, to which there are claims."""
    top = place_of(location)
    selector = fs.FileSelector(top.path, recursive=True, allow_not_found=True)
    paths = {info.path.rpartition("/")[0] for info in top.filesystem.get_file_info(selector) if info.is_file}
    return [replace(top, path=path.rpartition("/")[0]) for path in sorted(paths) if path.endswith(f"/{FOLDER}")]


def machine() -> str:
    """Return what tells apart the places where processes are numbered: a running kernel, and a container on it."""
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()}-{numbers.stat().st_ino}"
    except OSError:
        return f"{uuid.getnode():x}-{int(psutil.boot_time())}"
