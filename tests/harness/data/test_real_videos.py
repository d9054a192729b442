"""The real clips in ../shared/data, with an annotation made by hand: the whole path from folder to batches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config import DataConfig, WindowConfig
from harness.data.index import Dataset, prepare_dataset
from harness.data.loader import cells_to_seconds, test_loader, train_loader
from harness.data.sampling import sliding_windows

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINING = {
    "decord__flipping_a_pancake": [(1.0, 4.0, "flip"), (6.0, 9.5, "flip")],
    "decord__video_90": [(0.02, 0.09, "walk")],
    "decord__video_180": [(0.0, 0.2, "walk")],
    "moviepy__fire2": [(0.5, 1.8, "burn")],
    "mmaction2__demo_skeleton": [(0.3, 1.9, "walk")],
    "sample-videos__bottle-detection": [(3.0, 9.0, "pass"), (12.0, 20.0, "pass"), (38.0, 45.0, "pass")],
    "sample-videos__car-detection": [(2.0, 6.0, "pass"), (10.0, 9.0, "pass")],
    "torchcodec__nasa_13013": [(1.0, 7.0, "fly")],
    "decord__corrupted": [(0.5, 2.0, "walk")],
    "torchcodec__av1_video": [(0.5, 2.0, "walk")],
}
VALIDATION = {
    "mmaction2__demo": [(2.0, 7.0, "swing")],
    "mp4parse-rust__minimal": [(0.0, 0.04, "fly")],
    "torchcodec__h265_video": [(0.2, 0.8, "fly")],
    "mediabunny__sar_2x1": [(1.0, 3.0, "pass")],
    "mp4parse-rust__no_timescale": [(1.0, 3.0, "pass")],
}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("real")
    (root / "videos").symlink_to(shared_data / "videos")
    database = {
        video_id: {
            "subset": subset,
            "annotations": [{"segment": [start, end], "label": label} for start, end, label in actions],
        }
        for subset, videos in (("training", TRAINING), ("validation", VALIDATION))
        for video_id, actions in videos.items()
    }
    (root / "annotations.json").write_text(json.dumps({"database": database}))
    return prepare_dataset("custom", root, root / "cache")


@pytest.fixture
def config() -> DataConfig:
    return DataConfig(name="custom", window=WindowConfig(frames=32, span=256, features=64, resolution=32))


def test_damaged_files_are_named_and_flaws_counted(real: Dataset) -> None:
    assert {item.video_id for item in real.quarantined} == {
        "decord__corrupted",
        "mp4parse-rust__no_timescale",
    }
    assert all(item.path is not None and item.reason for item in real.quarantined)
    assert real.classes == ("burn", "flip", "fly", "pass", "swing", "walk")
    # bottle-detection lasts 39.9 s and video_180 0.1 s; car-detection has an end before its start
    assert real.repairs == {"duration unknown": 15, "end past the video's end": 2, "end not after start": 1}


def test_training_batches_show_every_readable_file(real: Dataset, config: DataConfig) -> None:
    batches = list(train_loader(real, config, batch_size=3, seed=0, epoch=0))
    windows = [window for batch in batches for window in batch.windows]
    assert {window.video_id for window in windows} == set(TRAINING) - {"decord__corrupted"}
    for batch in batches:
        assert batch.inputs.shape == (3, 3, 32, 32, 32)
        assert not batch.unreadable
        # Every window was drawn around an action.
        assert (batch.labels[:, 0] >= 0).all()
        spread = batch.inputs.float().std(dim=(1, 2, 3, 4))
        assert (spread > 1).all()


def test_test_windows_reach_both_ends_and_targets_return_to_seconds(real: Dataset, config: DataConfig) -> None:
    seen = []
    for batch in test_loader(real, config, batch_size=3):
        for row, window in enumerate(batch.windows):
            seen.append(window)
            video = next(v for v in real.videos if v.video_id == window.video_id)
            labels = batch.labels[row][batch.labels[row] >= 0]
            back = cells_to_seconds(video, window, batch.segments[row, : len(labels)].numpy())
            for segment, label in zip(back, labels, strict=True):
                truth = next(a for a in video.actions if a.label == real.classes[int(label)])
                assert truth.start_s - 1e-4 <= segment[0] < segment[1] <= truth.end_s + 1e-4
    for video in real.subset("validation"):
        stretches = sliding_windows(video.info.num_frames, config.window, config.test_overlap)
        mine = [window for window in seen if window.video_id == video.video_id]
        assert [w.start_frame for w in mine] == [s.start_frame for s in stretches]
        assert stretches[-1].start_frame + stretches[-1].num_frames == video.info.num_frames


def test_an_action_whole_in_a_window_returns_exactly(real: Dataset, config: DataConfig) -> None:
    wide = DataConfig(name="custom", window=WindowConfig(frames=32, span=512, features=128, resolution=16))
    for batch in test_loader(real, wide, batch_size=4):
        for row, window in enumerate(batch.windows):
            video = next(v for v in real.videos if v.video_id == window.video_id)
            truth = np.array([(a.start_s, a.end_s) for a in video.actions])
            np.testing.assert_allclose(
                cells_to_seconds(video, window, batch.segments[row, : len(truth)].numpy()), truth, atol=1e-4
            )
            # Past a short video's end the last frame is repeated.
            last = int(np.ceil((video.info.num_frames - 1) / wide.window.stride))
            assert torch.equal(batch.inputs[row, :, last], batch.inputs[row, :, -1])
