"""How much a frame cache may hold, and who has to go.

Every entry (a folder of blocks) says in its file `bytes` how much it may grow to, so that the sum over the entries is
known without looking at every block. Room is made under one lock for the whole cache:

    sum of the others + needed <= limit    yes: the entry is promised its bytes
                                           no:  the entries used longest ago go, if that is enough

An entry that is being filled, or was used within the last `in_use_s`, stays: where a data set is larger than the cache,
every epoch would otherwise throw out what the next one starts with, and fill all of it again. The newcomer is turned
away instead.
"""

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from harness.atomic import whole_file

PROMISE = "bytes"
USED = "used"
LOCKS = "locks"
_GONE = ".gone-"

KEEP_FREE_BYTES = 2 * 2**30
"""A cache never takes the last of a disk."""


def make_room(folder: Path, entry: Path, needed: int, *, max_bytes: int, in_use_s: float) -> bool:
    """Promise an entry its bytes, throwing out others if need be; False: there is no room for it.

    What the entry was promised before is not counted twice.
    """
    with locked(folder / LOCKS / "room"), ExitStack() as held:
        _sweep(folder)
        others = {path: entry_bytes(path) for path in entries(folder) if path != entry}
        excess = sum(others.values()) + needed - max_bytes
        victims = []
        for path in sorted(others, key=last_used):
            if excess <= 0:
                break
            if time.time() - last_used(path) >= in_use_s and held.enter_context(filling(path)):
                victims.append(path)
                excess -= others[path]
        freed = sum(others[path] for path in victims)
        if excess > 0 or shutil.disk_usage(folder).free + freed < needed + KEEP_FREE_BYTES:
            return False
        for path in victims:
            _remove(path)
        entry.mkdir(exist_ok=True)
        touch(entry)
        with whole_file(entry / PROMISE) as temporary:
            temporary.write_text(str(needed))
        return True


def entries(folder: Path) -> list[Path]:
    """Return the entries of a cache."""
    return [path for path in _folders(folder) if path.name != LOCKS and not path.name.startswith(_GONE)]


def entry_bytes(entry: Path) -> int:
    """Return what an entry was promised, or what it holds if nothing says so."""
    try:
        return int((entry / PROMISE).read_text())
    except (OSError, ValueError):
        return held_bytes(entry)


def held_bytes(entry: Path) -> int:
    """Return the bytes of an entry's files."""
    total = 0
    for path in entry.iterdir() if entry.is_dir() else ():
        try:
            total += path.stat().st_size
        except OSError:
            continue  # thrown out meanwhile
    return total


def touch(entry: Path) -> None:
    """Note that an entry is in use; OSError if it was thrown out."""
    (entry / USED).touch()


def last_used(entry: Path) -> float:
    """Return when an entry was last used; one that does not say never was."""
    try:
        return (entry / USED).stat().st_mtime
    except OSError:
        return 0.0


def filling(entry: Path) -> AbstractContextManager[bool]:
    """Hold the right to fill an entry, or to throw it out; give False if somebody else has it.

    A few locks serve all entries: two that share one wait for each other, now and then in vain.
    """
    return locked(entry.parent / LOCKS / entry.name[:2], wait=False)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a file lock; without `wait`, say whether it was free. It ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _remove(entry: Path) -> None:
    """Make an entry vanish at once; who has a block open can read it to the end."""
    gone = entry.with_name(f"{_GONE}{uuid.uuid4().hex}")
    os.replace(entry, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed while removing left behind."""
    for path in _folders(folder):
        if path.name.startswith(_GONE):
            shutil.rmtree(path, ignore_errors=True)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as found:
        return [Path(item.path) for item in found if item.is_dir(follow_symlinks=False)]
