"""Batches of windows, for training (random truncation, augmentation) and for testing (sliding windows).

    (seed, epoch) -> order of samples -> batches -> this rank's share
    (seed, epoch, sample) -> stretch -> frames (file or cache) -> crop, flip, colours -> Batch

Nothing else decides what a batch holds: not the number of loader processes, not what was loaded before. So any epoch
can be loaded again, and `world_size` processes together see the batches that one would see.

A video that cannot be read after all (the disk failed, the decoder hung) is replaced by the next sample in training
and left out in testing; every batch says so in `unreadable`, and the loaders collect it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from harness.config import DataConfig, WindowConfig
from harness.data.augment import augment, centre_view, draw_augmentation
from harness.data.cache import FrameCache
from harness.data.features import FeatureStore
from harness.data.index import Dataset, Video
from harness.data.sampling import (
    Stretch,
    cell_mask,
    frame_indices,
    kept_share,
    on_cells,
    random_truncation,
    sliding_windows,
    to_grid,
)
from harness.data.video import READ_TIMEOUT_S, UnreadableVideo
from harness.data.video_frames import FrameSource

ACTIONS_MULTIPLE = 16
"""Batches have room for a multiple of this many actions, so that their shapes (and peak memory) hardly vary."""

WORKER_TIMEOUT_S = 1800.0
"""A loader process that is silent this long is dead; the decoder's own timeout acts long before."""

_ORDER, _SAMPLE = 0, 1
"""Keep the random streams of order and samples apart."""


@dataclass(frozen=True, kw_only=True)
class WindowRef:
    """Where a window lies in its video."""

    video_id: str
    start_frame: int
    num_valid_cells: int
    cell: float
    """Decoded frames per feature cell."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A video that was given up while loading."""

    video_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows as the network takes them. Actions are padded with segment (0, 0) and label -1."""

    inputs: UInt8[Tensor, "b 3 f h w"] | Float[Tensor, "b c t"]
    """RGB frames; where features were extracted before, those."""
    mask: Bool[Tensor, "b t"]
    """False: the cell is past the end of the video."""
    segments: Float[Tensor, "b n 2"]
    """Grid coordinates (cells from the window's start), cut to the window."""
    labels: Int64[Tensor, "b n"]
    windows: tuple[WindowRef, ...]
    unreadable: tuple[Unreadable, ...] = ()
    """Videos found unreadable on the way to this batch."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Return the batch with its tensors on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory (the DataLoader calls this)."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            inputs=change(self.inputs),
            mask=change(self.mask),
            segments=change(self.segments),
            labels=change(self.labels),
        )


class WindowLoader:
    """The batches of one epoch or one test run; iterating twice gives the same batches."""

    def __init__(
        self,
        source: "_TrainWindows | _TestWindows",
        batches: Sequence[Sequence[int]],
        *,
        workers: int,
        pin_memory: bool,
        unreadable: dict[str, str],
    ) -> None:
        """Take what is loaded (`source`) and the samples of each batch; `train_loader` and `test_loader` do."""
        self.unreadable = unreadable
        """Videos given up so far, by id, with the reason."""
        self._loader: DataLoader[_Loaded] = DataLoader(
            source,
            batch_sampler=batches,  # type: ignore[arg-type]
            collate_fn=_collate,
            num_workers=workers,
            pin_memory=pin_memory,
            timeout=WORKER_TIMEOUT_S if workers else 0,
            # An own generator, because the DataLoader would draw from torch's global one.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Return the number of batches (testing may give fewer, if whole batches are unreadable)."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Load the batches in order."""
        for loaded in self._loader:
            self.unreadable.update({item.video_id: item.reason for item in loaded.unreadable})
            if loaded.batch is not None:
                yield loaded.batch


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
        video for video in _without_short(dataset.subset(config.train_subset), config.shortest_share) if video.actions
    )
    total = len(videos) * repeat
    if total < batch_size:
        raise ValueError(
            f"training.batch_size is {batch_size}, but subset {config.train_subset!r} gives only {total} windows "
            f"per epoch ({len(videos)} videos with actions x training.repeat {repeat})"
        )
    unreadable = {} if unreadable is None else unreadable
    source = _TrainWindows(
        videos,
        dataset.classes,
        config,
        total=total,
        seed=seed,
        epoch=epoch,
        read_timeout_s=read_timeout_s,
        known_unreadable=dict(unreadable),
        features=features,
        cache=cache,
    )
    order = np.random.default_rng([_ORDER, seed, epoch]).permutation(total).tolist()
    batches = [
        order[first + rank : first + batch_size : world_size] for first in range(0, total - batch_size + 1, batch_size)
    ]
    return WindowLoader(source, batches[first_batch:], workers=workers, pin_memory=pin_memory, unreadable=unreadable)


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
    unreadable: dict[str, str] | None = None,
    features: FeatureStore | None = None,
    cache: FrameCache | None = None,
) -> WindowLoader:
    """Load given stretches of videos without augmentation, in order; arguments as for `test_loader`."""
    if batch_size < 1:
        raise ValueError(f"the test batch size is {batch_size}, expected at least 1")
    unreadable = {} if unreadable is None else unreadable
    source = _TestWindows(
        stretches,
        classes,
        config,
        read_timeout_s=read_timeout_s,
        known_unreadable=dict(unreadable),
        features=features,
        cache=cache,
    )
    mine = list(range(rank, len(source), world_size))
    batches = [mine[first : first + batch_size] for first in range(0, len(mine), batch_size)]
    return WindowLoader(source, batches, workers=workers, pin_memory=pin_memory, unreadable=unreadable)


