"""Batches: what decides them, what is in them, and what happens when a video fails."""

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import AugmentConfig, DataConfig, WindowConfig
from harness.data import video_frames
from harness.data.annotations import Action
from harness.data.index import Dataset, Video, prepare_dataset
from harness.data.loader import (
    Batch,
    WindowRef,
    cells_to_seconds,
    max_actions,
    reading_side,
    test_loader,
    test_windows,
    train_loader,
)
from harness.data.sampling import Stretch, to_grid
from harness.data.video import UnreadableVideo, VideoInfo, read_frames

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, fill_folder) -> Dataset:
    root = fill_folder(tmp_path_factory.mktemp("prepared") / "data")
    return prepare_dataset("custom", root, root / "cache")


@pytest.fixture
def dataset(prepared: Dataset, tmp_path: Path) -> Dataset:
    """Return a data set whose files a test may spoil."""
    paths = {video.video_id: Path(shutil.copy(video.path, tmp_path)) for video in prepared.videos}
    return replace(prepared, videos=tuple(replace(v, path=paths[v.video_id]) for v in prepared.videos))


def same(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.windows == b.windows
        and torch.equal(a.inputs, b.inputs)
        and torch.equal(a.mask, b.mask)
        and torch.equal(a.segments, b.segments)
        and torch.equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )


def train(dataset: Dataset, config: DataConfig, **changes) -> list[Batch]:
    return list(train_loader(dataset, config, **{"batch_size": 2, "repeat": 2, "seed": 0, "epoch": 0, **changes}))


def test_seed_and_epoch_decide_batches_and_worker_count_does_not(dataset: Dataset, data_config: DataConfig) -> None:
    here = train(dataset, data_config)
    assert same(here, train(dataset, data_config))
    assert same(here, train(dataset, data_config, workers=2))
    assert not same(here, train(dataset, data_config, epoch=1))
    assert not same(here, train(dataset, data_config, seed=1))


def test_loading_leaves_the_global_generators_alone(dataset: Dataset, data_config: DataConfig) -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    train(dataset, data_config)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_batches_have_the_shapes_of_the_config(dataset: Dataset, data_config: DataConfig) -> None:
    loaded = train_loader(dataset, data_config, batch_size=2, repeat=2, seed=0, epoch=0)
    batches = list(loaded)
    assert len(loaded) == len(batches) == 4
    for batch in batches:
        assert batch.inputs.shape == (2, 3, 32, 16, 16)
        assert batch.inputs.dtype == torch.uint8
        assert batch.inputs.is_contiguous()
        assert batch.mask.shape == (2, 16)
        assert batch.mask.dtype == torch.bool
        assert batch.segments.shape == (2, 16, 2)
        assert batch.segments.dtype == torch.float32
        assert batch.labels.shape == (2, 16)
        assert batch.labels.dtype == torch.int64
        for row, window in enumerate(batch.windows):
            assert batch.mask[row].sum() == window.num_valid_cells
            real = batch.labels[row] >= 0
            assert (batch.segments[row][~real] == 0).all()
            kept = batch.segments[row][real]
            assert (kept[:, 0] < kept[:, 1]).all()
            assert kept.max() <= window.num_valid_cells
    assert batches[0].to("cpu").windows == batches[0].windows


def test_an_epoch_shows_every_video_repeat_times(dataset: Dataset, data_config: DataConfig) -> None:
    shown = [window.video_id for batch in train(dataset, data_config, repeat=3) for window in batch.windows]
    assert sorted(shown) == sorted([video.video_id for video in dataset.subset("training")] * 3)


