"""The first reader, and the one file that imports decord.

decord 0.6 is fast and seeks exactly, but it can crash or hang on damaged files, so nobody calls it unguarded
(video.py, probe.py). It turns the frames of rotated files upright itself (checked against PyAV for 0, 90, 180 and 270
degrees). Pixels are taken as square.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.data.decode import chunk_length
from harness.data.video_info import TimeLine, UnreadableVideo


class DecordReader:
    """A file opened by decord; see `harness.data.decode.Reader`."""

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        """Open the file."""
        decord = load_decord()
        try:
            # Never width/height here: decord then fails at random after seeks ("The size must exactly match").
            self._reader = decord.VideoReader(str(path), num_threads=threads)
        except Exception as error:
            # decord raises several unrelated types, AssertionError among them.
            raise UnreadableVideo(f"cannot be opened: {_phrase(error)}") from None
        self.num_frames = len(self._reader)

    def time_line(self) -> TimeLine:
        """Return when the frames are shown."""
        try:
            times = self._reader.get_frame_timestamp(list(range(self.num_frames))).astype(np.float64)
            return TimeLine(times[:, 0], float(times[-1, 1]), float(self._reader.get_avg_fps()))
        except Exception as error:
            raise UnreadableVideo(f"has no usable time line: {_phrase(error)}") from None

    def key_frames(self) -> Int[ndarray, " keys"]:
        """Return the numbers of the frames that decoding can start at."""
        try:
            return np.asarray(self._reader.get_key_indices(), dtype=np.int64)
        except Exception as error:
            raise UnreadableVideo(f"has no usable time line: {_phrase(error)}") from None

    def frames(
        self, indices: Int[ndarray, " frames"], short_side: int | None = None
    ) -> Iterator[UInt8[ndarray, "chunk height width 3"]]:
        """Yield frames of rising numbers at full size, whatever `short_side` says."""
        done, size = 0, 1
        while done < len(indices):
            chunk = self._batch(indices[done : done + size])
            yield chunk
            done += len(chunk)
            # The first frame alone tells how large a frame is.
            size = chunk_length(chunk[0].nbytes)

    def close(self) -> None:
        """Do nothing: decord has no such call and closes the file with the object."""

    def _batch(self, chosen: Int[ndarray, " frames"]) -> UInt8[ndarray, "frames height width 3"]:
        place = f"frames {chosen[0]}-{chosen[-1]} cannot be decoded"
        try:
            chunk = self._reader.get_batch(chosen).asnumpy()
        except Exception as error:
            raise UnreadableVideo(f"{place}: {_phrase(error)}") from None
        if chunk.ndim != 4 or len(chunk) != len(chosen):
            raise UnreadableVideo(f"{place}: decord returned {chunk.shape}")
        return chunk


def load_decord() -> Any:
    """Import decord, silenced: its FFmpeg would print a line for every flaw of a file."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


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
