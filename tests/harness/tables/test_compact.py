"""Compaction: whatever moment it is stopped at, readers see what they saw before."""

import math
import shutil
import threading
from datetime import timedelta

import pytest
from pyarrow import fs

import harness.atomic
import harness.tables.storage
from harness.tables import (
    WORTH_IT,
    Place,
    TableUnwritable,
    compact,
    compaction,
    load,
    query,
    read_curves,
    read_trials,
    write_curves,
    write_row,
)
from harness.tables.storage import delete, list_tables, place_of


@pytest.fixture
def results(tmp_path, make_row):
    """Four trials, one of them with two attempts, one attempt written twice; and their curves."""
    folder = tmp_path / "results" / "scale_frames"
    for seed in range(4):
        row = make_row({"seed": seed})
        write_row(folder, row)
        write_curves(folder, row["digest"], 1, [{"epoch": 0, "step": step, "loss": 1.0} for step in range(3)])
    write_row(folder, make_row(attempt=2, state="failed", map_avg=None))
    write_row(folder, {**row, "state": "interrupted", "ended_utc": row["ended_utc"] + timedelta(hours=1)})
    return tmp_path / "results"


class Killed(BaseException):
    """The process ended: nothing that comes later happens."""


class Death:
    """Ends the process at its n-th step of writing or deleting; afterwards no step has an effect."""

    def __init__(self, after):
        self.left = after

    def before(self, step):
        def guarded(*arguments, **options):
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return step(*arguments, **options)

        return guarded


def local(results, death, monkeypatch):
    for module, name in (
        (harness.atomic, "_flush"),
        (harness.atomic.os, "replace"),
        (harness.tables.storage, "_delete"),
    ):
        monkeypatch.setattr(module, name, death.before(getattr(module, name)))
    return results


def foreign(results, death, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    handler = fs.FSSpecHandler(fsspec.filesystem("file"))
    for name in ("create_dir", "open_output_stream", "move", "delete_file"):
        monkeypatch.setattr(handler, name, death.before(getattr(handler, name)))
    return Place(fs.PyFileSystem(handler), str(results), "lab://")


def in_order(curves):
    return curves.sort_by([("digest", "ascending"), ("step", "ascending")])


@pytest.mark.parametrize("kind", [local, foreign])
def test_a_crash_at_any_step_loses_and_duplicates_nothing(results, kind, tmp_path, monkeypatch):
    trials, curves = load(results), in_order(read_curves(results).table)
    assert (trials.num_rows, curves.num_rows) == (5, 12)
    # Two folders, each with a file to write in three steps; six and four files to delete.
    for step in range(2 * 3 + 6 + 4):
        copy = tmp_path / f"stopped at {step}"
        shutil.copytree(results, copy)
        with monkeypatch.context() as patches, pytest.raises(Killed):
            compact(kind(copy, Death(after=step), patches))
        for _ in range(2):
            assert load(copy).equals(trials)
            assert in_order(read_curves(copy).table).equals(curves)
            assert read_trials(copy).skipped == read_curves(copy).skipped == ()
            compact(copy)
        assert len(list_tables(place_of(copy))) == 2
    with monkeypatch.context() as patches:
        assert len(compact(kind(results, Death(after=step + 1), patches))) == 2


def test_a_full_disk_leaves_the_old_files(results, monkeypatch):
    before = sorted(results.rglob("*"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(harness.atomic.os, "fsync", full)
    with pytest.raises(TableUnwritable, match="No space left"):
        compact(results)
    assert sorted(results.rglob("*")) == before


def test_a_file_that_came_out_wrong_deletes_nothing(results, monkeypatch):
    trials = load(results)
    real = compaction.write_bytes
    monkeypatch.setattr(compaction, "write_bytes", lambda file, data: real(file, data.slice(0, data.size - 1)))
    before = sorted(results.rglob("*"))
    with pytest.raises(TableUnwritable, match="does not hold what was written"):
        compact(results)
    assert sorted(results.rglob("*")) == before
    assert load(results).equals(trials)


def test_what_is_not_a_number_stays_so(results, make_row):
    row = make_row({"seed": 9}, map_avg=math.nan, ap={"left": math.nan})
    write_row(results / "scale_frames", row)
    compact(results)
    (back,) = (found for found in load(results).to_pylist() if found["digest"] == row["digest"])
    assert math.isnan(back["map_avg"])
    assert math.isnan(dict(back["ap"])["left"])


def test_few_files_are_left_alone(results):
    before = sorted(results.rglob("*"))
    assert compact(results, at_least=WORTH_IT) == ()
    assert sorted(results.rglob("*")) == before


def test_studies_stay_apart(results, make_row):
    for seed in range(2):
        write_row(results / "other", make_row({"seed": seed}, study="other"))
    assert {str(done.folder): done.rows for done in compact(results)} == {
        str(results / "scale_frames"): 5,
        str(results / "scale_frames" / "curves"): 12,
        str(results / "other"): 2,
    }
    assert load(results / "other").num_rows == 2


def test_damaged_files_are_neither_folded_nor_deleted(results):
    cut = results / "scale_frames" / "cut.parquet"
    cut.write_bytes(b"PAR1")
    compact(results)
    assert [path for path, _ in read_trials(results).skipped] == [cut]
    assert load(results).num_rows == 5


def test_later_compactions_fold_earlier_ones(results, make_row):
    compact(results)
    write_row(results / "scale_frames", make_row({"seed": 9}))
    assert [done.files for done in compact(results)] == [2]
    assert load(results).num_rows == 6


@pytest.mark.parametrize("read", [read_trials, read_curves])
def test_a_compaction_between_listing_and_reading_hides_nothing(results, read, monkeypatch):
    expected = read(results).table.num_rows
    listed = query.live_tables

    def compacted_meanwhile(root):
        files = listed(root)
        compact(results)
        return files

    monkeypatch.setattr(query, "live_tables", compacted_meanwhile)
    loaded = read(results)
    assert (loaded.table.num_rows, loaded.skipped) == (expected, ())


def test_a_file_that_is_listed_for_ever_does_not_hold_up_the_others(results, monkeypatch):
    files = query.live_tables(place_of(results))
    gone, *others = [found for found in files if not query.holds_curves(found)]
    expected = query.one_row_per_attempt(query.gather_trials(others).table)
    monkeypatch.setattr(query, "PATIENCE_S", (0, 0, 0))
    monkeypatch.setattr(query, "live_tables", lambda _: files)
    delete([gone.place])
    assert load(results).equals(expected)


def test_readers_and_writers_go_on_meanwhile(results, make_row, run_writers):
    """Three processes write, a thread compacts without pause, and no reading ever sees fewer rows than the last."""
    writers = run_writers(str(results / "scale_frames"), make_row(), processes=3, attempts=8)
    stop = threading.Event()
    failures = []

    def compact_on():
        while not stop.is_set():
            try:
                compact(results)
            except Exception as error:
                failures.append(error)
                return

    folding = threading.Thread(target=compact_on)
    folding.start()
    seen = [load(results).num_rows]
    while any(writer.poll() is None for writer in writers):
        seen.append(load(results).num_rows)
    stop.set()
    folding.join()
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert failures == []
    assert seen == sorted(seen)
    assert load(results).num_rows == 5 + 24
    assert read_curves(results).table.num_rows == 12 + 72