def test_ranks_share_the_batches_of_one_process(dataset: Dataset, data_config: DataConfig) -> None:
    alone = train(dataset, data_config, batch_size=4)
    ranks = [train(dataset, data_config, batch_size=4, rank=rank, world_size=2) for rank in (0, 1)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        joined = torch.stack([part.inputs for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(whole.inputs, joined)
        assert {w for part in parts for w in part.windows} == set(whole.windows)


def test_samples_that_fill_no_batch_are_left_out(dataset: Dataset, data_config: DataConfig) -> None:
    assert len(train(dataset, data_config, batch_size=3, repeat=1)) == 1
    assert len(train(dataset, data_config, batch_size=3, repeat=2)) == 2


def test_impossible_batches_are_refused(dataset: Dataset, data_config: DataConfig) -> None:
    with pytest.raises(ValueError, match=r"batch_size is 5, but subset 'training' gives only 4 windows"):
        train(dataset, data_config, batch_size=5, repeat=1)
    with pytest.raises(ValueError, match="batch_size is 3, expected a multiple of the 2 workers"):
        train(dataset, data_config, batch_size=3, world_size=2)
    with pytest.raises(ValueError, match="test batch size is 0"):
        test_loader(dataset, data_config, batch_size=0)


def test_videos_without_actions_are_not_trained_on(dataset: Dataset, data_config: DataConfig) -> None:
    videos = tuple(replace(v, actions=()) if v.video_id == "train_a" else v for v in dataset.videos)
    shown = {w.video_id for b in train(replace(dataset, videos=videos), data_config, batch_size=1) for w in b.windows}
    assert shown == {"train_b", "train_c", "train_d"}


def test_test_windows_cover_every_video_over_all_ranks(dataset: Dataset, data_config: DataConfig) -> None:
    expected = test_windows(dataset, data_config)
    # 90 frames in windows of 64 with half of them covered twice, and one short video
    assert [(w.video_id, w.start_frame, w.num_valid_cells) for w in expected] == [
        ("test_a", 0, 16),
        ("test_a", 26, 16),
        ("test_b", 0, 5),
    ]
    batches = list(test_loader(dataset, data_config, batch_size=2))
    assert [len(batch.windows) for batch in batches] == [2, 1]
    assert tuple(w for batch in batches for w in batch.windows) == expected
    assert same(batches, list(test_loader(dataset, data_config, batch_size=2, workers=2)))
    ranks = [
        w
        for rank in (0, 1)
        for batch in test_loader(dataset, data_config, batch_size=2, rank=rank, world_size=2)
        for w in batch.windows
    ]
    assert sorted(ranks, key=expected.index) == list(expected)


def test_test_pixels_are_the_centre_of_the_right_frames(dataset: Dataset, data_config: DataConfig) -> None:
    batch = next(iter(test_loader(dataset, data_config, batch_size=3)))
    for row, window in enumerate(batch.windows):
        video = next(v for v in dataset.videos if v.video_id == window.video_id)
        last = video.info.num_frames - 1
        indices = [min(window.start_frame + 2 * i, last) for i in range(32)]
        frames = read_frames(video.path, indices)
        seen = batch.inputs[row].float().mean(dim=(0, 2, 3)).numpy()
        np.testing.assert_allclose(seen, frames[:, :, 16:48].mean(axis=(1, 2, 3)), atol=1)


def test_targets_are_the_actions_in_cells(dataset: Dataset, data_config: DataConfig) -> None:
    batch = next(iter(test_loader(dataset, data_config, batch_size=3)))
    # test_a lasts 90 frames; actions at 10-40 % and 60-90 %; the first window shows frames 0-63, the second 26-89
    assert batch.labels[:, :3].tolist() == [[1, -1, -1], [0, -1, -1], [1, 0, -1]]
    torch.testing.assert_close(batch.segments[0, 0], torch.tensor([9 / 4, 36 / 4]))
    torch.testing.assert_close(batch.segments[1, 0], torch.tensor([(54 - 26) / 4, (81 - 26) / 4]))
    torch.testing.assert_close(batch.segments[2, 1], torch.tensor([12 / 4, 18 / 4]))


def test_without_augmentation_training_sees_the_video_itself(dataset: Dataset, data_config: DataConfig) -> None:
    plain = AugmentConfig(crop_area=(1.0, 1.0), crop_aspect=(2.0, 2.0), flip=0.0, jitter=0.0, hue=0.0)
    for batch in train(dataset, replace(data_config, augment=plain)):
        for row, window in enumerate(batch.windows):
            video = next(v for v in dataset.videos if v.video_id == window.video_id)
            first = read_frames(video.path, [window.start_frame])[0]
            assert abs(float(batch.inputs[row, :, 0].float().mean()) - first.mean()) < 1


def test_more_frames_and_pixels_see_the_same_stretches(dataset: Dataset, data_config: DataConfig) -> None:
    small = train(dataset, data_config)
    dense = replace(data_config, window=WindowConfig(frames=64, span=64, features=16, resolution=24))
    large = train(dataset, dense)
    assert [b.windows for b in small] == [b.windows for b in large]
    assert all(torch.equal(a.segments, b.segments) for a, b in zip(small, large, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_video_that_fails_is_replaced_and_named(dataset: Dataset, data_config: DataConfig, workers: int) -> None:
    dataset.videos[2].path.write_bytes(b"overwritten")
    known: dict[str, str] = {}
    batches = train(dataset, data_config, workers=workers, unreadable=known)
    assert list(known) == ["train_c"]
    assert "cannot be opened" in known["train_c"]
    assert {item.video_id for batch in batches for item in batch.unreadable} == {"train_c"}
    shown = [w.video_id for batch in batches for w in batch.windows]
    assert len(shown) == 8
    assert "train_c" not in shown
    again = train(dataset, data_config, unreadable=known)
    assert same(batches, again)
    assert not any(batch.unreadable for batch in again)


def test_other_samples_do_not_change_when_a_video_fails(dataset: Dataset, data_config: DataConfig) -> None:
    before = train(dataset, data_config, batch_size=1)
    dataset.videos[2].path.write_bytes(b"overwritten")
    after = train(dataset, data_config, batch_size=1)
    for one, other in zip(before, after, strict=True):
        assert one.windows[0].video_id == "train_c" or same([one], [other])


def test_a_video_that_hangs_is_replaced_in_time(dataset: Dataset, data_config: DataConfig) -> None:
    path = dataset.videos[0].path
    path.unlink()
    os.mkfifo(path)
    known: dict[str, str] = {}
    assert len(train(dataset, data_config, unreadable=known, read_timeout_s=0.5)) == 4
    assert known == {"train_a": "the decoder gave no frames for 0.5 s"}
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_when_nothing_can_be_read_training_says_so(dataset: Dataset, data_config: DataConfig) -> None:
    for video in dataset.videos:
        video.path.unlink()
    with pytest.raises(ValueError, match="none of the 4 videos of subset 'training' can be read any more"):
        train(dataset, data_config)


def test_test_windows_that_fail_are_left_out_and_named(
    dataset: Dataset, data_config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_test_a(path: Path, *arguments, **settings):
        if path.stem == "test_a":
            raise UnreadableVideo("gone")
        return read_frames(path, *arguments, **settings)

    monkeypatch.setattr(video_frames, "read_frames", fail_test_a)
    for batch_size in (1, 2, 3):
        loaded = test_loader(dataset, data_config, batch_size=batch_size)
        assert [w.video_id for batch in loaded for w in batch.windows] == ["test_b"]
        assert loaded.unreadable == {"test_a": "gone"}


def video_of(info: VideoInfo) -> Video:
    return Video(video_id="v", path=Path("v.mp4"), subset="training", info=info, actions=())


@given(
    num_frames=st.integers(2, 5000),
    fps=st.floats(1, 120),
    cell=st.integers(1, 32),
    variable=st.booleans(),
    data=st.data(),
)
def test_seconds_to_cells_and_back_is_exact_to_half_a_cell(
    num_frames: int, fps: float, cell: int, variable: bool, data: st.DataObject
) -> None:
    times = None
    if variable:
        steps = np.random.default_rng(num_frames).uniform(0.2, 2, num_frames) / fps
        times = tuple(np.concatenate([[0], np.cumsum(steps[:-1])]).tolist())
        duration_s = float(steps.sum())
    else:
        duration_s = num_frames / fps
    info = VideoInfo(num_frames=num_frames, fps=fps, duration_s=duration_s, width=8, height=8, timestamps_s=times)
    window = WindowConfig(frames=16, span=16 * cell, features=16, resolution=8)
    start = data.draw(st.integers(0, num_frames - 1))
    stretch = Stretch(start_frame=start, num_frames=min(window.span, num_frames - start))
    shown = info.seconds_at(np.array([start, start + stretch.num_frames]))
    seconds = shown[0] + np.array([[0.1, 0.7]]) * (shown[1] - shown[0])
    cells = to_grid(info.frames_at(seconds), stretch, window).astype(np.float32)
    reference = WindowRef(video_id="v", start_frame=start, num_valid_cells=1, cell=cell)
    back = cells_to_seconds(video_of(info), reference, cells)
    # float32 cells: far below half a cell
    np.testing.assert_allclose(back, seconds, atol=0.01 * cell / fps + 1e-6)
    assert (cells_to_seconds(video_of(info), reference, np.array([-1e9, 1e9])) == [0, duration_s]).all()


def test_room_for_actions_grows_by_sixteen() -> None:
    info = VideoInfo(num_frames=10, fps=1, duration_s=10, width=8, height=8)
    for count, room in ((0, 16), (16, 16), (17, 32), (40, 48)):
        actions = tuple(Action(start_s=0, end_s=1 + i / 100, label="a") for i in range(count))
        assert max_actions([replace(video_of(info), actions=actions)]) == room
    assert max_actions([]) == 16


def test_frames_are_reduced_to_the_papers_size_before_the_crop() -> None:
    assert (reading_side(160), reading_side(224)) == (182, 256)
    assert all(reading_side(side) >= side for side in range(1, 400))
    assert math.isclose(reading_side(192), 220, abs_tol=1)


WHOLE = WindowConfig(mode="resize", frames=32, span=0, features=16, resolution=16)


def test_whole_videos_train_and_test_with_targets_that_return_to_seconds(
    dataset: Dataset, data_config: DataConfig
) -> None:
    config = replace(data_config, window=WHOLE)
    batches = [
        *train_loader(dataset, config, batch_size=2, seed=0, epoch=0),
        *test_loader(dataset, config, batch_size=2),
    ]
    windows = [window for batch in batches for window in batch.windows]
    assert sorted(window.video_id for window in windows) == sorted(video.video_id for video in dataset.videos)
    for batch in batches:
        assert batch.mask.all()
        for row, window in enumerate(batch.windows):
            video = next(video for video in dataset.videos if video.video_id == window.video_id)
            assert window.cell == video.info.num_frames / 16
            kept = batch.segments[row][batch.labels[row] >= 0].numpy()
            truth = [(action.start_s, action.end_s) for action in video.actions]
            np.testing.assert_allclose(kept, np.array(truth) / video.info.duration_s * 16, rtol=1e-5)
            np.testing.assert_allclose(cells_to_seconds(video, window, kept), truth, atol=1e-5)


def test_actions_of_a_small_share_of_the_video_are_not_trained_on_but_tested(
    dataset: Dataset, data_config: DataConfig
) -> None:
    short = replace(dataset.videos[0].actions[0], end_s=dataset.videos[0].actions[0].start_s + 0.05)
    videos = tuple(replace(video, actions=(*video.actions, short)) for video in dataset.videos)
    config = replace(data_config, window=WHOLE, shortest_share=0.1)
    with_short = replace(dataset, videos=videos)
    for batch in train_loader(with_short, config, batch_size=2, seed=0, epoch=0):
        assert ((batch.labels >= 0).sum(dim=1) == 2).all()
    for batch in test_loader(with_short, config, batch_size=2):
        assert ((batch.labels >= 0).sum(dim=1) == 3).all()


@given(num_frames=st.integers(2, 5000), fps=st.floats(1, 120), features=st.integers(1, 400), data=st.data())
def test_seconds_to_whole_video_cells_and_back_are_within_half_a_cell(
    num_frames: int, fps: float, features: int, data: st.DataObject
) -> None:
    info = VideoInfo(num_frames=num_frames, fps=fps, duration_s=num_frames / fps, width=8, height=8)
    window = replace(WHOLE, features=features)
    stretch = Stretch(start_frame=0, num_frames=num_frames)
    seconds = np.array([[data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))]]) * info.duration_s
    grid = np.rint(to_grid(info.frames_at(seconds), stretch, window))
    reference = WindowRef(video_id="v", start_frame=0, num_valid_cells=features, cell=stretch.cell(window))
    back = cells_to_seconds(video_of(info), reference, grid)
    assert (np.abs(back - seconds) <= 0.5 * info.duration_s / features + 1e-6).all()
