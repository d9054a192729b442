"""A study that was edited between two runs says what is different, and one of the same name that there was another."""

from dataclasses import replace
from pathlib import Path

from harness.cli.changes import changes_since_last
from harness.cli.options import read_options
from harness.cli.plan import Plan, make_plan
from harness.cli.terminal import Terminal
from harness.study import Study
from models.config import ActionFormerConfig
from studies.compare_tuning import STUDY as OTHER
from studies.scale_frames import STUDY


def plan(folder: Path, *argv: str, study: Study = STUDY) -> Plan:
    options = read_options(study, ["--dry-run", "--results", str(folder), *argv])
    return make_plan(study, options, Terminal(quiet=True), prepare=False)


def test_the_first_run_and_the_same_again_say_nothing(tmp_path: Path) -> None:
    assert changes_since_last(plan(tmp_path)) == []
    assert changes_since_last(plan(tmp_path)) == []


def test_another_value_of_an_axis_adds_trials_and_keeps_the_rest(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path, "--seeds", "2"))
    lines = changes_since_last(plan(tmp_path, "--seeds", "2", "--set", "data.window.frames=32,64,128,256"))
    assert lines == [
        "the study changed since its last run: data.window.frames was 32, 64, 128 and is 32, 64, 128, 256",
        "4 trials are new, 12 are the same and keep their rows",
    ]


def test_another_fixed_setting_makes_every_trial_new_and_is_named(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path, "--seeds", "2"))
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


def test_another_study_of_the_same_name_is_said_and_both_keep_their_rows(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path))
    lines = changes_since_last(plan(tmp_path, study=replace(OTHER, name=STUDY.name)))
    assert lines[0].startswith(f"another study called {STUDY.name} was run here: {STUDY.title}; both keep their rows")
    assert any("trials of the last run are no part of it now; their rows stay in the tables" in line for line in lines)


def test_a_search_says_what_changed_but_counts_no_trials(tmp_path: Path) -> None:
    changes_since_last(plan(tmp_path))
    lines = changes_since_last(plan(tmp_path, "--search", "random", "--set", "data.window.frames=32,64"))
    assert lines == ["the study changed since its last run: data.window.frames was 32, 64, 128 and is 32, 64"]


def test_trials_whose_names_would_be_equal_are_told_apart_by_their_digest(tmp_path: Path) -> None:
    grid = STUDY.presets["tiny"]
    heads = tuple(ActionFormerConfig(width=width) for width in (64, 32))
    two = replace(STUDY, presets={"tiny": replace(grid, axes={"model.head": heads}, seeds=(0,))})
    made = plan(tmp_path, study=two)
    names = [made.name(trial) for trial in made.trials]
    assert len(set(names)) == 2
    assert all(name.startswith("head actionformer, seed 0 (") for name in names)
    plain = plan(tmp_path)
    assert not any("(" in plain.name(trial) for trial in plain.trials)
