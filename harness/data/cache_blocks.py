"""Files of consecutive frames, each there as a whole or not at all.

raw   the frames' bytes, one after the other: read through a memory map, page by page
jpeg  frames + 1 offsets (int64, from the file's start), then the pictures
"""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.atomic import whole_file
from harness.config import FrameFormat
from harness.data.decode_jpeg import from_jpeg, to_jpeg

BLOCK_FRAMES = 128
"""Frames per file: 17 MB of 182 x 242 pixels, which a disk reads as fast as it can and memory holds easily."""


def block_path(folder: Path, block: int, frame_format: FrameFormat) -> Path:
    """Return the file of block 0, 1, ..."""
    return folder / f"{block:06d}.{frame_format}"


def write_block(path: Path, frames: UInt8[ndarray, "frames height width 3"], frame_format: FrameFormat) -> int:
    """Write a block and return its size in bytes."""
    if frame_format == "raw":
        parts = [np.ascontiguousarray(frames)]
    else:
        pictures = to_jpeg(frames)
        offsets = np.cumsum([8 * (len(pictures) + 1), *map(len, pictures)], dtype=np.int64)
        parts = [offsets, *(np.frombuffer(picture, dtype=np.uint8) for picture in pictures)]
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part.data)
    return sum(part.nbytes for part in parts)


def is_sound(path: Path, shape: tuple[int, int, int, int], frame_format: FrameFormat) -> bool:
    """Return whether a block's file is there with the size that it should have; arguments as for `read_block`."""
    try:
        size = path.stat().st_size
        if frame_format == "raw":
            return size == math.prod(shape)
        offsets = np.fromfile(path, dtype=np.int64, count=shape[0] + 1)
        return len(offsets) == shape[0] + 1 and offsets[-1] == size
    except OSError:
        return False


def read_block(
    path: Path,
    wanted: Int[ndarray, " wanted"],
    shape: tuple[int, int, int, int],
    frame_format: FrameFormat,
) -> UInt8[ndarray, "wanted height width 3"] | None:
    """Return frames of a block by their place in it; None if the file is not there or not what was written.

    Args:
        path: The block.
        wanted: Places, 0 .. frames - 1.
        shape: Of the whole block, decoded.
        frame_format: How it was written.
    """
    try:
        if not is_sound(path, shape, frame_format):
            return None
        held = np.memmap(path, dtype=np.uint8, mode="r")
        if frame_format == "raw":
            return np.array(held.reshape(shape)[wanted])
        offsets = held[: 8 * (shape[0] + 1)].view(np.int64)
        frames = from_jpeg([held[offsets[place] : offsets[place + 1]].tobytes() for place in wanted.tolist()])
    except (OSError, ValueError, IndexError):
        return None
    return frames if frames.shape[1:] == shape[1:] else None
