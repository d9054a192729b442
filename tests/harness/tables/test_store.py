"""Writing and reading: what is written comes back, and no accident leaves half a file or hides a whole one."""

import os
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.config import TrialConfig, digest, flatten, unflatten
from harness.tables import (
    TRIALS,
    TableUnwritable,
    best,
    check_writable,
    config_values,
    latest,
    load,
    read_curves,
    read_trials,
    write_curves,
    write_row,
)


def test_a_row_comes_back_whole(tmp_path, make_row):
    row = make_row()
    path = write_row(tmp_path / "scale_frames", row)
    assert path.name.startswith(f"{row['digest']}-1-")
    assert path.suffix == ".parquet"
    (back,) = load(tmp_path).to_pylist()
    assert dict(back["map_at"]) == row["map_at"]
    assert dict(back["versions"]) == row["versions"]
    for name in ("study", "digest", "attempt", "peak_bytes", "argv", "started_utc", "data.window.frames", "map_avg"):
        assert back[name] == row[name]
    assert back["error"] is None
    assert back["model.adapter"] == "tia"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.tuning": "frozen", "model.adapter": None},
        {"evaluation.tious": (0.1, 0.25), "data.window.frames": 384},
        {"model.adapter.last_layers": 2},
    ],
)
def test_the_config_of_a_row_is_the_trials_own(tmp_path, make_row, changes):
    row = make_row(changes)
    write_row(tmp_path, row)
    values = config_values(load(tmp_path).to_pylist()[0])
    assert digest(unflatten(values, TrialConfig)) == row["digest"]
    assert flatten(unflatten(values, TrialConfig)) == {name: row[name] for name in values}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": None}, "lacks digest"),
        ({"peak_byte": 3}, "unknown results column peak_byte"),
        ({"peak_bytes": "3.8G"}, "peak_bytes is '3.8G', expected int64"),
        ({"map_avg": "high"}, "map_avg is 'high'"),
    ],
)
def test_a_wrong_row_is_refused_before_anything_is_written(tmp_path, make_row, changes, message):
    with pytest.raises(ValueError, match=message):
        write_row(tmp_path / "study", make_row(**changes))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, make_row, monkeypatch, failing):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(TableUnwritable, match=f"results cannot be written to {tmp_path}: No space left on device"):
        write_row(tmp_path, make_row())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path, make_row):
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: write_row(tmp_path / "file" / "study", make_row()),
        lambda: check_writable(tmp_path / "file"),
    ):
        with pytest.raises(TableUnwritable, match="file"):
            attempt()
    check_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path, make_row):
    tmp_path.chmod(0o500)
    with pytest.raises(TableUnwritable, match="Permission denied"):
        write_row(tmp_path, make_row())


def test_unreadable_files_are_skipped_and_reported(tmp_path, make_row, caplog):
    good = write_row(tmp_path / "a", make_row())
    (tmp_path / "a" / "cut.parquet").write_bytes(good.read_bytes()[:-100])
    (tmp_path / "a" / "empty.parquet").write_bytes(b"")
    (tmp_path / "a" / "unfinished.tmp").write_bytes(b"half")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a" / "foreign.parquet")
    future = pq.read_table(good).replace_schema_metadata({b"tadscale_schema": b"99"})
    pq.write_table(future, tmp_path / "a" / "future.parquet")
    loaded = read_trials(tmp_path)
    assert loaded.table.num_rows == 1
    reasons = {path.name: reason for path, reason in loaded.skipped}
    assert reasons.keys() == {"cut.parquet", "empty.parquet", "foreign.parquet", "future.parquet"}
    assert "version 99" in reasons["future.parquet"]
    assert "not a results table" in reasons["foreign.parquet"]
    load(tmp_path)
    assert "cut.parquet is left out" in caplog.text


def test_of_many_damaged_files_the_first_are_named_and_the_others_counted(tmp_path, caplog):
    for number in range(13):
        (tmp_path / f"{number:02}.parquet").write_bytes(b"")
    assert load(tmp_path).num_rows == 0
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == "3 more files are left out of the results"


