"""SQL over the tables, and over nothing else."""

import pytest

from harness.tables import sql, write_curves, write_row


@pytest.fixture
def results(tmp_path, make_row):
    for seed in (0, 1):
        for frames in (384, 768):
            row = make_row({"seed": seed, "data.window.frames": frames}, map_avg=frames / 1000 + seed / 100)
            write_row(tmp_path / "scale_frames", row)
    write_row(tmp_path / "scale_frames", make_row({"seed": 1}, attempt=2, state="failed", map_avg=None))
    write_curves(tmp_path / "scale_frames", row["digest"], 1, [{"epoch": 0, "step": 0, "loss": 2.0}])
    return tmp_path


def test_seeds_are_averaged_by_config_path(results):
    table = sql(
        'select "data.window.frames" frames, avg(map_avg) m, count(*) n from best group by 1 order by 1', results
    )
    assert table.to_pydict() == {"frames": [384, 768], "m": pytest.approx([0.389, 0.773]), "n": [2, 2]}


def test_every_attempt_is_in_trials_and_curves_join(results):
    assert sql("select count(*) n from trials", results)["n"].to_pylist() == [5]
    joined = sql("select value, map_at['0.5'] a from curves join trials using (digest, attempt)", results)
    assert joined.to_pylist() == [{"value": 2.0, "a": 0.6}]


def test_an_empty_folder_answers_with_no_rows(tmp_path):
    assert sql("select digest, map_avg from trials", tmp_path).num_rows == 0


@pytest.mark.parametrize(
    "query",
    [
        "copy trials to '{path}'",
        "attach '{path}'",
        "create table x as select 1",
        "drop view trials",
        "select 1; select 2",
        "",
        "set threads = 1",
        "install httpfs",
        "select * from '{path}'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from glob('/*')",
        "select * from 'https://example.org/x.parquet'",
        "select * from results",
        "select nope from trials",
        "selec",
    ],
)
def test_nothing_else_can_be_read_or_written(results, query):
    path = results / "x.parquet"
    with pytest.raises(ValueError, match=r"expected a single SELECT|Error: ") as refusal:
        sql(query.format(path=path), results)
    assert "\n" not in str(refusal.value)
    assert not path.exists()


def test_duckdbs_reason_reaches_the_user(results):
    with pytest.raises(ValueError, match='"nope" not found'):
        sql("select nope from trials", results)
