"""The frame cache gives the file's frames whatever happens, and keeps within its size."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config import DataConfig, FrameFormat
from harness.data.cache import FrameCache, cache_here
from harness.data.cache_blocks import BLOCK_FRAMES
from harness.data.cache_room import entries, entry_bytes, held_bytes
from harness.data.index import prepare_dataset
from harness.data.loader import test_loader, train_loader
from harness.data.probe import probe_video
from harness.data.video_frames import FrameSource
from harness.data.video_info import UnreadableVideo

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_FRAMES = 3 * BLOCK_FRAMES + 20
FRAME_BYTES = 16 * 32 * 3


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    return make_video(tmp_path_factory.mktemp("cache") / "video.mp4", NUM_FRAMES)


@pytest.fixture(scope="module")
def source(video: Path) -> FrameSource:
    return FrameSource(path=video, info=probe_video(video), short_side=16)


@pytest.fixture(scope="module")
def truth(source: FrameSource) -> np.ndarray:
    return source.read(range(NUM_FRAMES))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> FrameCache:
    return FrameCache(folder=tmp_path_factory.mktemp("filled"), max_bytes=2**30)


@pytest.fixture
def cache(tmp_path: Path) -> FrameCache:
    return FrameCache(folder=tmp_path / "frames", max_bytes=2**30, in_use_s=0)


@pytest.fixture
def copies(tmp_path: Path, source: FrameSource) -> list[FrameSource]:
    """Return the video under three names, written at three times."""
    made = []
    for number in range(3):
        path = tmp_path / f"copy{number}.mp4"
        shutil.copy(source.path, path)
        os.utime(path, (number, number))
        made.append(replace(source, path=path))
    return made


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=40))
def test_any_frames_from_the_cache_are_those_of_the_file(
    filled: FrameCache, source: FrameSource, truth: np.ndarray, indices: list[int]
) -> None:
    np.testing.assert_array_equal(filled.read(source, indices), truth[indices])


@pytest.mark.parametrize("frame_format", ["raw", "jpeg"])
def test_a_video_is_decoded_once(
    cache: FrameCache, source: FrameSource, frame_format: FrameFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(source, frame_format=frame_format)
    plain = source.read([3, 4, 5])
    np.testing.assert_array_equal(cache.read(source, [3, 4, 5]), plain)
    monkeypatch.setattr("harness.data.video_frames.read_frames", None)
    monkeypatch.setattr("harness.data.video_frames.read_blocks", None)
    np.testing.assert_array_equal(cache.read(source, [3, 4, 5]), plain)
    assert cache.read(source, range(0, NUM_FRAMES, 7)).shape == (len(range(0, NUM_FRAMES, 7)), 16, 32, 3)


def test_jpeg_is_smaller_and_close(cache: FrameCache, video: Path) -> None:
    raw = FrameSource(path=video, info=probe_video(video))
    jpeg = replace(raw, frame_format="jpeg")
    difference = np.abs(cache.read(raw, range(40)).astype(int) - cache.read(jpeg, range(40)))
    assert difference.mean() < 2
    sizes = {source.frame_format: held_bytes(cache.folder / source.identity()) for source in (raw, jpeg)}
    assert sizes["jpeg"] < 0.25 * sizes["raw"]


def test_a_file_that_changed_is_read_anew(cache: FrameCache, copies: list[FrameSource], make_video) -> None:
    source = copies[0]
    before = cache.read(source, [0, 50])
    make_video(source.path, NUM_FRAMES, still=True)
    after = cache.read(source, [0, 50])
    np.testing.assert_array_equal(after, source.read([0, 50]))
    assert not np.array_equal(before, after)


def test_every_setting_has_frames_of_its_own(source: FrameSource) -> None:
    variants = [
        source,
        replace(source, short_side=20),
        replace(source, reduce_in="decoder"),
        replace(source, frame_format="jpeg"),
        replace(source, info=replace(source.info, reader="pyav")),
    ]
    assert len({variant.identity() for variant in variants}) == len(variants)
    # Where nothing is reduced, it does not matter to what it would have been.
    assert replace(source, short_side=32).identity() == replace(source, short_side=None).identity()


def test_the_entry_used_longest_ago_makes_room(cache: FrameCache, copies: list[FrameSource]) -> None:
    small = replace(cache, max_bytes=2 * NUM_FRAMES * FRAME_BYTES)
    for source in copies[:2]:
        small.read(source, [0])
        time.sleep(0.02)
    small.read(copies[0], [0])
    small.read(copies[2], [0])
    assert {path.name for path in entries(small.folder)} == {copies[0].identity(), copies[2].identity()}


def test_what_is_in_use_stays_and_the_newcomer_is_read_from_its_file(
    cache: FrameCache, copies: list[FrameSource], truth: np.ndarray
) -> None:
    small = replace(cache, max_bytes=2 * NUM_FRAMES * FRAME_BYTES, in_use_s=60)
    for source in (*copies, *copies):
        np.testing.assert_array_equal(small.read(source, [5, 300]), truth[[5, 300]])
    assert {path.name for path in entries(small.folder)} == {source.identity() for source in copies[:2]}


def test_a_video_larger_than_the_cache_is_never_kept(cache: FrameCache, source: FrameSource, truth: np.ndarray) -> None:
    tiny = replace(cache, max_bytes=NUM_FRAMES * FRAME_BYTES - 1)
    np.testing.assert_array_equal(tiny.read(source, [9]), truth[[9]])
    assert entries(tiny.folder) == []


def test_a_block_that_was_cut_is_written_anew(cache: FrameCache, source: FrameSource, truth: np.ndarray) -> None:
    cache.read(source, [0])
    block = cache.folder / source.identity() / "000001.raw"
    block.write_bytes(block.read_bytes()[:-1])
    np.testing.assert_array_equal(cache.read(source, [0, 200]), truth[[0, 200]])
    assert block.stat().st_size == BLOCK_FRAMES * FRAME_BYTES


def test_damage_elsewhere_in_the_video_does_not_reach_the_window(
    cache: FrameCache, source: FrameSource, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def damaged(path, blocks, take, **_) -> None:
        calls.append(path)
        take(truth[next(iter(blocks))])
        raise UnreadableVideo("frame 200 cannot be decoded")

    monkeypatch.setattr("harness.data.video_frames.read_blocks", damaged)
    for _ in range(3):
        np.testing.assert_array_equal(cache.read(source, [0, 390]), truth[[0, 390]])
        np.testing.assert_array_equal(cache.read(source, [0, 9]), truth[[0, 9]])
    assert len(calls) == 1


def test_a_disk_that_fails_is_no_error(tmp_path: Path, source: FrameSource, truth: np.ndarray) -> None:
    (tmp_path / "file").write_text("")
    broken = FrameCache(folder=tmp_path / "file" / "frames", max_bytes=2**30)
    np.testing.assert_array_equal(broken.read(source, [1]), truth[[1]])


def test_no_size_is_no_cache() -> None:
    assert cache_here(0) is None
    cache = cache_here(5)
    assert cache is not None
    assert cache.max_bytes == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_with_and_without_a_cache(
    cache: FrameCache, make_folder, data_config: DataConfig, workers: int
) -> None:
    dataset = prepare_dataset("custom", make_folder(), cache.folder.parent / "index")
    for epoch in (0, 1):
        plain = train_loader(dataset, data_config, batch_size=2, seed=3, epoch=epoch)
        cached = train_loader(dataset, data_config, batch_size=2, seed=3, epoch=epoch, workers=workers, cache=cache)
        for one, other in zip(plain, cached, strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.segments, other.segments)
    plain, cached = (test_loader(dataset, data_config, batch_size=3, cache=kept) for kept in (None, cache))
    assert all(torch.equal(one.inputs, other.inputs) for one, other in zip(plain, cached, strict=True))


def test_the_second_epoch_decodes_nothing(
    cache: FrameCache, make_folder, data_config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = prepare_dataset("custom", make_folder(), cache.folder.parent / "index")
    plain = list(train_loader(dataset, data_config, batch_size=2, seed=3, epoch=1))
    list(train_loader(dataset, data_config, batch_size=2, seed=3, epoch=0, cache=cache))
    monkeypatch.setattr("harness.data.video_frames.read_frames", None)
    monkeypatch.setattr("harness.data.video_frames.read_blocks", None)
    cached = list(train_loader(dataset, data_config, batch_size=2, seed=3, epoch=1, cache=cache))
    assert all(torch.equal(one.inputs, other.inputs) for one, other in zip(plain, cached, strict=True))


CHILD = """
import json, os, signal, sys
import numpy as np
from pathlib import Path
from harness.data.cache import FrameCache
from harness.data.probe import info_from_json
from harness.data.video_frames import FrameSource

