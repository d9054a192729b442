"""Files of version 1, written by commit 8f19a1a, stay readable for good: do not write them anew."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.tables import CURVES, TRIALS, VERSION, compact, config_values, load, read_curves, read_trials, sql

FIXTURES = Path(__file__).parent / "fixtures"
CONFIGS = json.loads((FIXTURES / "version_1_configs.json").read_text())


@pytest.fixture(params=["single files", "compacted"])
def results(request, tmp_path):
    folder = tmp_path / "scale_frames"
    (folder / "curves").mkdir(parents=True)
    for name in ("version_1.parquet", "version_1_too_large.parquet"):
        shutil.copy(FIXTURES / name, folder)
    shutil.copy(FIXTURES / "version_1_curves.parquet", folder / "curves")
    if request.param == "compacted":
        assert [done.files for done in compact(tmp_path)] == [2]
    return tmp_path


@pytest.mark.parametrize("name", ["version_1.parquet", "version_1_too_large.parquet"])
def test_every_value_of_a_version_1_row_is_read(results, name):
    stored = pq.read_table(FIXTURES / name)
    assert stored.schema.metadata[b"tadscale_schema"] == b"1"
    (old,) = stored.to_pylist()
    rows = {row["digest"]: row for row in load(results).to_pylist()}
    new = rows[old["digest"]]
    for column, value in old.items():
        # Where a field has become a list since, the value is a list of one.
        became_list = isinstance(new[column], list) and not isinstance(value, list)
        assert new[column] == ([value] if became_list else value), column


def test_nothing_is_skipped_and_types_are_todays(results):
    trials, curves = read_trials(results), read_curves(results)
    assert trials.skipped == curves.skipped == ()
    assert trials.table.select(TRIALS.names).schema.equals(TRIALS, check_metadata=True)
    assert curves.table.schema.equals(CURVES, check_metadata=True)


def test_version_1_curves_are_read(results):
    curves = read_curves(results).table
    assert curves["name"].to_pylist() == ["loss", "lr", "loss", "lr", "map_avg"]
    assert curves["value"].to_pylist() == [2.5, 1e-4, 1.25, 2e-4, 0.6875]
    assert curves["step"].to_pylist() == [0, 0, 1, 1, None]


@pytest.mark.parametrize("state", ["finished", "too_large"])
def test_the_config_of_a_version_1_row_is_what_it_was(results, state):
    (row,) = (row for row in load(results).to_pylist() if row["state"] == state)
    values = json.loads(json.dumps(config_values(row)))
    known = {path: value for path, value in CONFIGS[state].items() if path in values}
    assert {path: values[path] for path in known} == known
    assert len(known) > 50


def test_version_1_answers_todays_queries(results):
    answer = sql("select frames, head, adapter, map_at['0.5'] as half from best", results)
    assert answer.to_pylist() == [{"frames": 768, "head": "actionformer", "adapter": "tia", "half": 0.71}]


def test_a_newer_version_is_left_out_and_left_alone(tmp_path, make_row):
    table = pq.read_table(FIXTURES / "version_1.parquet")
    newer = table.append_column("meaning of life", pa.array([42]))
    path = tmp_path / "newer.parquet"
    pq.write_table(newer.replace_schema_metadata({b"tadscale_schema": str(VERSION + 1).encode()}), path)
    for name in ("version_1.parquet", "version_1_too_large.parquet"):
        shutil.copy(FIXTURES / name, tmp_path)
    compact(tmp_path)
    assert path.exists()
    ((skipped, reason),) = read_trials(tmp_path).skipped
    assert (skipped, reason) == (path, f"it has schema version {VERSION + 1}, this program reads up to {VERSION}")
    assert load(tmp_path).num_rows == 2
