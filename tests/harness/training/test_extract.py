"""Offline features are the frozen backbone's, are extracted once, and train like any other input."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import TrialConfig, WindowConfig, with_values
from harness.data.features import FeatureStore
from harness.data.given_features import GivenFeatures
from harness.data.index import Dataset, load_index, save_index
from harness.data.loader import stretch_loader, train_loader
from harness.data.offline import prepare_offline
from harness.data.sampling import Stretch
from harness.training.extract import cut, encode, ensure_features
from harness.training.loop import Places, fit, prepare_detector
from harness.training.report import Interrupted, NoMeter, SilentReporter
from models.config import OfflineConfig, RepresentationConfig

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


@given(st.integers(1, 900), st.integers(1, 12), st.integers(0, 3))
def test_windows_give_every_cell_once(num_frames: int, features: int, margin: int):
    window = WindowConfig(frames=features, span=4 * features, features=features, resolution=16)
    if features <= 2 * margin:
        return
    cells = []
    for stretch, first, end in cut(num_frames, window, margin):
        assert stretch.start_frame % 4 == 0
        assert 0 <= first < end <= stretch.num_cells(window)
        assert stretch.start_frame + stretch.num_frames <= num_frames
        start = stretch.start_frame // 4
        # What a snippet at the edge would lack is only ever past the video's own ends.
        assert first >= margin or start == 0
        assert end <= features - margin or stretch.start_frame + stretch.num_frames == num_frames
        cells += range(start + first, start + end)
    assert cells == list(range(-(-num_frames // 4)))


def test_snippets_do_not_notice_where_windows_are_cut(small_world, config: TrialConfig, dataset: Dataset):
    """Two routes: 16-frame snippets of short windows that overlap, and of one window as long as the video."""
    video = dataset.subset("validation")[0]
    snippets = RepresentationConfig(kind="snippet", snippet_frames=16, snippet_stride=4)
    values = {"model.tuning": "frozen", "model.representation": snippets}
    found = []
    for features, margin in ((8, 2), (32, 0)):
        window = WindowConfig(frames=4 * features, span=4 * features, features=features, resolution=16)
        changed = with_values(config, {**values, "data.window": window})
        torch.manual_seed(0)
        frozen = prepare_detector(changed, places(small_world, small_world.root / "snippets")).eval()
        found.append(encode(frozen, video, changed, margin=margin, unreadable={}))
    assert video.info.num_frames == 128
    assert found[0].shape == (32, 16)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_a_trial_on_given_features_needs_no_video(small_world, config: TrialConfig, tmp_path: Path):
    """The same features, extracted by the trial and given by the user, give the same result."""
    store = ensure_features(
        config, places(small_world, tmp_path / "a"), load_index(small_world.index), SilentReporter(), {}
    )
    own = fit(config, places(small_world, tmp_path / "a"), SilentReporter(), NoMeter())
    root = tmp_path / "annotations"
    root.mkdir()
    (root / "annotations.json").write_bytes((small_world.root / "annotations.json").read_bytes())
    (store.folder / "features.json").write_text(json.dumps({"channels": 16, "stride": 2, "fps": 16}))
    given_features = GivenFeatures.open(store.folder)
    index = tmp_path / "index.json"
    save_index(prepare_offline("custom", root, given_features, config.data.window), index)
    (tmp_path / "b").mkdir()
    foreign = OfflineConfig(name="offline", channels=given_features.channels)
    result = fit(
        with_values(config, {"model.backbone": foreign}),
        Places(dataset=index, weights=None, work=tmp_path / "b", features=store.folder),
        SilentReporter(),
        NoMeter(),
    )
    assert result.curve == own.curve
    assert result.result == own.result
