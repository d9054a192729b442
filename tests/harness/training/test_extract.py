"""Offline features are the frozen backbone's, are extracted once, and train like any other input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config import TrialConfig, with_values
from harness.data.features import FeatureStore
from harness.data.index import Dataset, load_index
from harness.data.loader import stretch_loader, train_loader
from harness.data.sampling import Stretch
from harness.training.extract import ensure_features
from harness.training.loop import Places, fit, prepare_detector
from harness.training.report import Interrupted, NoMeter, SilentReporter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(small_trial: TrialConfig) -> TrialConfig:
    return with_values(small_trial, {"model.tuning": "features", "model.adapter": None, "training.epochs": 2})


@pytest.fixture
def dataset(small_world) -> Dataset:
    return load_index(small_world.index)


def places(small_world, folder: Path, **kwargs: Path) -> Places:
    folder.mkdir(parents=True, exist_ok=True)
    return Places(dataset=small_world.index, weights=None, work=folder, **kwargs)


def test_features_are_those_of_the_frozen_arm(small_world, config: TrialConfig, dataset: Dataset, tmp_path: Path):
    where = places(small_world, tmp_path)
    store = ensure_features(config, where, dataset, SilentReporter(), {})
    torch.manual_seed(config.seed)
    frozen = prepare_detector(with_values(config, {"model.tuning": "frozen"}), where).eval()
    video = dataset.subset("validation")[0]
    stretch = Stretch(start_frame=64, num_frames=64)
    (window,) = stretch_loader([(video, stretch)], dataset.classes, config.data, batch_size=1)
    (stored,) = stretch_loader([(video, stretch)], dataset.classes, config.data, batch_size=1, features=store)
    with torch.no_grad():
        expected = frozen.features(window.inputs, 32)
    assert stored.inputs.shape == (1, 16, 32)
    torch.testing.assert_close(stored.inputs, expected)
    assert torch.equal(stored.segments, window.segments)
    assert np.load(store.path(video.video_id)).shape == (64, 16)


def test_extraction_goes_on_where_it_stopped_and_trials_share_it(
    small_world, config: TrialConfig, dataset: Dataset, tmp_path: Path
):
    class StopAfterTwo(SilentReporter):
        asked = 0

        def should_stop(self) -> bool:
            self.asked += 1
            return self.asked > 2

    shared = places(small_world, tmp_path / "a", features=tmp_path / "features")
    with pytest.raises(Interrupted, match="features of 2 of 9 videos"):
        ensure_features(config, shared, dataset, StopAfterTwo(), {})
    reporter = SilentReporter()
    store = ensure_features(config, shared, dataset, reporter, {})
    assert [report["extracted"] for report in reporter.reports] == list(range(1, 8))
    # Another head, another learning rate: the same features. Another resolution: others.
    other = with_values(config, {"training.head_lr": 1e-4, "model.head.levels": 2})
    assert FeatureStore.of(other, tmp_path) == FeatureStore.of(config, tmp_path)
    assert FeatureStore.of(with_values(config, {"data.window.resolution": 24}), tmp_path) != FeatureStore.of(
        config, tmp_path
    )
    reporter = SilentReporter()
    assert ensure_features(other, replace(shared, work=tmp_path / "b"), dataset, reporter, {}) == store
    assert not reporter.reports
    assert not list(store.folder.glob(".*"))


def test_a_trial_on_features_resumes_and_is_scored(small_world, config: TrialConfig, tmp_path: Path):
    class StopAfterTwelve(SilentReporter):
        asked = 0

        def should_stop(self) -> bool:
            self.asked += 1
            return self.asked > 12

    whole = fit(config, places(small_world, tmp_path / "whole"), SilentReporter(), NoMeter())
    assert len(whole.curve) == 2
    assert whole.result.num_videos == 3
    assert whole.params_total == whole.params_trainable
    parts = places(small_world, tmp_path / "parts")
    with pytest.raises(Interrupted):
        fit(config, parts, StopAfterTwelve(), NoMeter())
    resumed = fit(config, parts, SilentReporter(), NoMeter())
    assert resumed.result == whole.result
    assert resumed.curve == whole.curve


def test_windows_start_on_the_cells_of_the_video(small_world, config: TrialConfig, dataset: Dataset, tmp_path: Path):
    store = ensure_features(config, places(small_world, tmp_path), dataset, SilentReporter(), {})
    for batch in train_loader(dataset, config.data, batch_size=2, seed=0, epoch=0, features=store):
        for row, window in enumerate(batch.windows):
            assert window.start_frame % config.data.window.cell == 0
            whole = np.load(store.path(window.video_id))
            first = window.start_frame // config.data.window.cell
            shown = whole[first : first + 32]
            assert np.array_equal(batch.inputs[row].numpy().T[: len(shown)], shown)


def test_an_unreadable_video_is_left_out(small_world, config: TrialConfig, dataset: Dataset, tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    first = dataset.videos[0]
    damaged = replace(dataset, videos=(replace(first, path=broken), *dataset.videos[1:]))
    unreadable: dict[str, str] = {}
    store = ensure_features(config, places(small_world, tmp_path), damaged, SilentReporter(), unreadable)
    assert list(unreadable) == [first.video_id]
    assert first.video_id not in store
    loader = train_loader(damaged, config.data, batch_size=2, seed=0, epoch=0, features=store, unreadable=unreadable)
    assert first.video_id not in {window.video_id for batch in loader for window in batch.windows}


def test_a_video_id_can_hold_any_character(tmp_path: Path):
    store = FeatureStore(tmp_path)
    store.write("a/b:c?", np.ones((3, 2), dtype=np.float32))
    assert "a/b:c?" in store
    assert store.read("a/b:c?", 2, 3).tolist() == [[1, 1], [0, 0], [0, 0]]
