"""Reading video files; the one file that imports decord.

decord 0.6 is fast and seeks exactly, but it can crash or hang on damaged files, so nobody calls it unguarded:

    probe (a file nobody has vouched for)   in a helper process that is killed when it is late (probe.py)
    read_frames (a file that was probed)    in a thread that is given up when no frames come for a while;
                                            decord is called through ctypes, which lets other threads run

decord turns the frames of rotated files upright itself (checked against PyAV for 0, 90, 180 and 270 degrees).
Pixels are taken as square. Of several video streams decord's choice is used, everywhere.
"""

import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

T = TypeVar("T")

READ_TIMEOUT_S = 60.0
"""Longest silence of the decoder: a far seek into a long file with one key frame, on a busy machine."""

CHUNK_BYTES = 48 * 2**20
"""Decoded frames held at full size at once; a window of 4K frames would otherwise take gigabytes."""

CHUNK_FRAMES = 64

PROBE_FIRST_FRAMES = 32
PROBE_RUNS = 8
PROBE_RUN_FRAMES = 4


class UnreadableVideo(Exception):
    """A video file that cannot be used; `reason` is one short phrase for people."""

    def __init__(self, reason: str, passing: bool = False) -> None:
        """Keep the reason, and whether it may pass (the decoder was late), apart from the message."""
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


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

    def frames_at(self, seconds: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
        """Return fractional frame numbers; a varying rate goes through the timestamps."""
        seconds = np.asarray(seconds, dtype=np.float64)
        if self.timestamps_s is None:
            return seconds * self.fps
        return np.interp(seconds, self._edges(), np.arange(self.num_frames + 1))

    def seconds_at(self, frames: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
        """Return seconds of fractional frame numbers, the inverse of `frames_at`."""
        frames = np.asarray(frames, dtype=np.float64)
        if self.timestamps_s is None:
            return frames / self.fps
        return np.interp(frames, np.arange(self.num_frames + 1), self._edges())

    def _edges(self) -> Float[ndarray, " edges"]:
        assert self.timestamps_s is not None
        return np.asarray((*self.timestamps_s, self.duration_s))


def read_frames(
    path: Path | str,
    indices: Sequence[int] | Int[ndarray, " frames"],
    *,
    short_side: int | None = None,
    timeout_s: float = READ_TIMEOUT_S,
) -> UInt8[ndarray, "frames height width 3"]:
    """Read frames by number, upright, RGB.

    Args:
        path: A file that was probed.
        indices: Frame numbers in any order, repeats allowed (a padded window repeats its last).
        short_side: Frames with a longer short side are reduced to it (antialiased bilinear); smaller ones stay.
        timeout_s: Longest time without new frames before the file is given up.

    Raises:
        UnreadableVideo: decord cannot decode these frames, or did not answer in time.
    """
    wanted, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)

    def work(alive: Callable[[], None]) -> UInt8[ndarray, "frames height width 3"]:
        reader = _open(path)
        alive()
        if not 0 <= wanted[0] <= wanted[-1] < len(reader):
            raise UnreadableVideo(f"has {len(reader)} frames, but frame {wanted[-1]} was asked for")
        chunks = []
        for chunk in _decode(reader, wanted):
            chunks.append(_reduce(chunk, short_side))
            alive()
        return np.concatenate(chunks)

    frames = _guarded(work, timeout_s)
    # Usually every frame is wanted once and in order, and no copy is needed.
    return frames if np.array_equal(places, np.arange(len(frames))) else frames[places]


def probe_here(path: Path | str) -> VideoInfo:
    """Open a file, decode a few frames and measure it, unguarded: it may hang or crash the process.

    Decodes the first frames, short runs from key frames spread over the file, and the last frame: damage near the
    start, cut-off ends and wrong headers show there without decoding hours of video.

    Raises:
        UnreadableVideo: the file cannot be used.
    """
    reader = _open(path)
    num_frames = len(reader)
    try:
        times = reader.get_frame_timestamp(list(range(num_frames))).astype(np.float64)
        key_frames = np.asarray(reader.get_key_indices())
        average_fps = float(reader.get_avg_fps())
    except Exception as error:
        raise UnreadableVideo(f"has no usable time line: {_phrase(error)}") from None
    if len(key_frames):
        key_frames = key_frames[np.linspace(0, len(key_frames) - 1, PROBE_RUNS).astype(int)]
    runs = (key_frames[:, None] + np.arange(PROBE_RUN_FRAMES)).ravel()
    sample = np.concatenate([np.arange(PROBE_FIRST_FRAMES), runs, [num_frames - 1]]).astype(np.int64)
    height = width = 0
    for chunk in _decode(reader, np.unique(sample[sample < num_frames])):
        height, width = chunk.shape[1:3]
    starts = times[:, 0] - times[0, 0]
    return _measure(starts, float(times[-1, 1] - times[0, 0]), average_fps, width=width, height=height)


def load_decord() -> Any:
    """Import decord, silenced: its FFmpeg would print a line for every flaw of a file."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _measure(starts: Float[ndarray, " frames"], end_s: float, fps: float, *, width: int, height: int) -> VideoInfo:
    num_frames = len(starts)
    if num_frames > 1 and not (np.diff(starts) > 0).all():
        raise UnreadableVideo("its frame times do not increase")
    # Half a frame: time stamps rounded to milliseconds pass, a dropped frame does not.
    if np.isfinite(fps) and fps > 0 and (np.abs(starts * fps - np.arange(num_frames)) < 0.5).all():
        return VideoInfo(
            num_frames=num_frames, fps=fps, duration_s=num_frames / fps, width=int(width), height=int(height)
        )
    # Some files give the last frame no duration.
    duration_s = end_s if end_s > starts[-1] else starts[-1] * num_frames / max(num_frames - 1, 1)
    if not duration_s > 0:
        raise UnreadableVideo("its duration is not known")
    return VideoInfo(
        num_frames=num_frames,
        fps=float(num_frames / duration_s),
        duration_s=float(duration_s),
        width=int(width),
        height=int(height),
        timestamps_s=tuple(round(float(start), 6) for start in starts),
    )


def _open(path: Path | str) -> Any:
    try:
        state = os.stat(path)
    except OSError as error:
        raise UnreadableVideo(f"cannot be opened: {error.strerror}") from None
    if stat.S_ISDIR(state.st_mode):
        raise UnreadableVideo("is a folder")
    if stat.S_ISREG(state.st_mode) and state.st_size == 0:
        raise UnreadableVideo("is empty")
    decord = load_decord()
    try:
        # One thread: windows are read in parallel by the loader's workers. Never width/height here: decord then
        # fails at random after seeks ("The size must exactly match").
        return decord.VideoReader(str(path), num_threads=1)
    except Exception as error:
        # decord raises several unrelated types, AssertionError among them.
        raise UnreadableVideo(f"cannot be opened: {_phrase(error)}") from None


def _decode(reader: Any, indices: Int[ndarray, " frames"]) -> Iterator[UInt8[ndarray, "chunk height width 3"]]:
    """Yield frames of rising numbers in chunks of bounded size."""
    done, size = 0, 1
    while done < len(indices):
        chosen = indices[done : done + size]
        try:
            chunk = reader.get_batch(chosen).asnumpy()
        except Exception as error:
            raise UnreadableVideo(f"frames {chosen[0]}-{chosen[-1]} cannot be decoded: {_phrase(error)}") from None
        if chunk.ndim != 4 or len(chunk) != len(chosen):
            raise UnreadableVideo(f"frames {chosen[0]}-{chosen[-1]} cannot be decoded: decord returned {chunk.shape}")
        yield chunk
        done += len(chosen)
        # The first frame alone tells how large a frame is.
        size = int(np.clip(CHUNK_BYTES // chunk[0].nbytes, 1, CHUNK_FRAMES))


def _reduce(
    frames: UInt8[ndarray, "frames height width 3"], short_side: int | None
) -> UInt8[ndarray, "frames height2 width2 3"]:
    height, width = frames.shape[1:3]
    if short_side is None or min(height, width) <= short_side:
        return frames
    # Here, because a probing process has no need to load torch.
    import torch
    from torch.nn.functional import interpolate

    scale = short_side / min(height, width)
    size = (int(height * scale + 0.5), int(width * scale + 0.5))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small = interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
    return small.permute(0, 2, 3, 1).contiguous().numpy()


def _guarded(work: Callable[[Callable[[], None]], T], timeout_s: float) -> T:
    """Run `work` in a thread; give up when it has not called its argument for `timeout_s`.

    A thread stuck inside decord cannot be ended. It is left behind as a daemon, which does not keep the process
    from ending.
    """
    result: list[T] = []
    failure: list[BaseException] = []
    finished = threading.Event()
    beat = [time.monotonic()]

    def alive() -> None:
        beat[0] = time.monotonic()

    def run() -> None:
        try:
            result.append(work(alive))
        except BaseException as error:  # handed to the caller below
            failure.append(error)
        finally:
            finished.set()

    threading.Thread(target=run, name="video-reader", daemon=True).start()
    while not finished.wait(max(beat[0] + timeout_s - time.monotonic(), 0.001)):
        if time.monotonic() - beat[0] >= timeout_s:
            raise UnreadableVideo(f"the decoder gave no frames for {timeout_s:g} s", passing=True)
    if failure:
        raise failure[0]
    return result[0]


def _phrase(error: Exception) -> str:
    """Return decord's complaint in few words: its messages carry clock times, C++ paths and stack traces."""
    text = str(error)
    for sign, phrase in (
        ("cannot find video stream", "no video stream that decord can decode"),
        ("duration/frame-count", "its length is not in the file"),
        ("Error sending packet", "damaged data"),
        ("av_read_frame failed", "damaged or cut off"),
        ("avfilter_graph_create_filter", "no decodable frames (damaged, encrypted or empty)"),
        # Rows are padded; for some widths below 80 pixels (16, 24, 48, 72) decord takes the padding for a channel.
        ("The size must exactly match", "decord cannot handle frames this narrow"),
        ("Error reading", "damaged, or not a video"),
        ("EOF", "cut off"),
    ):
        if sign in text:
            return phrase
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    line = re.sub(r"\[\d\d:\d\d:\d\d\] |/\S+?\.(?:cc|h):\d+: |Check failed: ", "", line).strip()
    return line[:120] or type(error).__name__
