"""Which reader decodes a file: decord where it can, PyAV for the rest.

decord is the faster one at single frames of long files. PyAV carries a younger FFmpeg, which knows AV1, and takes
frames by their time stamps, so it needs no duration in the header and no even rate, and it has no trouble with frames
of a few pixels. Probing tries them in this order and the choice is kept with the file's facts (`VideoInfo.reader`).
Containers without an index (MPEG-TS, FLV ...) go to PyAV alone: decord opens them, but its frames are not those that
were asked for (11 too late in a short MPEG-TS file, 3 too early at the end of an FLV one).

Both take the same video stream of several: the one that FFmpeg's `av_find_best_stream` names, which looks at
dispositions (never a cover picture), then bit rate and size. A number alone would not do: decord cannot be told one.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, assert_never

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.data.video_info import ReaderName, TimeLine, UnreadableVideo

READERS: tuple[ReaderName, ...] = ("decord", "pyav")
"""In the order in which probing tries them."""

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
_MATROSKA = b"\x1aE\xdf\xa3"

CHUNK_BYTES = 48 * 2**20
"""Decoded frames held at full size at once; a window of 4K frames would otherwise take gigabytes."""

CHUNK_FRAMES = 64


class Reader(Protocol):
    """An open video file. Every method raises UnreadableVideo where the file does not allow it."""

    num_frames: int

    def time_line(self) -> TimeLine:
        """Return when the frames are shown."""
        ...

    def key_frames(self) -> Int[ndarray, " keys"]:
        """Return the numbers of the frames that decoding can start at."""
        ...

    def frames(
        self, indices: Int[ndarray, " frames"], short_side: int | None
    ) -> Iterator[UInt8[ndarray, "chunk height width 3"]]:
        """Yield frames of rising numbers, upright, RGB, in chunks of bounded size.

        Args:
            indices: Frame numbers, rising, each once.
            short_side: Reduce frames to it while decoding, if the reader can; None: give them as they are.
        """
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


def open_reader(path: Path | str, name: ReaderName, threads: int = 1) -> Reader:
    """Open a file; it may hang or crash the process if nobody has probed it.

    Raises:
        UnreadableVideo: the file cannot be opened by this reader.
    """
    check_file(path)
    # Here, because a process that reads with one of them need not load the other's FFmpeg.
    match name:
        case "decord":
            from harness.data.decode_decord import DecordReader

            return DecordReader(path, threads)
        case "pyav":
            from harness.data.decode_av import AvReader

            return AvReader(path, threads)
        case _:
            assert_never(name)


def readers_for(path: Path | str) -> tuple[ReaderName, ...]:
    """Return who may read a file, in the order in which to ask, by how the file begins.

    Raises:
        UnreadableVideo: it cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError as error:
        raise UnreadableVideo(f"cannot be opened: {error.strerror}") from None
    indexed = head[4:8] in _MP4_BOXES or head[:4] == _MATROSKA or (head[:4] == b"RIFF" and head[8:] == b"AVI ")
    return READERS if indexed else ("pyav",)


def check_file(path: Path | str) -> None:
    """Refuse what no reader could read, whatever is in it.

    Raises:
        UnreadableVideo: there is no such file, or it is a folder or empty.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name holds a null byte"
        raise UnreadableVideo(f"cannot be opened: {reason}") from None
    if stat.S_ISDIR(state.st_mode):
        raise UnreadableVideo("is a folder")
    if stat.S_ISREG(state.st_mode) and state.st_size == 0:
        raise UnreadableVideo("is empty")


def chunk_length(frame_bytes: int) -> int:
    """Return how many full-size frames of this size may be held at once."""
    return int(np.clip(CHUNK_BYTES // max(frame_bytes, 1), 1, CHUNK_FRAMES))


def reduced_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Return height and width with the short side reduced to `short_side`, rounded as AdaTAD does; never enlarged."""
    if short_side is None or min(height, width) <= short_side:
        return height, width
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)
