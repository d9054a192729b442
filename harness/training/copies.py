"""A trial's checkpoint on the store that holds the tables, so that it survives the machine that wrote it.

    work/DIGEST/checkpoint.pt on a machine --after every epoch, in the background--> the same name below the store
    the store's copy --before a trial goes on, where it is further than the machine's own--> work/DIGEST

One copy per epoch at most: where copying takes longer than an epoch, the newest checkpoint is copied next. A store that
cannot be written to costs the safety of the copy and not the trial.
"""

import contextlib
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from harness.atomic import whole_file
from harness.tables.storage import Location, Place, delete, place_of, write_bytes
from harness.training.checkpoint import CHECKPOINT, CURVE, read_progress


class Copies:
    """Copies of one trial's files; without a store, nothing is copied and nothing is fetched."""

    def __init__(self, tables: Location | None, work: Path) -> None:
        """Know both ends.

        Args:
            tables: the study's place on the store; None where everything stays in one folder.
            work: the trial's own folder on this machine, named by its digest.
        """
        self._work = work
        self._store = None if tables is None else place_of(tables).child("work", work.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copies")
        self._lock = threading.Lock()
        self._waiting = False

    def fetch(self, *, alone: bool) -> None:
        """Bring the store's checkpoint here if it is further than the one that is here.

        Args:
            alone: whether one process runs the trial. Several must begin at the same step, so all of them take the
                store's checkpoint, and none if it has none.

        Raises:
            OSError: the store cannot be read.
        """
        if self._store is None:
            return
        own = self._work / CHECKPOINT
        if not alone:
            own.unlink(missing_ok=True)
        here = read_progress(own)
        with contextlib.suppress(FileNotFoundError, _NotFurther), whole_file(own) as theirs:
            download(self._store.child(CHECKPOINT), theirs)
            there = read_progress(theirs)
            if there is None or (here is not None and here >= there):
                raise _NotFurther
            # Before the checkpoint, as it was copied: what a curve says of later epochs is ignored.
            with contextlib.suppress(FileNotFoundError), whole_file(self._work / CURVE) as curve:
                download(self._store.child(CURVE), curve)

    def saved(self) -> None:
        """Hear that there is a new checkpoint; it is copied in the background."""
        if self._store is None:
            return
        with self._lock:
            if self._waiting:
                return  # the copy that waits will be of the newest
            self._waiting = True
        self._thread.submit(self._copy, self._store)

    def settle(self) -> None:
        """Wait until what was saved is copied."""
        self._thread.shutdown()

    def keep_only_results(self) -> None:
        """Copy what a finished trial leaves behind, and drop the copy of its checkpoint."""
        self.settle()
        if self._store is None:
            return
        for path in sorted(self._work.iterdir()):
            if path.name not in (CHECKPOINT, CURVE):
                self.keep(path)
        with _said(self._work, self._store):
            delete([self._store.child(name) for name in (CHECKPOINT, CURVE)])

    def keep(self, path: Path) -> None:
        """Copy one file of the trial, if there is such a file."""
        if self._store is not None and path.is_file():
            with _said(path, self._store):
                write_bytes(self._store.child(path.name), path.read_bytes())

    def _copy(self, store: Place) -> None:
        with self._lock:
            self._waiting = False
        # Opened first: the curve that is read after that is at least as long as the checkpoint's.
        with _said(self._work, store), pa.memory_map(str(self._work / CHECKPOINT)) as checkpoint:
            curve = self._work / CURVE
            if curve.is_file():
                write_bytes(store.child(CURVE), curve.read_bytes())
            write_bytes(store.child(CHECKPOINT), checkpoint.read_buffer())


class _NotFurther(Exception):
    """The store's checkpoint is not further than the one that is here."""


@contextlib.contextmanager
def _said(work: Path, store: Place) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        print(f"{work} could not be copied to {store}: {error}", file=sys.stderr)


def download(source: Place, path: Path) -> None:
    """Copy a file from the store.

    Raises:
        FileNotFoundError: it is not there.
    """
    with source.filesystem.open_input_stream(source.path) as stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, 16 * 2**20)


def fetch_if_missing(tables: Location | None, path: Path) -> None:
    """Bring a file of the study's folder here, if the store has it and this machine does not."""
    if tables is not None and not path.is_file():
        with whole_file(path) as temporary:
            download(place_of(tables).child(path.name), temporary)
