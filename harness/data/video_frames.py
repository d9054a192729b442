"""The frames of one video as trials see them: upright, reduced to a size, in one format.

    file -> reader -> reduced to `short_side` -> `frame_format` -> frames

A `FrameSource` says which frames those are and reads them from the file; what it gives depends on nothing else, so they
may be kept (cache.py) under its `identity`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.config import FrameFormat, ReduceIn
from harness.data.decode import check_file, reduced_size
from harness.data.decode_jpeg import QUALITY, through_jpeg
from harness.data.video import READ_TIMEOUT_S, read_blocks, read_frames
from harness.data.video_info import UnreadableVideo, VideoInfo

ENDS_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class FrameSource:
    """A video file and the form in which its frames are wanted."""

    path: Path
    info: VideoInfo
    short_side: int | None = None
    """Larger frames are reduced to it; None: frames as they are."""
    reduce_in: ReduceIn = "torch"
    frame_format: FrameFormat = "raw"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return (*reduced_size(self.info.height, self.info.width, self.short_side), 3)

    def identity(self) -> str:
        """Return 32 hex digits that change whenever a frame may: with the file and with every setting.

        Raises:
            UnreadableVideo: the file is not there any more.
        """
        check_file(self.path)
        state = os.stat(self.path)
        settings = (self.info.reader, self.info.num_frames, self.shape, self.reduce_in, self.frame_format, QUALITY)
        value = [_fingerprint(str(self.path), state.st_size, state.st_mtime_ns), settings]
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]

    def read(
        self, indices: Sequence[int] | Int[ndarray, " frames"], timeout_s: float = READ_TIMEOUT_S
    ) -> UInt8[ndarray, "frames height width 3"]:
        """Read frames from the file; indices and errors as in `read_frames`."""
        frames = read_frames(
            self.path,
            indices,
            reader=self.info.reader,
            short_side=self.short_side,
            reduce_in=self.reduce_in,
            timeout_s=timeout_s,
        )
        return self._formatted(frames)

    def read_blocks(
        self,
        blocks: Iterable[Int[ndarray, " frames"]],
        take: Callable[[UInt8[ndarray, "frames height width 3"]], object],
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Read block after block, before the frame format is applied; otherwise as `harness.data.video.read_blocks`."""
        read_blocks(
            self.path,
            blocks,
            take,
            reader=self.info.reader,
            short_side=self.short_side,
            reduce_in=self.reduce_in,
            timeout_s=timeout_s,
        )

    def _formatted(self, frames: UInt8[ndarray, "frames h w 3"]) -> UInt8[ndarray, "frames h w 3"]:
        return through_jpeg(frames) if self.frame_format == "jpeg" else frames


@lru_cache(maxsize=4096)
def _fingerprint(path: str, size: int, modified_ns: int) -> str:
    """Digest size, time of change, head and tail: a file that was written anew is another file."""
    digest = hashlib.sha256(f"{size} {modified_ns} ".encode())
    try:
        with open(path, "rb") as file:
            digest.update(file.read(ENDS_BYTES))
            file.seek(max(0, size - ENDS_BYTES))
            digest.update(file.read(ENDS_BYTES))
    except OSError as error:
        raise UnreadableVideo(f"cannot be opened: {error.strerror}") from None
    return digest.hexdigest()
