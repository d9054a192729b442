"""Folding the many small files of a folder into one, so that reading them stays quick.

    read all -> write one new file -> read it back -> delete the old ones

Nothing else is needed for safety. The new file is there as a whole or not at all; until the last old file is deleted an
attempt may stand in two files, and every reader counts it once (`harness.tables.query`). So after a crash between any
two steps a reader sees what it saw before, and the next compaction tidies up.

Only a study's driver compacts, since it alone knows that no other driver does; workers may write meanwhile.
"""

import uuid
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from harness.tables.gather import Gathered
from harness.tables.query import (
    gather_curves,
    gather_trials,
    holds_curves,
    live_tables,
    one_file_per_attempt,
    one_row_per_attempt,
)
from harness.tables.storage import (
    SUFFIX,
    Found,
    Location,
    Place,
    TableUnwritable,
    delete,
    place_of,
    read_bytes,
    write_bytes,
)

WORTH_IT = 200
"""Files in a folder from which on a driver compacts it; fewer are read in a fraction of a second."""


class Compacted(NamedTuple):
    """What became of a folder."""

    folder: Path | str
    files: int
    """Files that were folded into one."""
    rows: int


def compact(root: Location, *, at_least: int = 2) -> tuple[Compacted, ...]:
    """Fold the table files of each folder below `root` into one, where there are `at_least` so many.

    Files that this program cannot read, of a newer version for instance, stay as they are.

    Raises:
        TableUnwritable: the new file could not be written, or came out wrong; the old ones are all there.
    """
    files = sorted(live_tables(place_of(root)), key=lambda found: found.folders)
    folders = [list(group) for _, group in groupby(files, key=lambda found: found.folders)]
    done = (_compact(found) for found in folders if len(found) >= max(2, at_least))
    return tuple(entry for entry in done if entry is not None)


def write_part(folder: Place, table: pa.Table) -> Place:
    """Write many rows as one file and make sure that it holds them.

    Raises:
        TableUnwritable: it could not be written, or came out wrong.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    file = folder.child(f"part-{uuid.uuid4().hex[:8]}{SUFFIX}")
    write_bytes(file, sink.getvalue())
    if not read_bytes(file).equals(sink.getvalue()):
        delete([file])
        raise TableUnwritable(f"{file} does not hold what was written to it; the old files are all there")
    return file


def _compact(files: Sequence[Found]) -> Compacted | None:
    gather, dedupe = _rules(files)
    gathered = gather(files)
    if len(gathered.used) < 2 or gathered.vanished:
        return None
    table = dedupe(gathered)
    path = gathered.used[0].path.rpartition("/")[0]
    folder = Place(gathered.used[0].filesystem, path, gathered.used[0].prefix)
    write_part(folder, table)
    delete(gathered.used)
    return Compacted(folder.shown, len(gathered.used), len(table))


def _rules(
    files: Sequence[Found],
) -> tuple[Callable[[Sequence[Found]], Gathered], Callable[[Gathered], pa.Table]]:
    """Return how files of this folder are read, and how what stands in several of them is counted once."""
    if holds_curves(files[0]):
        return gather_curves, one_file_per_attempt
    return gather_trials, lambda gathered: one_row_per_attempt(gathered.table)
