"""Batches of windows, for training (random truncation, augmentation) and for testing (sliding windows).

    (seed, epoch) -> order of samples -> batches -> this rank's share
    (seed, epoch, sample) -> stretch -> frames (file or cache) -> crop, flip, colours -> Batch

Nothing else decides what a batch holds: not the number of loader processes, not what was loaded before. So any epoch
can be loaded again, and `world_size` processes together see the batches that one would see.

A video that cannot be read after all (the disk failed, the decoder hung) is replaced by the next sample in training
and left out in testing; every batch says so in `unreadable`, and the loaders collect it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from harness.config import DataConfig
from harness.data.cache import FrameCache
from harness.data.features import FeatureStore
from harness.data.guard import BATCH_TIMEOUT_S
from harness.data.index import Dataset, Video
from harness.data.loader_batch import (
    ACTIONS_MULTIPLE,
    Batch,
    Unreadable,
    WindowRef,
    max_actions,
    reference,
)
from harness.data.loader_wait import HungLoader, Pulse, WindowLoader
from harness.data.loader_windows import TestWindows, TrainWindows, reading_side, without_short
from harness.data.sampling import Stretch, on_cells, sliding_windows
from harness.data.video import READ_TIMEOUT_S

__all__ = [
    "ACTIONS_MULTIPLE",
    "BATCH_TIMEOUT_S",
    "Batch",
    "HungLoader",
    "Unreadable",
    "WindowLoader",
    "WindowRef",
    "cells_to_seconds",
    "max_actions",
    "reading_side",
    "stretch_loader",
    "test_loader",
    "test_windows",
    "train_loader",
]

ORDER_STREAM = 0
"""Keeps the random stream of the order apart from those of the samples."""


def train_loader(
    dataset: Dataset,
    config: DataConfig,
    *,
    batch_size: int,
    repeat: int = 1,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    first_batch: int = 0,
    pin_memory: bool = False,
    read_timeout_s: float = READ_TIMEOUT_S,
    batch_timeout_s: float = BATCH_TIMEOUT_S,
    unreadable: dict[str, str] | None = None,
    features: FeatureStore | None = None,
    cache: FrameCache | None = None,
) -> WindowLoader:
    """Load one epoch of training windows, one per video and repeat, in random order.

    Videos without actions are left out, as is the rest of the samples that fills no batch.

    Args:
        dataset: The data.
        config: Which subset and how windows are cut.
        batch_size: Windows per optimiser step over all ranks; each rank loads its equal share of every batch.
        repeat: Windows per video and epoch.
        seed: With `epoch`, decides order and content.
        epoch: Counted from 0.
        rank: This process, of `world_size`.
        world_size: Processes that train together.
        workers: Loader processes; 0 loads in this one. No effect on what is loaded.
        first_batch: Batches of the epoch to leave out at its beginning, where a run resumes in the middle.
        pin_memory: Put batches in page-locked memory, for CUDA.
        read_timeout_s: Longest silence of the decoder before a video is given up.
        batch_timeout_s: Longest silence of everybody who loads before `HungLoader` is raised.
        unreadable: Videos given up earlier, by id; they are not tried again, and new ones are added. Share one dict
            over the epochs of a run.
        features: Load these instead of frames; windows then start where a cell of the whole video does.
        cache: Where decoded frames are kept; no effect on what is loaded.

    Raises:
        ValueError: too few samples for a batch, or a batch that the ranks cannot share equally.
    """
    if batch_size % world_size:
        raise ValueError(f"training.batch_size is {batch_size}, expected a multiple of the {world_size} workers")
    videos = tuple(
        video for video in without_short(dataset.subset(config.train_subset), config.shortest_share) if video.actions
    )
    total = len(videos) * repeat
    if total < batch_size:
        raise ValueError(
            f"training.batch_size is {batch_size}, but subset {config.train_subset!r} gives only {total} windows "
            f"per epoch ({len(videos)} videos with actions x training.repeat {repeat})"
        )
    unreadable = {} if unreadable is None else unreadable
    source = TrainWindows(
        videos,
        dataset.classes,
        config,
        total=total,
        seed=seed,
        epoch=epoch,
        read_timeout_s=read_timeout_s,
        pulse=Pulse(workers),
        known_unreadable=dict(unreadable),
        features=features,
        cache=cache,
    )
    order = np.random.default_rng([ORDER_STREAM, seed, epoch]).permutation(total).tolist()
    batches = [
        order[first + rank : first + batch_size : world_size] for first in range(0, total - batch_size + 1, batch_size)
    ]
    return WindowLoader(
        source,
        batches[first_batch:],
        workers=workers,
        pin_memory=pin_memory,
        unreadable=unreadable,
        batch_timeout_s=batch_timeout_s,
    )


def test_loader(
    dataset: Dataset,
    config: DataConfig,
    *,
    batch_size: int,
    rank: int = 0,  # noqa: PT028
    world_size: int = 1,  # noqa: PT028
    workers: int = 0,  # noqa: PT028
    pin_memory: bool = False,  # noqa: PT028
    read_timeout_s: float = READ_TIMEOUT_S,  # noqa: PT028
    batch_timeout_s: float = BATCH_TIMEOUT_S,  # noqa: PT028
    unreadable: dict[str, str] | None = None,  # noqa: PT028
    features: FeatureStore | None = None,  # noqa: PT028
    cache: FrameCache | None = None,  # noqa: PT028
) -> WindowLoader:
    """Load the sliding windows of all test videos, in order; the last batch may be smaller.

    Args:
        dataset: The data.
        config: Which subset and how windows are cut.
        batch_size: Windows per batch of this process.
        rank: This process loads every `world_size`-th window, from its own number on.
        world_size: Processes that test together.
        workers: Loader processes; 0 loads in this one.
        pin_memory: Put batches in page-locked memory, for CUDA.
        read_timeout_s: Longest silence of the decoder before a window is given up.
        batch_timeout_s: As for `train_loader`.
        unreadable: As for `train_loader`; a video in it has lost at least one window.
        features: As for `train_loader`.
        cache: As for `train_loader`.
    """
    return stretch_loader(
        [
            (video, on_cells(stretch, config.window) if features is not None else stretch)
            for video in dataset.subset(config.test_subset)
            for stretch in sliding_windows(video.info.num_frames, config.window, config.test_overlap)
        ],
        dataset.classes,
        config,
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        workers=workers,
        pin_memory=pin_memory,
        read_timeout_s=read_timeout_s,
        batch_timeout_s=batch_timeout_s,
        unreadable=unreadable,
        features=features,
        cache=cache,
    )


def stretch_loader(
    stretches: Sequence[tuple[Video, Stretch]],
    classes: tuple[str, ...],
    config: DataConfig,
    *,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
    read_timeout_s: float = READ_TIMEOUT_S,
    batch_timeout_s: float = BATCH_TIMEOUT_S,
    unreadable: dict[str, str] | None = None,
    features: FeatureStore | None = None,
    cache: FrameCache | None = None,
) -> WindowLoader:
    """Load given stretches of videos without augmentation, in order; arguments as for `test_loader`."""
    if batch_size < 1:
        raise ValueError(f"the test batch size is {batch_size}, expected at least 1")
    unreadable = {} if unreadable is None else unreadable
    source = TestWindows(
        stretches,
        classes,
        config,
        read_timeout_s=read_timeout_s,
        pulse=Pulse(workers),
        known_unreadable=dict(unreadable),
        features=features,
        cache=cache,
    )
    mine = list(range(rank, len(source), world_size))
    batches = [mine[first : first + batch_size] for first in range(0, len(mine), batch_size)]
    return WindowLoader(
        source,
        batches,
        workers=workers,
        pin_memory=pin_memory,
        unreadable=unreadable,
        batch_timeout_s=batch_timeout_s,
    )


# pytest would take the name for a test wherever it is imported.
test_loader.__test__ = False  # type: ignore[attr-defined]


def test_windows(dataset: Dataset, config: DataConfig) -> tuple[WindowRef, ...]:
    """Return the windows that `test_loader` goes through, over all ranks."""
    return tuple(
        reference(video, stretch, config.window)
        for video in dataset.subset(config.test_subset)
        for stretch in sliding_windows(video.info.num_frames, config.window, config.test_overlap)
    )


test_windows.__test__ = False  # type: ignore[attr-defined]


def cells_to_seconds(video: Video, window: WindowRef, cells: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
    """Return seconds of grid coordinates of a window, clipped to the video."""
    frames = window.start_frame + np.asarray(cells, dtype=np.float64) * window.cell
    return np.clip(video.info.seconds_at(frames), 0.0, video.info.duration_s)
