"""Which columns of a table are x, y, seed and lines; what is left out; what is a mistake."""

import numpy as np
import pyarrow as pa
import pytest

from harness.analysis.table_lines import Columns, choose_columns, find_column, table_lines


def results(backbones=("s", "b"), frames=(64, 128), seeds=2):
    """Rows like those of the trials table: the backbone's size follows from its name."""
    return pa.Table.from_pylist(
        [
            {
                "study": "s",
                "digest": f"{backbone}{frame}{seed}",
                "attempt": attempt,
                "state": state,
                "seed": seed,
                "map_avg": score,
                "map_at": [("0.3", 0.9), ("0.5", score)] if score else None,
                "data.window.frames": frame,
                "model.backbone.name": f"videomae-{backbone}",
                "params_total": {"s": 22, "b": 86}[backbone] * 10**6,
            }
            for backbone in backbones
            for frame in frames
            for seed in range(seeds)
            for attempt, state, score in ((1, "failed", None), (2, "finished", frame / 1000 + seed / 100))
        ],
        schema=pa.schema(
            {
                "study": pa.string(), "digest": pa.string(), "attempt": pa.int64(), "state": pa.string(),
                "seed": pa.int64(), "map_avg": pa.float64(), "map_at": pa.map_(pa.string(), pa.float64()),
                "data.window.frames": pa.int64(), "model.backbone.name": pa.string(), "params_total": pa.int64(),
            }
        ),
    )  # fmt: skip


def test_a_study_needs_no_names():
    table = results()
    columns = choose_columns(table)
    assert columns == Columns(
        x=("data.window.frames",), y="map_avg", seed="seed", by=("model.backbone.name",), best=1.0
    )
    lines, left_out = table_lines(table, columns)
    assert [line.name for line in lines] == ["videomae-b", "videomae-s"]
    assert left_out == 0  # failed attempts are no trials
    np.testing.assert_allclose(lines[0].y, 1 - np.array([0.064, 0.074, 0.128, 0.138]))
    assert lines[0].seeds == (0, 1, 0, 1)


def test_what_follows_from_x_makes_no_lines():
    columns = choose_columns(results(), x=["params_total"])
    assert (columns.x, columns.by) == (("params_total",), ("data.window.frames",))


def test_an_entry_of_a_map_is_an_outcome():
    table = results()
    columns = choose_columns(table, y="map_at[0.5]")
    assert columns.best == 1.0
    np.testing.assert_allclose(table_lines(table, columns)[0][0].y, 1 - np.array([0.064, 0.074, 0.128, 0.138]))
    with pytest.raises(ValueError, match=r"there is no entry 0\.9, expected one of 0\.3, 0\.5"):
        table_lines(table, choose_columns(table, y="map_at[0.9]"))


OTHER = pa.table({"tokens": [1, 2, 4, None], "loss": [3.0, 2.0, float("nan"), 1.0], "model": ["a", "b", "a", "b"]})


def test_any_table_will_do_when_x_and_y_are_named():
    columns = choose_columns(OTHER, x=["tokens"], y="loss", by=["model"])
    assert columns == Columns(x=("tokens",), y="loss", seed=None, by=("model",), best=None)
    lines, left_out = table_lines(OTHER, columns)
    assert [(line.name, line.sizes[0].tolist(), line.y.tolist()) for line in lines] == [
        ("model a", [1], [3]),
        ("model b", [2], [2]),
    ]
    assert left_out == 2


def test_short_names_are_columns_too():
    table = results()
    assert find_column(table, "frames") == "data.window.frames"
    assert find_column(table, "backbone") == "model.backbone.name"


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"x": ["token"], "y": "loss"}, "there is no column token, expected one such as tokens"),
        ({"y": "loss"}, "no column for x was named, expected one of tokens, loss, model"),
        ({"x": ["tokens"]}, "no column for y was named"),
        ({"x": ["tokens"], "y": "loss", "seed": "sed"}, "there is no column sed"),
    ],
)
def test_columns_that_are_missing_are_named(how, complaint):
    with pytest.raises(ValueError, match=complaint):
        choose_columns(OTHER, **how)


def test_words_are_no_numbers_and_nothing_is_no_points():
    with pytest.raises(ValueError, match="column model holds string, expected numbers"):
        table_lines(OTHER, choose_columns(OTHER, x=["model"], y="loss"))
    empty = OTHER.slice(2)
    with pytest.raises(ValueError, match="no row has both tokens and loss"):
        table_lines(empty, choose_columns(empty, x=["tokens"], y="loss"))
