"""SQL over the tables, by path and by short name, and what a mistake is answered with."""

import pytest

from harness.tables import sql, write_curves, write_row


@pytest.fixture(scope="module")
def results(tmp_path_factory, make_row):
    root = tmp_path_factory.mktemp("results")
    for seed in (0, 1):
        for frames in (384, 768):
            row = make_row({"seed": seed, "data.window.frames": frames}, map_avg=frames / 1000 + seed / 100)
            write_row(root / "scale_frames", row)
    write_row(root / "scale_frames", make_row({"seed": 1}, attempt=2, state="failed", map_avg=None))
    write_curves(root / "scale_frames", row["digest"], 1, [{"epoch": 0, "step": 0, "loss": 2.0}])
    return root


@pytest.mark.parametrize("column", ['"data.window.frames"', "frames", "window_frames", "FRAMES"])
def test_seeds_are_averaged_by_path_or_short_name(results, column):
    query = (
        f"select {column} as f, avg(map_avg) m, count(*) n from best where {column} > 0 group by {column} order by 1"
    )
    assert sql(query, results).to_pydict() == {"f": [384, 768], "m": pytest.approx([0.389, 0.773]), "n": [2, 2]}


def test_short_names_work_wherever_a_column_does(results):
    assert sql("select frames, kernel, backbone from best order by frames limit 1", results).to_pylist() == [
        {"frames": 384, "kernel": 3, "backbone": "videomae-tiny"}
    ]
    queries = [
        "select count(*) n from trials t where t.frames = 768 and t.adapter_lr > 0",
        "with a as (select frames from trials where resolution > 1) select count(*) n from a where frames > 700",
        "select count(*) n from trials a join trials b using (digest, frames, attempt) where frames = 768",
        "select count(*) n from trials where frames in (select max(frames) from best)",
    ]
    for query in queries:
        assert sql(query, results)["n"].to_pylist() == [3], query


def test_what_the_query_names_itself_wins(results):
    doubled = sql('select "data.window.frames" * 2 as frames, count(*) n from best group by frames order by 1', results)
    assert doubled.to_pydict() == {"frames": [768, 1536], "n": [2, 2]}


def test_a_star_shows_paths_and_the_short_names_that_are_used(results):
    names = sql("select * from trials", results).column_names
    assert "data.window.frames" in names
    assert "frames" not in names
    assert sql("select * from trials where frames = 384", results).column_names == [*names, "frames"]


def test_every_attempt_is_in_trials_and_curves_join(results):
    assert sql("select count(*) n from trials", results)["n"].to_pylist() == [5]
    joined = sql("select value, map_at['0.5'] a, frames from curves join trials using (digest, attempt)", results)
    assert joined.to_pylist() == [{"value": 2.0, "a": 0.6, "frames": 768}]


@pytest.mark.parametrize(
    "query", ["from best", "table best", "summarize best", "describe best", "select * from (pivot best on seed in (0))"]
)
def test_the_handy_forms_of_select_work(results, query):
    assert sql(query, results).num_rows > 0


def test_an_empty_folder_answers_with_no_rows(tmp_path):
    assert sql("select b.digest, frames from pareto p join best b using (map_avg, frames)", tmp_path).num_rows == 0


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select framse from trials", "there is no column framse; did you mean frames"),
        ("select t.map_agv from trials t", "there is no column map_agv; did you mean map_avg"),
        ('select "data.window.frmes" from best', 'no column data.window.frmes; did you mean "data.window.frames"'),
        ("select * exclude (sed) from best", "there is no column sed; did you mean seed"),
        ("select zzzzzz from best", "there is no column zzzzzz; results/README.md lists them"),
        ("select value from trials", "there is no column value in trials, only in curves"),
        ("select width from best", 'width could be "model.backbone.width" or "model.head.width", expected one of'),
        (
            "select data.window.frames from best",
            'has dots in its name, expected it in double quotes: "data.window.frames"',
        ),
        ("select * from trails", "there is no view trails, expected one of trials, best, pareto, curves"),
        ("select digest, seed from best group by digest", 'column "seed" must appear in the GROUP BY clause'),
        ("select frames + 'x' from best", "Could not convert string 'x'"),
        ("selec", 'syntax error at or near "selec"'),
        ("", "expected a single SELECT"),
        ("select 1; select 2", "expected a single SELECT"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(results, query, answer):
    with pytest.raises(ValueError, match=r"\S") as refusal:
        sql(query, results)
    assert answer in str(refusal.value)
    assert "\n" not in str(refusal.value)
