"""Reading video files, guarded.

Decoders can crash or hang on damaged files, so nobody calls one unguarded:

    probe (a file nobody has vouched for)   in a helper process that is killed when it is late (probe.py)
    read_frames (a file that was probed)    in a thread that is given up when no frames come for a while;
                                            both decoders let other threads run while they work

Who decodes is chosen in decode.py. Frames come out upright; pixels are taken as square.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.config import ReduceIn
from harness.data.decode import READERS, Reader, check_file, open_reader, readers_for, reduced_size
from harness.data.guard import NoSignOfLife, guarded
from harness.data.video_info import ReaderName, UnreadableVideo, VideoInfo, measure

__all__ = ["READ_TIMEOUT_S", "UnreadableVideo", "VideoInfo", "probe_here", "read_blocks", "read_frames"]

READ_TIMEOUT_S = 60.0
"""Longest silence of the decoder: a far seek into a long file with one key frame, on a busy machine."""

PROBE_FIRST_FRAMES = 32
PROBE_RUNS = 8
PROBE_RUN_FRAMES = 4


def read_frames(
    path: Path | str,
    indices: Sequence[int] | Int[ndarray, " frames"],
    *,
    reader: ReaderName = "decord",
    short_side: int | None = None,
    reduce_in: ReduceIn = "torch",
    threads: int = 1,
    timeout_s: float = READ_TIMEOUT_S,
) -> UInt8[ndarray, "frames height width 3"]:
    """Read frames by number, upright, RGB.

    Args:
        path: A file that was probed.
        indices: Frame numbers in any order, repeats allowed (a padded window repeats its last).
        reader: The file's `VideoInfo.reader`.
        short_side: Frames with a longer short side are reduced to it (antialiased bilinear); smaller ones stay.
        reduce_in: Who reduces them. `decoder` is libav's scaler, so PyAV reads whatever `reader` says; see
            `DataConfig.reduce_in` for what it costs and saves.
        threads: Threads of the decoder. One, where windows are read in parallel by a loader's processes.
        timeout_s: Longest time without new frames before the file is given up.

    Raises:
        UnreadableVideo: the reader cannot decode these frames, or did not answer in time.
    """
    wanted, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    chunks: list[UInt8[ndarray, "chunk height width 3"]] = []
    read_blocks(
        path,
        [wanted],
        chunks.append,
        reader=reader,
        short_side=short_side,
        reduce_in=reduce_in,
        threads=threads,
        timeout_s=timeout_s,
    )
    # Usually every frame is wanted once and in order, and no copy is needed.
    return chunks[0] if np.array_equal(places, np.arange(len(chunks[0]))) else chunks[0][places]


def read_blocks(
    path: Path | str,
    blocks: Iterable[Int[ndarray, " frames"]],
    take: Callable[[UInt8[ndarray, "frames height width 3"]], object],
    *,
    reader: ReaderName = "decord",
    short_side: int | None = None,
    reduce_in: ReduceIn = "torch",
    threads: int = 1,
    timeout_s: float = READ_TIMEOUT_S,
) -> None:
    """Read block after block of rising frame numbers, opening the file once; settings as for `read_frames`.

    Blocks are taken one at a time, so that only one is in memory. `take` is called with each block's frames, in the
    thread that decodes; what it raises ends the reading.
    """
    name: ReaderName = "pyav" if reduce_in == "decoder" else reader
    scaled = short_side if reduce_in == "decoder" else None

    def work(alive: Callable[[], None]) -> None:
        with closing(open_reader(path, name, threads)) as opened:
            alive()
            for wanted in blocks:
                take(_read_block(opened, wanted, short_side, scaled, alive))
                alive()

    _guarded(work, timeout_s)


def probe_here(path: Path | str, readers: Sequence[ReaderName] = READERS) -> VideoInfo:
    """Open a file, decode a few frames and measure it, unguarded: it may hang or crash the process.

    Decodes the first frames, short runs from key frames spread over the file, and the last frame: damage near the
    start, cut-off ends and wrong headers show there without decoding hours of video.

    Args:
        path: The file.
        readers: Who may be asked; the first that can read it is recorded.

    Raises:
        UnreadableVideo: none can; the reason is the last one's.
    """
    check_file(path)
    failure = UnreadableVideo("is in a container that this reader is not trusted with")
    for name in readers_for(path):
        if name not in readers:
            continue
        try:
            return _probe_with(path, name)
        except UnreadableVideo as error:
            failure = error
    raise failure


def _probe_with(path: Path | str, name: ReaderName) -> VideoInfo:
    with closing(open_reader(path, name)) as reader:
        line = reader.time_line()
        key_frames = reader.key_frames()
        if len(key_frames):
            key_frames = key_frames[np.linspace(0, len(key_frames) - 1, PROBE_RUNS).astype(int)]
        runs = (key_frames[:, None] + np.arange(PROBE_RUN_FRAMES)).ravel()
        sample = np.concatenate([np.arange(PROBE_FIRST_FRAMES), runs, [reader.num_frames - 1]]).astype(np.int64)
        height = width = 0
        for chunk in reader.frames(np.unique(sample[sample < reader.num_frames]), None):
            height, width = chunk.shape[1:3]
    return measure(line, width=width, height=height, reader=name)


def _read_block(
    reader: Reader,
    wanted: Int[ndarray, " frames"],
    short_side: int | None,
    scaled: int | None,
    alive: Callable[[], None],
) -> UInt8[ndarray, "frames height width 3"]:
    if not 0 <= wanted[0] <= wanted[-1] < reader.num_frames:
        raise UnreadableVideo(f"has {reader.num_frames} frames, but frame {wanted[-1]} was asked for")
    chunks = []
    for chunk in reader.frames(wanted, scaled):
        chunks.append(_reduce(chunk, short_side))
        alive()
    return np.concatenate(chunks)


def _reduce(
    frames: UInt8[ndarray, "frames height width 3"], short_side: int | None
) -> UInt8[ndarray, "frames height2 width2 3"]:
    size = reduced_size(frames.shape[1], frames.shape[2], short_side)
    if size == frames.shape[1:3]:
        return frames
    # Here, because a probing process has no need to load torch.
    import torch
    from torch.nn.functional import interpolate

    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small = interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
    return small.permute(0, 2, 3, 1).contiguous().numpy()


def _guarded(work: Callable[[Callable[[], None]], None], timeout_s: float) -> None:
    """Run `work` in a thread; give up when it has not called its argument for `timeout_s`."""
    beat = [time.monotonic()]

    def alive() -> None:
        beat[0] = time.monotonic()

    try:
        guarded(lambda: work(alive), timeout_s, lambda: beat[0], name="video-reader")
    except NoSignOfLife:
        raise UnreadableVideo(f"the decoder gave no frames for {timeout_s:g} s", passing=True) from None
