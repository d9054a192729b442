"""A study that was edited between two runs says what is different."""

from pathlib import Path

from harness.cli.changes import changes_since_last
from harness.cli.options import read_options
from harness.cli.plan import Plan, make_plan
from harness.cli.terminal import Terminal
from studies.scale_frames import STUDY


def plan(folder: Path, *argv: str) -> Plan:
    options = read_options(STUDY, ["--dry-run", "--results", str(folder), *argv])
    return make_plan(STUDY, options, Terminal(quiet=True), prepare=False)


def test_the_first_run_and_the_same_again_say_nothing(tmp_path: Path) -> None:
    assert changes_since_last(plan(tmp_path)) == []
    assert changes_since_last(plan(tmp_path)) == []


def test_another_value_of_an_axis_adds_trials_and_keeps_the_rest(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path))
    lines = changes_since_last(plan(tmp_path, "--set", "data.window.frames=32,64,128,256"))
    assert lines == [
        "the study changed since its last run: data.window.frames was 32, 64, 128 and is 32, 64, 128, 256",
        "4 trials are new, 12 are the same and keep their rows",
    ]


def test_another_fixed_setting_makes_every_trial_new_and_is_named(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path))
    lines = changes_since_last(plan(tmp_path, "--set", "training.head_lr=0.5", "--seeds", "1"))
    assert "the study changed since its last run: seed was 0, 1 and is 0" in lines
    assert any("training.head_lr was" in line and "is 0.5" in line for line in lines)
    assert "12 trials of the last run are no part of it now; their rows stay in the tables" in lines


def test_a_note_that_cannot_be_read_is_written_anew(tmp_path: Path) -> None:
    first = plan(tmp_path)
    first.folder.mkdir(parents=True)
    (first.folder / "study.json").write_text("{")
    assert changes_since_last(first) == []
    assert changes_since_last(plan(tmp_path, "--seeds", "1")) != []
