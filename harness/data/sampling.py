"""Which frames a window shows and which actions it holds: index arithmetic only, NumPy only.

    video      0 ........................................ num_frames - 1     decoded frames
    stretch        start ............ start + length - 1                     what a window covers, at most `span`
    sampled        start, start + stride, ...                                `frames` of them; past the end: the last
    cells          cell k covers start + k*cell ... start + (k+1)*cell - 1   `features` of them; past the end: masked

A grid coordinate is (frame - start) / cell, a fraction: nothing is rounded on the way from seconds to the grid.

Where the window is the whole video (`data.window.mode` resize), the frames are spread evenly over it, whatever its
length, a cell is a `features`-th of it, and nothing is padded, masked, cut or drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from harness.config import WindowConfig

TRIES = 200
"""Random truncation gives up looking for an action after this many windows (adatad-facts 6.3)."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The decoded frames that one window covers."""

    start_frame: int
    num_frames: int
    """At most the window's span; less only for short videos. In `resize` mode the whole video."""

    def cell(self, window: WindowConfig) -> float:
        """Return decoded frames per feature cell; a fraction in `resize` mode."""
        return self.num_frames / window.features if window.mode == "resize" else float(window.cell)

    def num_cells(self, window: WindowConfig) -> int:
        """Return how many feature cells show video; the last one may be partly past the end."""
        return window.features if window.mode == "resize" else math.ceil(self.num_frames / window.cell)


def frame_indices(stretch: Stretch, window: WindowConfig) -> Int[ndarray, " frames"]:
    """Return the frames that the backbone sees; a short stretch is padded by repeating its last frame."""
    if window.mode == "resize":
        middles = (np.arange(window.frames) + 0.5) * stretch.num_frames / window.frames - 0.5
        # Half to even, as OpenTAD's NumPy rounds.
        return stretch.start_frame + np.rint(np.clip(middles, 0, stretch.num_frames - 1)).astype(np.int64)
    indices = stretch.start_frame + window.stride * np.arange(window.frames)
    return np.minimum(indices, stretch.start_frame + stretch.num_frames - 1)


def cell_mask(stretch: Stretch, window: WindowConfig) -> Bool[ndarray, " features"]:
    """Return which feature cells show video."""
    return np.arange(window.features) < stretch.num_cells(window)


def sliding_windows(num_frames: int, window: WindowConfig, overlap: float) -> tuple[Stretch, ...]:
    """Cover a whole video; the last window is moved back to end with the video.

    In `resize` mode one window is all of it.

    Args:
        num_frames: Frames of the video.
        window: The window.
        overlap: Share of a window that the next one covers again, 0 <= overlap < 1.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"data.test_overlap is {overlap}, expected 0 <= test_overlap < 1")
    span = window.span
    if window.mode == "resize" or num_frames <= span:
        return (Stretch(start_frame=0, num_frames=num_frames),)
    step = max(1, int(span * (1 - overlap)))
    starts = [*range(0, num_frames - span, step), num_frames - span]
    return tuple(Stretch(start_frame=start, num_frames=span) for start in starts)


def on_cells(stretch: Stretch, window: WindowConfig) -> Stretch:
    """Return the stretch moved back to where one of the whole video's feature cells begins."""
    if window.mode == "resize":
        return stretch
    return Stretch(start_frame=stretch.start_frame // window.cell * window.cell, num_frames=stretch.num_frames)


def random_truncation(
    num_frames: int,
    segments: Float[ndarray, "actions 2"],
    window: WindowConfig,
    *,
    min_kept: float,
    min_crop: float,
    generator: np.random.Generator,
) -> tuple[Stretch, Int[ndarray, " kept"]]:
    """Draw the stretch of a training window, one with at least one action if 200 tries find any.

    A video longer than the window's span gives a stretch of that span at any place. A shorter one is cut to a random
    length between `min_crop` and all of it. Draws count decoded frames, so that configs that differ in `frames` or
    `resolution` see the same stretches. In `resize` mode it is the whole video, with all its actions.

    Args:
        num_frames: Frames of the video.
        segments: Start and end of the video's actions, in (fractional) frames.
        window: The window.
        min_kept: An action counts as inside when at least this share of it is.
        min_crop: Shortest cut of a short video, as a share of it.
        generator: Advanced by the same amount whatever is drawn.

    Returns:
        The stretch, and which actions are inside.
    """
    draws = generator.random((TRIES, 2))
    if window.mode == "resize":
        return Stretch(start_frame=0, num_frames=num_frames), np.arange(len(segments))
    if num_frames > window.span:
        lengths = np.full(TRIES, window.span)
    else:
        shortest = min(max(round(min_crop * num_frames), 1), num_frames)
        lengths = shortest + (draws[:, 1] * (num_frames - shortest + 1)).astype(np.int64)
    starts = (draws[:, 0] * (num_frames - lengths + 1)).astype(np.int64)
    inside = kept_share(segments[None], starts[:, None], lengths[:, None]) >= min_kept
    found = inside.any(axis=1)
    chosen = int(found.argmax()) if found.any() else TRIES - 1
    stretch = Stretch(start_frame=int(starts[chosen]), num_frames=int(lengths[chosen]))
    return stretch, np.flatnonzero(inside[chosen])


def kept_share(
    segments: Float[ndarray, "*#batch actions 2"],
    start: int | Int[ndarray, "*#batch 1"],
    length: int | Int[ndarray, "*#batch 1"],
) -> Float[ndarray, "*any actions"]:
    """Return the share of each segment that lies in a stretch of frames; many stretches broadcast."""
    inside = np.minimum(segments[..., 1], start + length) - np.maximum(segments[..., 0], start)
    own = np.maximum(segments[..., 1] - segments[..., 0], np.finfo(np.float64).tiny)
    return np.clip(inside, 0, None) / own


def to_grid(
    segments: Float[ndarray, "actions 2"], stretch: Stretch, window: WindowConfig
) -> Float[ndarray, "actions 2"]:
    """Return segments in grid coordinates of a window, cut to what it shows."""
    start = stretch.start_frame
    return (np.clip(segments, start, start + stretch.num_frames) - start) / stretch.cell(window)
