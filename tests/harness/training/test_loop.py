"""The loop learns, resumes exactly, stops when asked, and leaves the frozen backbone alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig, with_values
from harness.training.loop import Fit, Places, fit, prepare_detector
from harness.training.report import Interrupted, NoMeter, SilentReporter

pytestmark = pytest.mark.usefixtures("one_thread")


def places(small_world, folder: Path) -> Places:
    folder.mkdir(parents=True, exist_ok=True)
    return Places(dataset=small_world.index, weights=None, work=folder)


def same(one: Fit, other: Fit) -> bool:
    return one.result == other.result and one.curve == other.curve


def test_two_runs_of_one_trial_are_equal_to_the_last_digit(small_world, small_trial: TrialConfig, tmp_path: Path):
    first = fit(small_trial, places(small_world, tmp_path / "a"), SilentReporter(), NoMeter())
    second = fit(small_trial, places(small_world, tmp_path / "b"), SilentReporter(), NoMeter())
    assert same(first, second)
    assert [entry["epoch"] for entry in first.curve] == [1, 2, 3]


@pytest.mark.parametrize("steps", [0, 2, 4, 7])
def test_a_run_stopped_anywhere_and_resumed_equals_one_that_was_not(
    small_world, small_trial: TrialConfig, tmp_path: Path, stop_after, steps: int
):
    whole = fit(small_trial, places(small_world, tmp_path / "whole"), SilentReporter(), NoMeter())
    parts = places(small_world, tmp_path / "parts")
    with pytest.raises(Interrupted):
        fit(small_trial, parts, stop_after(steps), NoMeter())
    resumed = fit(small_trial, parts, SilentReporter(), NoMeter())
    assert same(whole, resumed)


def test_a_checkpoint_of_another_trial_is_refused(small_world, small_trial: TrialConfig, tmp_path: Path, stop_after):
    where = places(small_world, tmp_path)
    with pytest.raises(Interrupted):
        fit(small_trial, where, stop_after(1), NoMeter())
    with pytest.raises(ValueError, match=r"checkpoint .* is of trial"):
        fit(replace(small_trial, seed=5), where, SilentReporter(), NoMeter())


def test_training_moves_adapters_and_head_and_nothing_else(
    small_world, small_trial: TrialConfig, tmp_path: Path, stop_after
):
    where = places(small_world, tmp_path)
    torch.manual_seed(small_trial.seed)
    before = {name: value.clone() for name, value in prepare_detector(small_trial, where).state_dict().items()}
    with pytest.raises(Interrupted):
        fit(small_trial, where, stop_after(5), NoMeter())
    state = torch.load(where.work / "checkpoint.pt", weights_only=True)
    frozen = {name for name in before if name.startswith("backbone.") and "adapter" not in name}
    assert frozen
    assert not frozen & state["trainable"].keys()
    moved = {name for name, value in state["trainable"].items() if not torch.equal(value, before[name])}
    assert any("adapter" in name for name in moved)
    assert any(name.startswith("head.") for name in moved)


def test_another_seed_gives_another_run(small_world, small_trial: TrialConfig, tmp_path: Path):
    one = fit(small_trial, places(small_world, tmp_path / "a"), SilentReporter(), NoMeter())
    other = fit(replace(small_trial, seed=1), places(small_world, tmp_path / "b"), SilentReporter(), NoMeter())
    assert one.curve != other.curve


def test_progress_is_reported_for_every_epoch(small_world, small_trial: TrialConfig, tmp_path: Path):
    reporter = SilentReporter()
    fit(small_trial, places(small_world, tmp_path), reporter, NoMeter())
    assert [report["epoch"] for report in reporter.reports if "epoch" in report] == [1, 2, 3]


def test_data_of_another_number_of_classes_is_refused(small_world, small_trial: TrialConfig, tmp_path: Path):
    wrong = with_values(small_trial, {"data.num_classes": 7})
    with pytest.raises(ValueError, match=r"data.num_classes is 7, but the data has 2 classes"):
        fit(wrong, places(small_world, tmp_path), SilentReporter(), NoMeter())
