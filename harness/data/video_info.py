"""What is known of a video file, and the one way to say that it cannot be used."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

ReaderName = Literal["decord", "pyav"]


class UnreadableVideo(Exception):
    """A video file that cannot be used; `reason` is one short phrase for people."""

    def __init__(self, reason: str, *, passing: bool = False, crashed: bool = False) -> None:
        """Keep the reason apart from the message.

        Args:
            reason: One short phrase.
            passing: The decoder was only late; another time the file may be read.
            crashed: The decoder ended the process that ran it.
        """
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        self.crashed = crashed


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What must be known of a file to cut windows from it. Time 0 is the start of the first frame."""

    num_frames: int
    fps: float
    duration_s: float
    width: int
    height: int
    timestamps_s: tuple[float, ...] | None = None
    """Start of every frame where the rate varies; None where frame i starts at i / fps."""
    reader: ReaderName = "decord"
    """Who could read the file when it was probed, and reads it from then on."""
    start_s: float = 0.0
    """When frame 0 begins, where frame i starts at start_s + i / fps: of given features, whose first may show frames
    from the middle of its span on."""

    def frames_at(self, seconds: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
        """Return fractional frame numbers; a varying rate goes through the timestamps."""
        seconds = np.asarray(seconds, dtype=np.float64)
        if self.timestamps_s is None:
            return (seconds - self.start_s) * self.fps
        return np.interp(seconds, self._edges(), np.arange(self.num_frames + 1))

    def seconds_at(self, frames: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
        """Return seconds of fractional frame numbers, the inverse of `frames_at`."""
        frames = np.asarray(frames, dtype=np.float64)
        if self.timestamps_s is None:
            return self.start_s + frames / self.fps
        return np.interp(frames, np.arange(self.num_frames + 1), self._edges())

    def _edges(self) -> Float[ndarray, " edges"]:
        assert self.timestamps_s is not None
        return np.asarray((*self.timestamps_s, self.duration_s))


@dataclass(frozen=True)
class TimeLine:
    """When the frames of a file are shown, as its container says."""

    starts_s: Float[ndarray, " frames"]
    """In order of display; the first may start at any time."""
    end_s: float
    """End of the last frame; not after its start where the file does not say."""
    fps: float
    """The file's own average rate; may be anything, NaN included."""


def measure(line: TimeLine, *, width: int, height: int, reader: ReaderName) -> VideoInfo:
    """Return what is known of a file with this time line.

    Raises:
        UnreadableVideo: the times cannot be those of frames.
    """
    num_frames = len(line.starts_s)
    if num_frames == 0:
        raise UnreadableVideo("has no frames")
    starts, end_s = line.starts_s - line.starts_s[0], line.end_s - line.starts_s[0]
    if not np.isfinite(starts).all() or (num_frames > 1 and not (np.diff(starts) > 0).all()):
        raise UnreadableVideo("its frame times do not increase")
    # Half a frame: time stamps rounded to milliseconds pass, a dropped frame does not.
    steady = np.isfinite(line.fps) and line.fps > 0 and (np.abs(starts * line.fps - np.arange(num_frames)) < 0.5).all()
    # Some files give the last frame no duration.
    duration_s = end_s if end_s > starts[-1] else starts[-1] * num_frames / max(num_frames - 1, 1)
    if steady:
        duration_s = num_frames / line.fps
    if not duration_s > 0:
        raise UnreadableVideo("its duration is not known")
    return VideoInfo(
        num_frames=num_frames,
        fps=float(line.fps if steady else num_frames / duration_s),
        duration_s=float(duration_s),
        width=int(width),
        height=int(height),
        timestamps_s=None if steady else tuple(round(float(start), 6) for start in starts),
        reader=reader,
    )
