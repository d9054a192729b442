"""A whole training run with a frame cache equals one without, and trials of other seeds find the frames there."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import TrialConfig, digest, with_value
from harness.data.cache import FrameCache
from harness.data.cache_room import entries
from harness.training.loop import Fit, Places, fit
from harness.training.report import NoMeter, SilentReporter

pytestmark = pytest.mark.usefixtures("one_thread")


def train(small_world, config: TrialConfig, folder: Path, cache: FrameCache | None) -> Fit:
    folder.mkdir()
    places = Places(dataset=small_world.index, weights=None, work=folder, cache=cache)
    return fit(config, places, SilentReporter(), NoMeter())


def test_a_cache_changes_no_result_and_serves_the_next_trial(
    small_world, small_trial: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrameCache(folder=tmp_path / "frames", max_bytes=2**30)
    plain = train(small_world, small_trial, tmp_path / "plain", None)
    cached = train(small_world, small_trial, tmp_path / "cached", cache)
    assert (plain.curve, plain.result) == (cached.curve, cached.result)
    kept = entries(cache.folder)
    assert len(kept) >= 6
    # Nothing is decoded for training any more; the frames are those of the same files.
    monkeypatch.setattr("harness.data.video_frames.read_blocks", None)
    train(small_world, replace(small_trial, seed=1), tmp_path / "next", cache)
    assert entries(cache.folder) == kept


def test_what_changes_pixels_is_part_of_a_trials_identity(small_trial: TrialConfig) -> None:
    same = digest(small_trial)
    for path, value in (("reduce_in", "decoder"), ("frame_format", "jpeg"), ("augment.operators", 2)):
        assert digest(with_value(small_trial, f"data.{path}", value)) != same
    for path, value in (("reduce_in", "torch"), ("frame_format", "raw"), ("augment.operators", 0)):
        assert digest(with_value(small_trial, f"data.{path}", value)) == same
