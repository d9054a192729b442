"""A loader that hangs is given up in time, with the video's name, wherever it hangs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.config import DataConfig
from harness.data import cache as cache_module
from harness.data import loader_windows
from harness.data.cache import FrameCache
from harness.data.guard import GIVEN_UP
from harness.data.index import Dataset, prepare_dataset
from harness.data.loader import HungLoader, test_loader, train_loader
from harness.data.loader_wait import Pulse

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, fill_folder) -> Dataset:
    root = fill_folder(tmp_path_factory.mktemp("prepared") / "data")
    return prepare_dataset("custom", root, root / "cache")


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """Wait for threads that were given up: a decoder that is open while another test forks would abort the child."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith(GIVEN_UP):
            thread.join(60)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let reading one training and one test video never return, with a cause that the decoder's timeout cannot see."""
    released = threading.Event()
    read = loader_windows._read

    def hang(video, *arguments):
        if video.video_id in ("train_c", "test_a"):
            released.wait()
        return read(video, *arguments)

    monkeypatch.setattr(loader_windows, "_read", hang)
    yield "train_c"
    released.set()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_read_that_never_returns_ends_the_epoch_and_names_the_video(
    dataset: Dataset, data_config: DataConfig, hanging: str, workers: int
) -> None:
    started = time.monotonic()
    loader = train_loader(dataset, data_config, batch_size=1, seed=0, epoch=0, workers=workers, batch_timeout_s=2)
    with pytest.raises(HungLoader, match=rf"no batch .* for 2 s; it hangs in video {hanging} \(.*{hanging}\.mp4\)"):
        list(loader)
    assert time.monotonic() - started < 60
    assert workers == 0 or not _loader_processes()


def test_testing_is_watched_as_well(dataset: Dataset, data_config: DataConfig, hanging: str) -> None:
    with pytest.raises(HungLoader, match="hangs in video test_a"):
        list(test_loader(dataset, data_config, batch_size=1, batch_timeout_s=1))


def test_a_loader_process_that_was_stopped_is_given_up_and_ended(dataset: Dataset, data_config: DataConfig) -> None:
    loader = train_loader(dataset, data_config, batch_size=1, repeat=20, seed=0, epoch=0, workers=1, batch_timeout_s=2)
    batches = iter(loader)
    next(batches)
    (process,) = _loader_processes()
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(HungLoader, match="no batch and no sign of life from the loader for 2 s"):
        list(batches)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_video_that_takes_long_to_decode_but_goes_on_is_waited_for(
    dataset: Dataset, data_config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of the cache is a sign of life; without them this epoch would be given up."""
    write_block = cache_module.write_block

    def slow(path, frames, frame_format):
        time.sleep(0.6)
        return write_block(path, frames, frame_format)

    monkeypatch.setattr(cache_module, "write_block", slow)
    monkeypatch.setattr(cache_module, "BLOCK_FRAMES", 16)
    cache = FrameCache(folder=tmp_path, max_bytes=2**30)
    settings = {"batch_size": 4, "seed": 0, "epoch": 0, "batch_timeout_s": 2.0, "cache": cache}
    (batch,) = train_loader(dataset, data_config, **settings)
    assert len(batch.windows) == 4
    monkeypatch.setattr(Pulse, "beat", lambda pulse: None)
    with pytest.raises(HungLoader):
        list(train_loader(dataset, data_config, **{**settings, "cache": replace(cache, folder=tmp_path / "other")}))


def test_what_is_loaded_does_not_depend_on_the_watch(dataset: Dataset, data_config: DataConfig) -> None:
    one, other = (
        list(train_loader(dataset, data_config, batch_size=2, seed=0, epoch=0, batch_timeout_s=timeout_s))
        for timeout_s in (30.0, 600.0)
    )
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(one, other, strict=True))


def test_the_video_that_has_been_silent_longest_is_named_and_those_at_rest_are_not() -> None:
    pulse = Pulse(3)
    assert pulse.stuck_at() is None
    pulse._videos[:] = [7, 5, -1]
    pulse._signs[:] = [20.0, 10.0, 1.0]
    assert pulse.stuck_at() == 5
    assert pulse.last_sign_s() == 20.0
    pulse.at(4)
    assert pulse._videos[0] == 4
    pulse.rest()
    pulse._videos[1] = -1
    assert pulse.stuck_at() is None


def _loader_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
