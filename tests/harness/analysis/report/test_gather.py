"""What a report rests on: the rows of a folder, settled, and learning curves that fit into a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.report import gather, study_folders
from harness.analysis.report.gather import thinned
from harness.tables import write_curves, write_row


def test_the_latest_attempt_of_a_trial_counts_and_all_are_kept(hostile):
    assert len(hostile.rows) == 16
    assert len(hostile.attempts) == 18
    again = [row["state"] for row in hostile.rows if row["attempt"] == 2]
    assert again == ["finished", "finished"]


def test_trials_stand_in_the_order_of_their_map_and_those_without_one_last(hostile):
    scores = [row["map_avg"] for row in hostile.rows]
    known = [score for score in scores if score is not None]
    assert known == sorted(known, reverse=True)
    assert scores[len(known) :] == [None] * (len(scores) - len(known))


def test_a_file_that_is_no_table_is_named(hostile):
    assert [path.name for path, _ in hostile.skipped] == ["broken-1-aaaa.parquet"]


def test_a_folder_without_rows_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=r"holds no results, expected \*\.parquet"):
        gather(tmp_path)


@pytest.mark.parametrize("path", ["data.window.frame", "frames", "study"])
def test_an_axis_that_is_no_config_path_is_an_error(grid_folder, path):
    with pytest.raises(ValueError, match=f"{path} is no config path of scale_frames"):
        gather(grid_folder, x=path)


def test_axes_can_be_asked_for(grid_folder):
    (report,) = gather(grid_folder, x="data.window.resolution", by="data.window.frames", title="mine")
    assert (report.x, report.by, report.title) == ("data.window.resolution", "data.window.frames", "mine")
    (constant,) = gather(grid_folder, x="training.epochs")
    assert "training.epochs" in constant.axes.paths
    assert constant.fits == {}


def test_a_folder_with_two_studies_gives_two_reports(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({}, study="a"))
    write_row(tmp_path, simulated.make_row({}, study="b"))
    assert [report.study for report in gather(tmp_path)] == ["a", "b"]


def test_a_resumed_attempt_continues_the_learning_curve(simulated, tmp_path):
    row = simulated.make_row({})
    write_row(tmp_path, {**row, "state": "interrupted"})
    write_row(tmp_path, {**row, "attempt": 2})
    write_curves(tmp_path, row["digest"], 1, [{"epoch": e, "loss": 1.0 * e} for e in (1, 2, 3)])
    write_curves(tmp_path, row["digest"], 2, [{"epoch": e, "loss": 10.0 * e} for e in (3, 4)])
    (report,) = gather(tmp_path)
    assert report.curves[row["digest"]]["loss"] == {"per": "epoch", "x": [1, 2, 3, 4], "y": [1.0, 2.0, 30.0, 40.0]}


def test_a_measure_per_step_is_drawn_over_steps(simulated, tmp_path):
    row = simulated.make_row({})
    write_row(tmp_path, row)
    points = [{"epoch": 1, "step": step, "loss": 0.5} for step in (0, 10)] + [{"epoch": 1, "map_avg": 0.4}]
    write_curves(tmp_path, row["digest"], 1, points)
    curves = gather(tmp_path)[0].curves[row["digest"]]
    assert curves["loss"]["per"] == "step"
    assert curves["loss"]["x"] == [0, 10]
    assert curves["map_avg"]["per"] == "epoch"


@given(st.integers(2, 50), st.integers(1, 300))
def test_thinning_keeps_both_ends_and_the_order(room, number):
    kept = thinned(list(range(number)), room)
    assert len(kept) == min(room, number)
    assert (kept[0], kept[-1]) == (0, number - 1)
    assert kept == sorted(set(kept))


def test_studies_are_found_below_a_folder_but_not_what_was_set_aside(simulated, tmp_path):
    for place in ("one", "published/two", "archive/one-2026", "one/curves"):
        write_row(tmp_path / place, simulated.make_row({}))
    assert list(study_folders(tmp_path)) == [tmp_path / "one", tmp_path / "published/two"]
