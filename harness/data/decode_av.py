"""The second reader: PyAV, for what decord cannot read (AV1, no length in the header, frames of few pixels).

A frame's number is its place among the time stamps of the stream's packets, in order of display:

    packets, read once without decoding -> time stamp of every frame, and which are key frames
    frame i -> back to the last key frame at or before it -> decode until its time stamp comes

Where seeking leads past the frame (containers without an index, streams whose key frames are not clean starts), the
file is read from its beginning.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.data.decode import chunk_length, reduced_size
from harness.data.video_info import TimeLine, UnreadableVideo

SEEK_FRAMES = 32
"""Decoding on is faster than seeking to a key frame that is no more than this far ahead."""

CUT_OFF = 0.9
"""A file that holds less than this share of the time that its header states was cut off."""

ONE_SECOND = 1.0


class AvReader:
    """A file opened by PyAV; see `harness.data.decode.Reader`."""

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        """Open the file and list its frames."""
        self._path, self._threads = str(path), threads
        self._open()
        state = Path(path).stat()
        self._table = _frame_table(self._path, state.st_size, state.st_mtime_ns)
        self.num_frames = len(self._table.stamps)
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def time_line(self) -> TimeLine:
        """Return when the frames are shown."""
        table = self._table
        rate = self._stream.average_rate or self._stream.guessed_rate
        end_s = table.end * table.unit_s
        stated_s = table.stated_s
        if stated_s is not None and end_s - table.stamps[0] * table.unit_s < CUT_OFF * stated_s - ONE_SECOND:
            held_s = end_s - table.stamps[0] * table.unit_s
            raise UnreadableVideo(f"cut off: holds {held_s:.1f} s of the {stated_s:.1f} s that its header states")
        return TimeLine(table.stamps * table.unit_s, end_s, float(rate) if rate else np.nan)

    def key_frames(self) -> Int[ndarray, " keys"]:
        """Return the numbers of the frames that decoding can start at."""
        return self._table.keys

    def frames(
        self, indices: Int[ndarray, " frames"], short_side: int | None = None
    ) -> Iterator[UInt8[ndarray, "chunk height width 3"]]:
        """Yield frames of rising numbers; libav's scaler reduces them on the way if `short_side` is given."""
        chunk: list[UInt8[ndarray, "height width 3"]] = []
        for index in indices.tolist():
            chunk.append(self._picture(self._frame(index), short_side))
            if len(chunk) >= chunk_length(chunk[0].nbytes):
                yield np.stack(chunk)
                chunk = []
        if chunk:
            yield np.stack(chunk)

    def close(self) -> None:
        """Let the file go."""
        self._container.close()

    def _open(self) -> None:
        self._container, self._stream = _open_stream(self._path)
        self._stream.codec_context.thread_count = self._threads
        self._stream.thread_type = "AUTO" if self._threads > 1 else "NONE"
        self._decoder = self._container.decode(self._stream)
        self._next = 0
        """No frame before this number can come out of the decoder any more."""

    def _frame(self, index: int) -> VideoFrame:
        """Return a frame; the decoder goes on from where it is if that is the shorter way."""
        place = int(np.searchsorted(self._table.keys, index, side="right")) - 1
        key = int(self._table.keys[place]) if place >= 0 else 0
        if index < self._next or key > self._next + SEEK_FRAMES:
            self._container.seek(int(self._table.stamps[key]), stream=self._stream)
            self._decoder = self._container.decode(self._stream)
            self._next = 0
            frame = self._advance(index)
            if frame is not None:
                return frame
            self.close()
            self._open()
        frame = self._advance(index)
        if frame is None:
            raise UnreadableVideo(f"frame {index} of {self.num_frames} cannot be decoded: damaged data")
        return frame

    def _advance(self, index: int) -> VideoFrame | None:
        """Decode up to a frame; None if it is damaged or does not come."""
        wanted = int(self._table.stamps[index])
        try:
            for frame in self._decoder:
                if frame.pts is not None and frame.pts >= wanted:
                    self._next = index + 1
                    return frame if frame.pts == wanted and not frame.is_corrupt else None
        except (FFmpegError, ValueError):
            return None
        return None

    def _picture(self, frame: VideoFrame, short_side: int | None) -> UInt8[ndarray, "height width 3"]:
        # A stream may change its frame size on the way; the first frame's size holds.
        height, width = self._size = self._size or (frame.height, frame.width)
        height, width = reduced_size(height, width, short_side)
        small = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="BILINEAR")
        picture = small.to_ndarray()
        # The display matrix's angle, counter-clockwise; a damaged one is no multiple of 90.
        turned = frame.rotation % 360
        return np.rot90(picture, turned // 90) if turned % 90 == 0 else picture


@dataclass(frozen=True)
class _Table:
    """The frames of a stream in order of display; times in units of the stream."""

    stamps: Int[ndarray, " frames"]
    keys: Int[ndarray, " keys"]
    end: int
    unit_s: float
    stated_s: float | None
    """Duration of this stream by the file's header."""


@lru_cache(maxsize=64)
def _frame_table(path: str, size: int, modified_ns: int) -> _Table:
    """List the frames of a file; size and time of change only tell files apart."""
    container, stream = _open_stream(path)
    with container:
        stamps, keys, lasting = [], [], {}
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    raise UnreadableVideo("its frames have no time stamps")
                stamps.append(packet.pts)
                lasting[packet.pts] = packet.duration or 0
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except FFmpegError as error:
            raise UnreadableVideo(f"cannot be read: {_phrase(error)}") from None
        if not stamps:
            raise UnreadableVideo("has no frames")
        ordered = np.sort(np.array(stamps, dtype=np.int64))
        unit_s = float(stream.time_base or 0)
        return _Table(
            stamps=ordered,
            keys=np.searchsorted(ordered, np.sort(np.array(keys, dtype=np.int64))),
            end=int(ordered[-1]) + int(lasting[int(ordered[-1])]),
            unit_s=unit_s,
            stated_s=_stated_duration(container, stream),
        )


def _open_stream(path: str) -> tuple[InputContainer, VideoStream]:
    try:
        container = av.open(path)
    except (FFmpegError, ValueError) as error:
        raise UnreadableVideo(f"cannot be opened: {_phrase(error)}") from None
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        container.close()
        raise UnreadableVideo("has no video stream")
    if stream.codec_context is None:
        container.close()
        raise UnreadableVideo("no decoder knows its codec")
    return container, stream


def _stated_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the stream's duration; the container's stands in for it only where there is nothing else in it."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _phrase(error: Exception) -> str:
    """Return FFmpeg's complaint in few words; its own message repeats the path."""
    if isinstance(error, InvalidDataError):
        return "damaged, or not a video"
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text)[:80]
