"""Reading the results tables: all files of a study, or of all studies, as one Arrow table."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.tables.gather import Gathered, Skipped, gather
from harness.tables.schema import CURVES, TRIALS
from harness.tables.storage import Found, Location, Place, list_tables, place_of
from harness.tables.write import CURVES_FOLDER

ARCHIVE_FOLDER = "archive"
"""Where `--fresh` puts earlier results, beside the studies' folders; not read with the rest."""
ATTEMPT = ("study", "digest", "attempt")
"""What identifies an attempt: a trial of a study, and how often it had been started."""
PATIENCE_S = (0.0, 0.2, 1.0, 3.0)
"""Waits before a folder is listed again whose files went away; network file systems show old listings for seconds."""

MOST_NAMED = 10
"""Files that are left out and named one by one."""

log = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A table and what is missing from it."""

    table: pa.Table
    skipped: tuple[Skipped, ...]


def load(root: Location) -> pa.Table:
    """Return every attempt below `root`, a study's folder or the folder of all; unreadable files are logged."""
    return logged(read_trials(root))


def read_trials(root: Location) -> Loaded:
    """Return every attempt below `root`, oldest first, and the files that could not be used.

    Columns that a file lacks are null, columns that the schema lacks are kept. When an attempt was written twice, by
    a worker that was believed dead for instance, its finished row counts, else the later one.
    """
    gathered = _settled(place_of(root), gather_trials, curves=False)
    return Loaded(one_row_per_attempt(gathered.table), gathered.skipped)


def read_curves(root: Location) -> Loaded:
    """Return every measurement below `root`, and the files that could not be used.

    When the curves of an attempt are in several files, the one that has most of them counts.
    """
    gathered = _settled(place_of(root), gather_curves, curves=True)
    return Loaded(one_file_per_attempt(gathered), gathered.skipped)


def gather_trials(files: Sequence[Found]) -> Gathered:
    """Read files of the trials table as they are."""
    return gather(files, TRIALS, (*ATTEMPT, "state"))


def gather_curves(files: Sequence[Found]) -> Gathered:
    """Read files of the curves table as they are."""
    return gather(files, CURVES, (*ATTEMPT[1:], "name", "value"))


def live_tables(root: Place) -> list[Found]:
    """Return the table files below a folder, except what `--fresh` set aside."""
    return [found for found in list_tables(root) if ARCHIVE_FOLDER not in found.folders]


def holds_curves(found: Found) -> bool:
    """Return whether a file is one of the curves table: they stand in a folder of their own."""
    return found.place.path.split("/")[-2:-1] == [CURVES_FOLDER]


def one_row_per_attempt(table: pa.Table) -> pa.Table:
    """Return the finished row of each attempt, else its later one; oldest first."""
    keys = table.select([*ATTEMPT, "state", "ended_utc"]).append_column("row", pa.array(np.arange(len(table))))
    keys = keys.sort_by([("ended_utc", "ascending"), ("digest", "ascending"), ("attempt", "ascending")])
    finished = keys["state"].to_numpy() == "finished"
    return _taken(table, keys["row"].to_numpy()[_winners(keys, ATTEMPT, finished)])


def one_file_per_attempt(gathered: Gathered) -> pa.Table:
    """Return the rows of each attempt from the one file that has most of them."""
    table = gathered.table
    owners = table.select(ATTEMPT).append_column("file", pa.array(gathered.file_of_row, pa.int64()))
    counted = owners.append_column("row", pa.array(np.arange(len(table))))
    pairs = counted.group_by([*ATTEMPT, "file"]).aggregate([("row", "list"), ("row", "count")])
    kept = _winners(pairs, ATTEMPT, pairs["row_count"].to_numpy())
    if len(kept) == len(pairs):
        return table
    rows = pairs["row_list"].take(pa.array(kept)).combine_chunks().flatten()
    return _taken(table, np.sort(rows.to_numpy()))


def latest(table: pa.Table) -> pa.Table:
    """Return the row of each trial's latest attempt."""
    return _taken(table, _winners(table, ATTEMPT[:2], table["attempt"].fill_null(0).to_numpy()))


def best(table: pa.Table) -> pa.Table:
    """Return the row of each trial's latest finished attempt; trials without one are left out."""
    return latest(table.filter(pc.field("state") == "finished"))


def logged(loaded: Loaded) -> pa.Table:
    """Return the table, and log what is missing from it."""
    for path, reason in loaded.skipped[:MOST_NAMED]:
        log.warning("%s is left out of the results: %s", path, reason)
    if len(loaded.skipped) > MOST_NAMED:
        log.warning("%d more files are left out of the results", len(loaded.skipped) - MOST_NAMED)
    return loaded.table


def _settled(root: Place, read: Callable[[Sequence[Found]], Gathered], *, curves: bool) -> Gathered:
    """Read a folder that may be compacted meanwhile: where files went away, their rows stand in a new one."""

    def once() -> Gathered:
        return read([found for found in live_tables(root) if holds_curves(found) == curves])

    gathered = once()
    for wait_s in PATIENCE_S:
        if not gathered.vanished:
            break
        time.sleep(wait_s)
        gathered = once()
    return gathered


def _winners(table: pa.Table, key: Sequence[str], score: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that score highest for their key, among equals the last; ascending."""
    count = len(table)
    if count == 0:
        return np.arange(0)
    rank = score.astype(np.int64) * count + np.arange(count)
    groups = table.select(key).append_column("rank", pa.array(rank)).group_by(list(key)).aggregate([("rank", "max")])
    return np.sort(groups["rank_max"].to_numpy() % count)


def _taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return rows by number; all of them in their order are the table itself."""
    if len(rows) == len(table) and np.array_equal(rows, np.arange(len(rows))):
        return table
    return table.take(pa.array(rows, pa.int64()))