def test_missing_columns_are_null_and_further_ones_kept(tmp_path, make_row):
    path = write_row(tmp_path, make_row())
    write_row(tmp_path, make_row({"seed": 1}))
    old = pq.read_table(path)
    other = old.drop_columns(["flops", "model.adapter.kernel"]).append_column("mood", pa.array(["good"]))
    pq.write_table(other, path)
    table = load(tmp_path)
    assert table.column_names == [*TRIALS.names, "mood"]
    rows = {row["seed"]: row for row in table.to_pylist()}
    assert rows[0]["mood"] == "good"
    assert rows[1]["mood"] is None
    assert rows[0]["model.adapter.kernel"] is None
    assert rows[1]["model.adapter.kernel"] == 3
    assert table.schema.field("peak_bytes").metadata[b"unit"] == b"bytes"


def test_columns_of_another_width_are_widened(tmp_path, make_row):
    path = write_row(tmp_path, make_row())
    table = pq.read_table(path)
    narrow = table.set_column(table.column_names.index("attempt"), "attempt", table["attempt"].cast(pa.int32()))
    pq.write_table(narrow, path)
    assert load(tmp_path).schema.field("attempt").type == pa.int64()


def test_latest_attempt_counts_and_best_is_the_latest_finished(tmp_path, make_row):
    for attempt, state in ((1, "finished"), (2, "finished"), (3, "failed")):
        write_row(tmp_path, make_row(attempt=attempt, state=state, map_avg=attempt / 10))
    write_row(tmp_path, make_row({"seed": 1}, state="interrupted"))
    table = load(tmp_path)
    assert table.num_rows == 4
    assert sorted(zip(*latest(table).select(["seed", "attempt"]).to_pydict().values(), strict=True)) == [(0, 3), (1, 1)]
    assert best(table)["map_avg"].to_pylist() == [0.2]


def test_an_attempt_written_twice_counts_once_and_finished_wins(tmp_path, make_row):
    row = make_row()
    write_row(tmp_path, row)
    write_row(tmp_path, {**row, "state": "interrupted", "ended_utc": row["ended_utc"] + timedelta(hours=1)})
    assert load(tmp_path)["state"].to_pylist() == ["finished"]


def test_no_folder_is_an_empty_table(tmp_path):
    table = load(tmp_path / "nothing here")
    assert table.num_rows == 0
    assert table.column_names == TRIALS.names
    assert latest(table).num_rows == best(table).num_rows == 0


def test_only_the_trials_own_part_of_the_config_is_stored(tmp_path, make_row):
    stored = pq.read_metadata(write_row(tmp_path, make_row())).schema.to_arrow_schema().names
    assert {"map_avg", "error", "model.backbone.width", "model.head.width"} <= set(stored)
    assert not {"model.head.map_hidden", "model.backbone.lateral_kernel"} & set(stored)


def test_columns_that_cannot_be_united_cost_the_file_and_not_the_table(tmp_path, make_row):
    names = []
    for seed, mood in enumerate((["good"], [[1]])):
        path = write_row(tmp_path, make_row({"seed": seed}))
        table = pq.read_table(path).append_column("mood", pa.array(mood))
        pq.write_table(table, path)
        names.append(path)
    write_row(tmp_path, make_row({"seed": 2}))
    loaded = read_trials(tmp_path)
    assert loaded.table.num_rows == 2
    assert len(loaded.skipped) == 1
    assert loaded.skipped[0].path in names
    assert "mood" in loaded.skipped[0].reason


def test_a_column_that_is_there_twice_costs_the_file(tmp_path, make_row):
    path = write_row(tmp_path, make_row())
    table = pq.read_table(path)
    pq.write_table(table.append_column("state", table["state"]), path)
    assert read_trials(tmp_path).skipped == ((path, "it has two columns of one name"),)


def test_curves_are_one_row_per_measurement(tmp_path, make_row):
    points = [{"epoch": 0, "step": 0, "loss": 1.5, "lr": 1e-4}, {"epoch": 0, "step": None, "map_avg": 0.25}]
    path = write_curves(tmp_path / "scale_frames", "abc", 2, points)
    assert path.parent == tmp_path / "scale_frames" / "curves"
    write_row(tmp_path / "scale_frames", make_row())
    curves = read_curves(tmp_path)
    assert curves.skipped == ()
    assert read_trials(tmp_path).skipped == ()
    assert [(r["study"], r["attempt"], r["step"], r["name"], r["value"]) for r in curves.table.to_pylist()] == [
        ("scale_frames", 2, 0, "loss", 1.5),
        ("scale_frames", 2, 0, "lr", 1e-4),
        ("scale_frames", 2, None, "map_avg", 0.25),
    ]
