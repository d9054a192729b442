"""The windows of an epoch or a test as a torch data set: one number, one window.

(seed, epoch, sample) -> stretch -> frames (file or cache) -> crop, flip, colours -> Window      training
number -> given stretch -> frames (file or cache) -> centred square -> Window                    testing
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from harness.config import DataConfig, WindowConfig
from harness.data.augment import augment, centre_view, draw_augmentation
from harness.data.cache import FrameCache
from harness.data.features import FeatureStore
from harness.data.index import Video
from harness.data.loader_batch import Loaded, Unreadable, Window, max_actions, padded_window
from harness.data.loader_wait import Pulse, Windows
from harness.data.sampling import Stretch, frame_indices, kept_share, on_cells, random_truncation
from harness.data.video import UnreadableVideo
from harness.data.video_frames import FrameSource

SAMPLE_STREAM = 1
"""Keeps the random streams of samples apart from that of their order."""


class TrainWindows(Windows):
    """The training windows of one epoch; a video that cannot be read is replaced by the next."""

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
        pulse: Pulse,
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
        self.pulse = pulse
        self._unreadable = known_unreadable
        self._room = max_actions(videos)

    def __len__(self) -> int:
        return self._total

    def video_of(self, number: int) -> Video:
        """Return a training video."""
        return self._videos[number]

    def __getitem__(self, sample: int) -> Loaded:
        try:
            return self._first_readable(sample)
        finally:
            self.pulse.rest()

    def _first_readable(self, sample: int) -> Loaded:
        given_up: list[Unreadable] = []
        # The next videos in turn: the same substitute wherever and whenever this sample is loaded.
        for other in range(sample, sample + len(self._videos)):
            number = other % len(self._videos)
            video = self._videos[number]
            if video.video_id in self._unreadable:
                continue
            self.pulse.at(number)
            try:
                return Loaded(window=self._load(sample, number), unreadable=tuple(given_up))
            except UnreadableVideo as error:
                self._unreadable[video.video_id] = error.reason
                given_up.append(Unreadable(video_id=video.video_id, reason=error.reason))
        name, reason = next(iter(self._unreadable.items()))
        raise ValueError(
            f"none of the {len(self._videos)} videos of subset {self._config.train_subset!r} can be read any more "
            f"({name}: {reason})"
        )

    def _load(self, sample: int, number: int) -> Window:
        config, video = self._config, self._videos[number]
        segments, labels = self._targets[number]
        # The video is part of the key, or a substitute would repeat the draws of another video.
        random = np.random.default_rng([SAMPLE_STREAM, *self._key, sample, number])
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
            return padded_window(video, stretch, config.window, inputs, segments[inside], labels[inside], self._room)
        resolution = config.window.resolution
        side = reading_side(resolution)
        frames = _read(video, stretch, config, side, self._read_timeout_s, self._cache, self.pulse)
        generator = torch.Generator().manual_seed(pixels_seed)
        drawn = draw_augmentation(config.augment, frames.shape[2], frames.shape[3], generator)
        return padded_window(
            video,
            stretch,
            config.window,
            augment(frames, drawn, resolution),
            segments[inside],
            labels[inside],
            self._room,
        )


class TestWindows(Windows):
    """Given windows without augmentation; what cannot be read is left out."""

    __test__ = False

    def __init__(
        self,
        windows: Sequence[tuple[Video, Stretch]],
        classes: tuple[str, ...],
        config: DataConfig,
        *,
        read_timeout_s: float,
        pulse: Pulse,
        known_unreadable: dict[str, str],
        features: FeatureStore | None,
        cache: FrameCache | None,
    ) -> None:
        self._windows = windows
        self._cache = cache
        self._classes = classes
        self._config = config
        self._read_timeout_s = read_timeout_s
        self.pulse = pulse
        self._unreadable = known_unreadable
        self._features = features
        self._room = max_actions([video for video, _ in windows])

    def __len__(self) -> int:
        return len(self._windows)

    def video_of(self, number: int) -> Video:
        """Return the video of a window."""
        return self._windows[number][0]

    def __getitem__(self, number: int) -> Loaded:
        self.pulse.at(number)
        try:
            return self._window(number)
        finally:
            self.pulse.rest()

    def _window(self, number: int) -> Loaded:
        config = self._config
        video, stretch = self._windows[number]
        if video.video_id in self._unreadable:
            return Loaded(unreadable=())
        try:
            inputs = self._inputs(video, stretch)
        except UnreadableVideo as error:
            self._unreadable[video.video_id] = error.reason
            return Loaded(unreadable=(Unreadable(video_id=video.video_id, reason=error.reason),))
        segments, labels = _targets(video, self._classes)
        inside = kept_share(segments, stretch.start_frame, stretch.num_frames) >= config.min_kept
        window = padded_window(video, stretch, config.window, inputs, segments[inside], labels[inside], self._room)
        return Loaded(window=window, unreadable=())

    def _inputs(self, video: Video, stretch: Stretch) -> Tensor:
        window = self._config.window
        if self._features is not None:
            return _read_features(self._features, video, stretch, window)
        side, timeout_s = window.resolution, self._read_timeout_s
        frames = _read(video, stretch, self._config, side, timeout_s, self._cache, self.pulse)
        return centre_view(frames, window.resolution)


def without_short(videos: Sequence[Video], share: float) -> tuple[Video, ...]:
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


def reading_side(resolution: int) -> int:
    """Return the short side to which training frames are reduced before the random crop.

    AdaTAD's ratio: 182 for 160, 256 for 224 (adatad-facts 6.3).
    """
    return resolution * 8 // 7


def _targets(video: Video, classes: tuple[str, ...]) -> tuple[Float[ndarray, "n 2"], Any]:
    """Return a video's actions as segments in frames, and class numbers."""
    seconds = np.array([(action.start_s, action.end_s) for action in video.actions], dtype=np.float64).reshape(-1, 2)
    labels = np.array([classes.index(action.label) for action in video.actions], dtype=np.int64)
    return video.info.frames_at(seconds), labels


def _read(
    video: Video,
    stretch: Stretch,
    config: DataConfig,
    short_side: int,
    timeout_s: float,
    cache: FrameCache | None,
    pulse: Pulse,
) -> UInt8[Tensor, "3 f h w"]:
    source = FrameSource(
        path=video.path,
        info=video.info,
        short_side=short_side,
        reduce_in=config.reduce_in,
        frame_format=config.frame_format,
    )
    indices = frame_indices(stretch, config.window)
    frames = source.read(indices, timeout_s) if cache is None else cache.read(source, indices, timeout_s, pulse.beat)
    return rearrange(torch.from_numpy(frames), "f h w c -> c f h w")


def _read_features(
    features: FeatureStore, video: Video, stretch: Stretch, window: WindowConfig
) -> Float[Tensor, "c t"]:
    if window.mode == "resize":
        cells = features.read_whole(video.video_id, window.features)
    else:
        cells = features.read(video.video_id, stretch.start_frame // window.cell, window.features)
    return torch.from_numpy(cells).T.contiguous()