order = json.loads(sys.argv[1])
info = info_from_json(order["info"])
sources = [FrameSource(path=Path(path), info=info) for path in order["paths"]]
cache = FrameCache(folder=Path(order["folder"]), max_bytes=order["max_bytes"], in_use_s=0)
if order["die_at"] is not None:
    calls = 0
    def dying(real):
        def call(*arguments):
            global calls
            calls += 1
            if calls == order["die_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)
        return call
    os.replace, os.fsync = dying(os.replace), dying(os.fsync)
generator = np.random.default_rng(order["seed"])
for _ in range(order["reads"]):
    source = sources[generator.integers(len(sources))]
    indices = generator.integers(0, info.num_frames, 12)
    frames = cache.read(source, indices)
    np.testing.assert_array_equal(frames, np.load(order["truth"])[indices])
"""


@pytest.fixture
def start(tmp_path: Path, copies: list[FrameSource], cache: FrameCache):
    """Return a function that starts a process that reads from the cache and checks what it gets."""
    import json
    from dataclasses import asdict

    source = copies[0]
    np.save(tmp_path / "truth.npy", replace(source, short_side=None).read(range(NUM_FRAMES)))

    def start(seed: int, max_bytes: int, reads: int = 25, die_at: int | None = None) -> subprocess.Popen:
        order = {
            "info": asdict(source.info),
            "paths": [str(source.path) for source in copies],
            "folder": str(cache.folder),
            "truth": str(tmp_path / "truth.npy"),
            "max_bytes": max_bytes,
            "seed": seed,
            "reads": reads,
            "die_at": die_at,
        }
        return subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(order)], stderr=subprocess.PIPE)

    return start


def test_processes_that_fill_read_and_throw_out_at_once_see_the_right_frames(start, cache: FrameCache) -> None:
    # Room for two of three: somebody is always filling while others read and throw out.
    max_bytes = 2 * NUM_FRAMES * 4 * FRAME_BYTES + 4096
    children = [start(seed, max_bytes) for seed in range(4)]
    for child in children:
        assert child.communicate(timeout=60)[1] == b""
        assert child.returncode == 0
    assert sum(map(held_bytes, entries(cache.folder))) <= max_bytes


def test_a_process_killed_at_any_point_leaves_a_cache_that_works(
    start, cache: FrameCache, copies: list[FrameSource], truth: np.ndarray
) -> None:
    max_bytes = 2 * NUM_FRAMES * 4 * FRAME_BYTES + 4096
    points = (1, 2, 3, 4, 6, 8, 11, 14, 17, 20)
    for first in range(0, len(points), 2):
        for child in [start(point, max_bytes, die_at=point) for point in points[first : first + 2]]:
            child.communicate(timeout=60)
            assert child.returncode == -signal.SIGKILL
    for source in (*copies, copies[0]):
        np.testing.assert_array_equal(cache.read(source, range(NUM_FRAMES)), truth)
        whole = replace(source, short_side=None)
        np.testing.assert_array_equal(cache.read(whole, [0, 390]), whole.read([0, 390]))
    for entry in entries(cache.folder):
        assert not list(entry.glob(".*.tmp"))
        assert held_bytes(entry) <= entry_bytes(entry) + 64
