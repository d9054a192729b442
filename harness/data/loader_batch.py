"""Windows joined to batches, as the network takes them.

    window (inputs, mask, actions padded to a common number) ... -> Loaded -> collate -> Batch

`Loaded` is what travels from the loader's processes: a window or a batch, or nothing, and the videos that turned out
unreadable on the way.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from harness.config import WindowConfig
from harness.data.index import Video
from harness.data.sampling import Stretch, cell_mask, to_grid

ACTIONS_MULTIPLE = 16
"""Batches have room for a multiple of this many actions, so that their shapes (and peak memory) hardly vary."""


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


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window, before it is joined with others to a batch."""

    inputs: UInt8[Tensor, "3 f h w"] | Float[Tensor, "c t"]
    mask: Bool[Tensor, " t"]
    segments: Float[Tensor, "n 2"]
    labels: Int64[Tensor, " n"]
    reference: WindowRef


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A window or a batch, or nothing, and the videos that were given up on the way to it."""

    unreadable: tuple[Unreadable, ...]
    window: Window | None = None
    batch: Batch | None = None

    def pin_memory(self) -> "Loaded":
        """Put the batch in page-locked memory (the DataLoader calls this)."""
        return self if self.batch is None else replace(self, batch=self.batch.pin_memory())


def padded_window(
    video: Video,
    stretch: Stretch,
    window: WindowConfig,
    inputs: Tensor,
    segments: Float[ndarray, "k 2"],
    labels: Any,
    room: int,
) -> Window:
    """Return one window; its actions (segments in frames, class numbers) are padded to `room`."""
    padded_segments = torch.zeros(room, 2)
    padded_segments[: len(segments)] = torch.from_numpy(to_grid(segments, stretch, window))
    padded_labels = torch.full((room,), -1, dtype=torch.int64)
    padded_labels[: len(labels)] = torch.from_numpy(labels)
    return Window(
        inputs=inputs,
        mask=torch.from_numpy(cell_mask(stretch, window)),
        segments=padded_segments,
        labels=padded_labels,
        reference=reference(video, stretch, window),
    )


def reference(video: Video, stretch: Stretch, window: WindowConfig) -> WindowRef:
    """Return where a stretch lies in its video."""
    return WindowRef(
        video_id=video.video_id,
        start_frame=stretch.start_frame,
        num_valid_cells=stretch.num_cells(window),
        cell=stretch.cell(window),
    )


def collate(loaded: list[Loaded]) -> Loaded:
    """Join windows to a batch; those that could not be loaded are missing from it."""
    unreadable = tuple(item for one in loaded for item in one.unreadable)
    windows = [one.window for one in loaded if one.window is not None]
    if not windows:
        return Loaded(unreadable=unreadable)
    batch = Batch(
        inputs=torch.stack([window.inputs for window in windows]),
        mask=torch.stack([window.mask for window in windows]),
        segments=torch.stack([window.segments for window in windows]),
        labels=torch.stack([window.labels for window in windows]),
        windows=tuple(window.reference for window in windows),
        unreadable=unreadable,
    )
    return Loaded(batch=batch, unreadable=unreadable)


def max_actions(videos: Sequence[Video]) -> int:
    """Return how many actions a batch of these videos has room for: a multiple of 16, at least 16."""
    most = max((len(video.actions) for video in videos), default=0)
    return max(1, math.ceil(most / ACTIONS_MULTIPLE)) * ACTIONS_MULTIPLE
