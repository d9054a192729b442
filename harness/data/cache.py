"""Decode once: the frames of whole videos at the size they are read in, on the disk.

    read -> all blocks there -> frames
         -> somebody else is filling this video, or it has no room -> frames from the file
         -> decode the whole video once, block by block -> frames

An entry is a folder named by `FrameSource.identity`, so a changed file or setting is simply another entry, and the old
one goes when it has been used longest ago. It holds blocks of 128 consecutive frames. Nothing needs a lock to be right:
a block appears by renaming, whole or not at all, so a process may be killed at any point and any number may read and
write; decoding is deterministic, so writers of one block write the same. Locks (which end with their process) only save
double work.

Why blocks of frames and not a video again: windows take every n-th frame from anywhere. Why raw by default: the frames
are those of the file to the bit, so a cache changes no result and is no part of a trial's identity, and `tadscale bench
data` reads them 28 times (every frame of 340 x 256) to 58 times (every fourth of 640 x 360) as fast as it decodes. The
price is 132 KB per frame at 182 x 242: 40 minutes of 30 fps take 9.5 GB. `data.frame_format=jpeg` takes an eighth of
that and reads 2 to 7 times as fast as decoding; its frames differ by 1 to 3 of 255 on average, so it is a part of the
trial's identity, and frames go through JPEG whether they are cached or not. Lossless video (H.264 in RGB, groups of 8)
took a tenth to a third, but reading every fourth frame decodes all of them, at 150 to 2,000 per second; deflate left
three quarters of grainy video.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.data.cache_blocks import BLOCK_FRAMES, block_path, is_sound, read_block, write_block
from harness.data.cache_room import filling, held_bytes, make_room, touch
from harness.data.video import READ_TIMEOUT_S
from harness.data.video_frames import FrameSource
from harness.data.video_info import UnreadableVideo

VERSION = 1
"""Of the files in the folder; another version is another folder."""

IN_USE_S = 900.0

JPEG_SHARE = 0.25
"""What a JPEG entry is promised, of its raw size; one that needs more stays incomplete."""

JPEG_HEAD_BYTES = 640
"""Tables and place of one JPEG."""

SMALL_FILES_BYTES = 64
"""An entry's files beside its blocks."""

_INCOMPLETE = "incomplete"
"""Marks an entry that has all the blocks it can have."""


class _Full(Exception):
    """The entry has used up what it was promised."""


@dataclass(frozen=True, kw_only=True)
class FrameCache:
    """A folder of decoded frames, shared by all processes of a machine."""

    folder: Path
    max_bytes: int
    in_use_s: float = IN_USE_S
    """Entries used within this time are not thrown out."""

    def read(
        self,
        source: FrameSource,
        indices: Sequence[int] | Int[ndarray, " frames"],
        timeout_s: float = READ_TIMEOUT_S,
        alive: Callable[[], None] = lambda: None,
    ) -> UInt8[ndarray, "frames height width 3"]:
        """Return frames as `source.read` would, from the cache where it can; the disk's troubles are no error.

        `alive` is called now and then while a whole video is decoded, which may take minutes.

        Raises:
            UnreadableVideo: as `source.read`.
        """
        indices = np.asarray(indices, dtype=np.int64)
        entry = self.folder / source.identity()
        frames = self._get(entry, source, indices)
        if frames is None and self._fill(entry, source, timeout_s, alive):
            frames = self._get(entry, source, indices)
        return source.read(indices, timeout_s) if frames is None else frames

    def _get(
        self, entry: Path, source: FrameSource, indices: Int[ndarray, " frames"]
    ) -> UInt8[ndarray, "frames height width 3"] | None:
        """Return frames if all of their blocks are there."""
        if not entry.is_dir() or not 0 <= indices.min() <= indices.max() < source.info.num_frames:
            return None
        blocks, places = np.divmod(indices, BLOCK_FRAMES)
        frames = np.empty((len(indices), *source.shape), dtype=np.uint8)
        for block in np.unique(blocks).tolist():
            chosen = blocks == block
            path = block_path(entry, block, source.frame_format)
            part = read_block(path, places[chosen], _shape(source, block), source.frame_format)
            if part is None:
                return None
            frames[chosen] = part
        with suppress(OSError):  # a folder that became read-only can still be read
            touch(entry)
        return frames

    def _fill(self, entry: Path, source: FrameSource, timeout_s: float, alive: Callable[[], None]) -> bool:
        """Decode the blocks that are missing; return whether anything was added."""
        try:
            with filling(entry) as free:
                if not free or (entry / _INCOMPLETE).exists():
                    return False
                missing = [block for block in range(_num_blocks(source)) if not _is_kept(entry, source, block)]
                room = _needed(source)
                if not make_room(self.folder, entry, room, max_bytes=self.max_bytes, in_use_s=self.in_use_s):
                    return False
                cut = [block_path(entry, block, source.frame_format) for block in missing]
                for left_over in (*entry.glob(".*.tmp"), *cut):
                    left_over.unlink(missing_ok=True)
                self._decode(entry, source, missing, room, timeout_s, alive)
                return True
        except OSError:
            return False

    def _decode(
        self,
        entry: Path,
        source: FrameSource,
        missing: list[int],
        room: int,
        timeout_s: float,
        alive: Callable[[], None],
    ) -> None:
        numbers: Iterator[int] = iter(missing)
        used = held_bytes(entry)

        def keep(frames: UInt8[ndarray, "frames height width 3"]) -> None:
            nonlocal used
            alive()
            path = block_path(entry, next(numbers), source.frame_format)
            used += write_block(path, frames, source.frame_format)
            if used > room + SMALL_FILES_BYTES:
                path.unlink()
                raise _Full
            touch(entry)

        try:
            source.read_blocks((_block(source, block) for block in missing), keep, timeout_s)
        except _Full:
            (entry / _INCOMPLETE).touch()
        except UnreadableVideo as error:
            # Some part of the file is damaged; the window that was asked for may not be.
            if not error.passing:
                (entry / _INCOMPLETE).touch()


def cache_here(max_bytes: int) -> FrameCache | None:
    """Return this machine's frame cache of the user; 0 bytes are none."""
    if not max_bytes:
        return None
    folder = Path(platformdirs.user_cache_dir("tadscale")) / f"frames-{VERSION}"
    return FrameCache(folder=folder, max_bytes=max_bytes)


def _needed(source: FrameSource) -> int:
    raw = source.info.num_frames * math.prod(source.shape)
    return raw if source.frame_format == "raw" else int(raw * JPEG_SHARE) + JPEG_HEAD_BYTES * source.info.num_frames


def _num_blocks(source: FrameSource) -> int:
    return -(-source.info.num_frames // BLOCK_FRAMES)


def _is_kept(entry: Path, source: FrameSource, block: int) -> bool:
    return is_sound(block_path(entry, block, source.frame_format), _shape(source, block), source.frame_format)


def _shape(source: FrameSource, block: int) -> tuple[int, int, int, int]:
    return (len(_block(source, block)), *source.shape)


def _block(source: FrameSource, block: int) -> Int[ndarray, " frames"]:
    """Return the numbers of a block's frames."""
    first = block * BLOCK_FRAMES
    return np.arange(first, min(first + BLOCK_FRAMES, source.info.num_frames))
