"""Whole runs under lean policies: they end where the plain run ends, resume exactly, and share work between ranks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig, digest, with_values
from harness.training.loop import Fit, Places, fit
from harness.training.report import Interrupted, NoMeter, SilentReporter
from models.config import EngineConfig

pytestmark = pytest.mark.usefixtures("one_thread")

ON_HOST = EngineConfig(clips=1, inputs_on="host", averages_on="host", optimizer_on="host", checkpoint_head=True)
INSIDE = replace(ON_HOST, keep_on="host", positions=2, every=2)
OUTSIDE = replace(ON_HOST, keep="nothing")


def places(small_world, folder: Path) -> Places:
    folder.mkdir(parents=True, exist_ok=True)
    return Places(dataset=small_world.index, weights=None, work=folder)


def run(small_world, config: TrialConfig, folder: Path) -> Fit:
    return fit(config, places(small_world, folder), SilentReporter(), NoMeter())


@pytest.mark.parametrize(("placement", "engine"), [("inside", INSIDE), ("outside", OUTSIDE)])
def test_a_run_under_a_lean_policy_ends_where_the_plain_one_does(
    small_world, small_trial: TrialConfig, tmp_path: Path, placement: str, engine: EngineConfig
):
    config = with_values(small_trial, {"model.adapter.placement": placement})
    plain = run(small_world, config, tmp_path / "plain")
    lean = run(small_world, with_values(config, {"engine": engine}), tmp_path / "lean")
    for one, other in zip(plain.curve, lean.curve, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            # Sums in another order in float32, over the 9 steps of 3 epochs.
            assert other[name] == pytest.approx(value, rel=1e-4), name
    assert lean.result.map_avg == pytest.approx(plain.result.map_avg, abs=1e-3)


def test_a_run_with_its_state_on_the_host_resumes_exactly(
    small_world, small_trial: TrialConfig, tmp_path: Path, stop_after
):
    config = with_values(small_trial, {"engine": INSIDE})
    whole = run(small_world, config, tmp_path / "whole")
    parts = places(small_world, tmp_path / "parts")
    with pytest.raises(Interrupted):
        fit(config, parts, stop_after(4), NoMeter())
    resumed = fit(config, parts, SilentReporter(), NoMeter())
    assert whole.result == resumed.result
    assert whole.curve == resumed.curve


def test_the_papers_way_also_averages_what_is_frozen(small_world, small_trial: TrialConfig, tmp_path: Path):
    config = with_values(small_trial, {"engine": EngineConfig(policy="reference"), "training.epochs": 1})
    plain = run(small_world, with_values(config, {"engine": EngineConfig(keep="everything")}), tmp_path / "plain")
    paper = run(small_world, config, tmp_path / "paper")
    assert paper.curve[0]["loss"] == pytest.approx(plain.curve[0]["loss"], rel=1e-4)
    state = torch.load(tmp_path / "paper" / "checkpoint.pt", weights_only=True)
    assert not any(name.startswith("backbone.blocks.0.attn") for name in state["ema"]), "a checkpoint of frozen weights"


def test_a_policy_at_its_defaults_keeps_a_trials_identity(small_trial: TrialConfig):
    assert digest(with_values(small_trial, {"engine": EngineConfig(keep="everything")})) == digest(small_trial)
    assert digest(with_values(small_trial, {"engine": INSIDE})) != digest(small_trial)


def test_a_policy_that_a_detector_cannot_follow_is_refused_when_it_is_written(small_trial: TrialConfig):
    with pytest.raises(ValueError, match=r"engine.keep is nothing, but gradients pass through videomae-test"):
        with_values(small_trial, {"engine": EngineConfig(keep="nothing")})
