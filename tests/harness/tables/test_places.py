"""Tables on any file system: the same promises on a folder, a URI, a foreign file system and S3."""

import uuid
from pathlib import Path

import pytest
from pyarrow import fs

from harness.tables import (
    Place,
    TableUnwritable,
    check_writable,
    compact,
    load,
    read_curves,
    read_trials,
    sql,
    write_curves,
    write_row,
)
from harness.tables.query import ARCHIVE_FOLDER
from harness.tables.storage import list_tables, place_of, write_bytes

KINDS = ["path", "text", "uri", "subtree", "memory", "s3"]


@pytest.fixture(params=KINDS)
def root(request, tmp_path):
    """Return an empty place for tables on every kind of file system."""
    if request.param == "s3":
        return request.getfixturevalue("s3").uri(f"bucket/{uuid.uuid4().hex}")
    if request.param == "memory":
        fsspec = pytest.importorskip("fsspec")
        memory = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory")))
        return Place(memory, f"/{uuid.uuid4().hex}", "memory://")
    return {
        "path": tmp_path / "results",
        "text": f"{tmp_path}/results/",
        "uri": f"file://{tmp_path}/results",
        "subtree": Place(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "results"),
    }[request.param]


def study(root, name="scale_frames"):
    return place_of(root).child(name)


def test_what_is_written_is_read(root, make_row):
    row = make_row()
    write_row(study(root), row)
    write_curves(study(root), row["digest"], 1, [{"epoch": 0, "step": 0, "loss": 1.5}])
    (back,) = load(root).to_pylist()
    assert (back["digest"], dict(back["map_at"]), back["peak_bytes"]) == (
        row["digest"],
        row["map_at"],
        row["peak_bytes"],
    )
    assert read_curves(root).table.to_pylist() == [
        {"study": "scale_frames", "digest": row["digest"], "attempt": 1}
        | {"epoch": 0, "step": 0, "name": "loss", "value": 1.5}
    ]
    assert read_trials(root).skipped == read_curves(root).skipped == ()
    assert sql("select map_avg, value from best join curves using (digest)", root).num_rows == 1


def test_where_nothing_is_there_are_no_rows(root):
    assert load(root).num_rows == read_curves(root).table.num_rows == 0
    assert not place_of(root).is_folder


def test_only_whole_files_are_left(root, make_row):
    for seed in range(3):
        write_row(study(root), make_row({"seed": seed}))
    check_writable(study(root))
    place = place_of(root)
    everything = place.filesystem.get_file_info(fs.FileSelector(place.path, recursive=True))
    assert len([info for info in everything if info.is_file]) == len(list_tables(place)) == 3


def test_archived_results_are_left_out_unless_asked_for(root, make_row):
    write_row(study(root), make_row())
    write_row(study(study(root, ARCHIVE_FOLDER), "before"), make_row({"seed": 1}))
    assert load(root)["seed"].to_pylist() == [0]
    assert load(study(root, ARCHIVE_FOLDER))["seed"].to_pylist() == [1]


def test_compaction_leaves_one_file_and_every_row(root, make_row):
    for seed in range(5):
        row = make_row({"seed": seed})
        write_row(study(root), row)
        write_curves(study(root), row["digest"], 1, [{"epoch": 0, "step": step, "loss": 1.0} for step in range(4)])
    before, curves = load(root), read_curves(root).table
    assert sorted((done.files, done.rows) for done in compact(root)) == [(5, 5), (5, 20)]
    assert len(list_tables(place_of(root))) == 2
    assert load(root).equals(before)
    assert read_curves(root).table.equals(curves)
    assert compact(root) == ()


def test_a_damaged_file_is_named_where_it_lies(root, make_row):
    write_row(study(root), make_row())
    write_bytes(study(root).child("cut.parquet"), b"PAR1 and then nothing")
    loaded = read_trials(root)
    assert loaded.table.num_rows == 1
    ((path, _),) = loaded.skipped
    assert str(path) == str(study(root).child("cut.parquet"))
    assert "?" not in str(path)


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_many_writers_lose_nothing(kind, request, tmp_path, make_row, run_writers):
    place = request.getfixturevalue("s3").uri(f"bucket/{uuid.uuid4().hex}") if kind == "s3" else str(tmp_path / "s")
    writers = run_writers(place, make_row(), processes=3, attempts=5)
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert load(place).num_rows == 15
    assert read_curves(place).table.num_rows == 45
    assert read_trials(place).skipped == ()


def test_a_table_costs_one_put_on_s3(s3, make_row):
    folder = f"bucket/{uuid.uuid4().hex}"
    shown = write_row(s3.uri(folder), make_row())
    assert shown.startswith(f"s3://{folder}/")
    sent = [line for line in s3.requests(folder.partition("/")[2]) if not line.startswith(("GET", "HEAD"))]
    assert sent == [f"PUT /{shown.removeprefix('s3://')}"]


def test_a_bucket_that_is_not_there_is_named_in_one_sentence(s3, make_row):
    with pytest.raises(TableUnwritable, match=r"results cannot be written to s3://nowhere/x: .*bucket does not exist"):
        write_row(s3.uri("nowhere/x"), make_row())


@pytest.mark.parametrize("uri", ["nothing://x/y", "s3://bucket/x?no_such_option=1"])
def test_a_uri_that_cannot_be_understood_is_named(uri):
    with pytest.raises(ValueError, match=rf"{uri.partition('?')[0]} is not a place that can be opened: "):
        load(uri)


def test_a_uri_that_became_a_path_is_not_taken_for_a_folder():
    with pytest.raises(ValueError, match="s3:/bucket/x was a URI"):
        load(Path("s3://bucket/x"))


def test_a_foreign_file_system_that_refuses_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    place = Place(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "file/study", "lab://")
    with pytest.raises(TableUnwritable, match="results cannot be written to lab://file/study: "):
        check_writable(place)


def test_a_failed_rename_leaves_nothing_behind(tmp_path, make_row, monkeypatch):
    class Full(fs.FSSpecHandler):
        def move(self, src, dest):
            raise OSError(28, "No space left on device")

    fsspec = pytest.importorskip("fsspec")
    place = Place(fs.PyFileSystem(Full(fsspec.filesystem("file"))), str(tmp_path / "s"), "slow://")
    with pytest.raises(TableUnwritable, match="No space left"):
        write_row(place, make_row())
    assert list((tmp_path / "s").iterdir()) == []