# pytest would take the name for a test wherever it is imported.
test_loader.__test__ = False  # type: ignore[attr-defined]


def test_windows(dataset: Dataset, config: DataConfig) -> tuple[WindowRef, ...]:
    """Return the windows that `test_loader` goes through, over all ranks."""
    return tuple(
        _reference(video, stretch, config.window)
        for video in dataset.subset(config.test_subset)
        for stretch in sliding_windows(video.info.num_frames, config.window, config.test_overlap)
    )


test_windows.__test__ = False  # type: ignore[attr-defined]


def cells_to_seconds(video: Video, window: WindowRef, cells: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
    """Return seconds of grid coordinates of a window, clipped to the video."""
    frames = window.start_frame + np.asarray(cells, dtype=np.float64) * window.cell
    return np.clip(video.info.seconds_at(frames), 0.0, video.info.duration_s)


def max_actions(videos: Sequence[Video]) -> int:
    """Return how many actions a batch of these videos has room for: a multiple of 16, at least 16."""
    most = max((len(video.actions) for video in videos), default=0)
    return max(1, math.ceil(most / ACTIONS_MULTIPLE)) * ACTIONS_MULTIPLE


def reading_side(resolution: int) -> int:
    """Return the short side to which training frames are reduced before the random crop.

    AdaTAD's ratio: 182 for 160, 256 for 224 (adatad-facts 6.3).
    """
    return resolution * 8 // 7


@dataclass(frozen=True, kw_only=True)
class _Window:
    """One window, before it is joined with others to a batch."""

    inputs: UInt8[Tensor, "3 f h w"] | Float[Tensor, "c t"]
    mask: Bool[Tensor, " t"]
    segments: Float[Tensor, "n 2"]
    labels: Int64[Tensor, " n"]
    reference: WindowRef


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A window or a batch, or nothing, and the videos that were given up on the way to it."""

    unreadable: tuple[Unreadable, ...]
    window: _Window | None = None
    batch: Batch | None = None

    def pin_memory(self) -> "_Loaded":
        return self if self.batch is None else replace(self, batch=self.batch.pin_memory())


class _TrainWindows(TorchDataset[_Loaded]):
    def __init__(
        self,
        videos: tuple[Video, ...],
        classes: tuple[str, ...],
        config: DataConfig,
        *,
        total: int,
        seed: int,
        epoch: int,
        read_timeout_s: float,
        known_unreadable: dict[str, str],
        features: FeatureStore | None,
        cache: FrameCache | None,
    ) -> None:
        self._videos = videos
        self._cache = cache
        self._features = features
        self._targets = [_targets(video, classes) for video in videos]
        self._config = config
        self._total = total
        self._key = (seed, epoch)
        self._read_timeout_s = read_timeout_s
        self._unreadable = known_unreadable
        self._room = max_actions(videos)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, sample: int) -> _Loaded:
        given_up: list[Unreadable] = []
        # The next videos in turn: the same substitute wherever and whenever this sample is loaded.
        for other in range(sample, sample + len(self._videos)):
            number = other % len(self._videos)
            video = self._videos[number]
            if video.video_id in self._unreadable:
                continue
            try:
                return _Loaded(window=self._load(sample, number), unreadable=tuple(given_up))
            except UnreadableVideo as error:
                self._unreadable[video.video_id] = error.reason
                given_up.append(Unreadable(video_id=video.video_id, reason=error.reason))
        name, reason = next(iter(self._unreadable.items()))
        raise ValueError(
            f"none of the {len(self._videos)} videos of subset {self._config.train_subset!r} can be read any more "
            f"({name}: {reason})"
        )

    def _load(self, sample: int, number: int) -> _Window:
        config, video = self._config, self._videos[number]
        segments, labels = self._targets[number]
        # The video is part of the key, or a substitute would repeat the draws of another video.
        random = np.random.default_rng([_SAMPLE, *self._key, sample, number])
        pixels_seed = int(random.integers(2**63))
        stretch, inside = random_truncation(
            video.info.num_frames,
            segments,
            config.window,
            min_kept=config.min_kept,
            min_crop=config.min_crop,
            generator=random,
        )
        if self._features is not None:
            stretch = on_cells(stretch, config.window)
            inputs = _read_features(self._features, video, stretch, config.window)
            return _window(video, stretch, config.window, inputs, segments[inside], labels[inside], self._room)
        resolution = config.window.resolution
        frames = _read(video, stretch, config, reading_side(resolution), self._read_timeout_s, self._cache)
        generator = torch.Generator().manual_seed(pixels_seed)
        drawn = draw_augmentation(config.augment, frames.shape[2], frames.shape[3], generator)
        return _window(
            video,
            stretch,
            config.window,
            augment(frames, drawn, resolution),
            segments[inside],
            labels[inside],
            self._room,
        )


class _TestWindows(TorchDataset[_Loaded]):
    def __init__(
        self,
        windows: Sequence[tuple[Video, Stretch]],
        classes: tuple[str, ...],
        config: DataConfig,
        *,
        read_timeout_s: float,
        known_unreadable: dict[str, str],
        features: FeatureStore | None,
        cache: FrameCache | None,
    ) -> None:
        self._windows = windows
        self._cache = cache
        self._classes = classes
        self._config = config
        self._read_timeout_s = read_timeout_s
        self._unreadable = known_unreadable
        self._features = features
        self._room = max_actions([video for video, _ in windows])

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, number: int) -> _Loaded:
        config = self._config
        video, stretch = self._windows[number]
        if video.video_id in self._unreadable:
            return _Loaded(unreadable=())
        try:
            inputs = self._inputs(video, stretch)
        except UnreadableVideo as error:
            self._unreadable[video.video_id] = error.reason
            return _Loaded(unreadable=(Unreadable(video_id=video.video_id, reason=error.reason),))
        segments, labels = _targets(video, self._classes)
        inside = kept_share(segments, stretch.start_frame, stretch.num_frames) >= config.min_kept
        window = _window(video, stretch, config.window, inputs, segments[inside], labels[inside], self._room)
        return _Loaded(window=window, unreadable=())

    def _inputs(self, video: Video, stretch: Stretch) -> Tensor:
        window = self._config.window
        if self._features is not None:
            return _read_features(self._features, video, stretch, window)
        frames = _read(video, stretch, self._config, window.resolution, self._read_timeout_s, self._cache)
        return centre_view(frames, window.resolution)


def _without_short(videos: Sequence[Video], share: float) -> tuple[Video, ...]:
    """Return the videos without actions of at most this share of them (`data.shortest_share`)."""
    if not share:
        return tuple(videos)
    return tuple(
        replace(
            video,
            actions=tuple(
                action for action in video.actions if (action.end_s - action.start_s) / video.info.duration_s > share
            ),
        )
        for video in videos
    )


def _targets(video: Video, classes: tuple[str, ...]) -> tuple[Float[ndarray, "n 2"], Any]:
    """Return a video's actions as segments in frames, and class numbers."""
    seconds = np.array([(action.start_s, action.end_s) for action in video.actions], dtype=np.float64).reshape(-1, 2)
    labels = np.array([classes.index(action.label) for action in video.actions], dtype=np.int64)
    return video.info.frames_at(seconds), labels


def _read(
    video: Video, stretch: Stretch, config: DataConfig, short_side: int, timeout_s: float, cache: FrameCache | None
) -> UInt8[Tensor, "3 f h w"]:
    source = FrameSource(
        path=video.path,
        info=video.info,
        short_side=short_side,
        reduce_in=config.reduce_in,
        frame_format=config.frame_format,
    )
    indices = frame_indices(stretch, config.window)
    frames = source.read(indices, timeout_s) if cache is None else cache.read(source, indices, timeout_s)
    return rearrange(torch.from_numpy(frames), "f h w c -> c f h w")


def _read_features(
    features: FeatureStore, video: Video, stretch: Stretch, window: WindowConfig
) -> Float[Tensor, "c t"]:
    if window.mode == "resize":
        cells = features.read_whole(video.video_id, window.features)
    else:
        cells = features.read(video.video_id, stretch.start_frame // window.cell, window.features)
    return torch.from_numpy(cells).T.contiguous()


def _window(
    video: Video,
    stretch: Stretch,
    window: WindowConfig,
    inputs: Tensor,
    segments: Float[ndarray, "k 2"],
    labels: Any,
    room: int,
) -> _Window:
    padded_segments = torch.zeros(room, 2)
    padded_segments[: len(segments)] = torch.from_numpy(to_grid(segments, stretch, window))
    padded_labels = torch.full((room,), -1, dtype=torch.int64)
    padded_labels[: len(labels)] = torch.from_numpy(labels)
    return _Window(
        inputs=inputs,
        mask=torch.from_numpy(cell_mask(stretch, window)),
        segments=padded_segments,
        labels=padded_labels,
        reference=_reference(video, stretch, window),
    )


def _reference(video: Video, stretch: Stretch, window: WindowConfig) -> WindowRef:
    return WindowRef(
        video_id=video.video_id,
        start_frame=stretch.start_frame,
        num_valid_cells=stretch.num_cells(window),
        cell=stretch.cell(window),
    )


def _collate(loaded: list[_Loaded]) -> _Loaded:
    unreadable = tuple(item for one in loaded for item in one.unreadable)
    windows = [one.window for one in loaded if one.window is not None]
    if not windows:
        return _Loaded(unreadable=unreadable)
    batch = Batch(
        inputs=torch.stack([window.inputs for window in windows]),
        mask=torch.stack([window.mask for window in windows]),
        segments=torch.stack([window.segments for window in windows]),
        labels=torch.stack([window.labels for window in windows]),
        windows=tuple(window.reference for window in windows),
        unreadable=unreadable,
    )
    return _Loaded(batch=batch, unreadable=unreadable)
