"""How fast windows come from a video: decoded, reduced while decoding, augmented, from the frame cache.

    python -m harness.data.bench [--video FILE] [--frames 768] [--stride 4] [--resolution 160] [--rounds 3] [--json]

Beside them the obvious way: every frame of the window's stretch decoded, turned into RGB, made a picture and resized on
its own, and the wanted ones kept. Rates are frames of the window per second of one core (processor time, so other
programs count little), the best of some rounds; the ratio is to that obvious way. Without a file a video of 640 x 360
is made, of a moving texture.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from harness.config import AugmentConfig
from harness.data.augment import augment, draw_augmentation
from harness.data.cache import FrameCache
from harness.data.loader import reading_side
from harness.data.probe import probe_video
from harness.data.video_frames import FrameSource
from harness.data.video_info import UnreadableVideo

Frames = UInt8[ndarray, "frames height width 3"]

MADE_FRAMES, MADE_FPS, MADE_HEIGHT, MADE_WIDTH = 1200, 30, 360, 640


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One way to a window's frames."""

    way: str
    frames_per_s: float
    """Of the window, per second of processor time."""
    wall_frames_per_s: float
    """Per second by the clock: the disk and other programs count too."""
    ratio: float
    """To the obvious way."""
    bytes_per_frame: float | None = None
    """On the disk, where frames are kept."""


def run(
    video: Path | None = None, *, frames: int = 768, stride: int = 4, resolution: int = 160, rounds: int = 3
) -> list[Rate]:
    """Measure every way on one video, with one thread.

    Args:
        video: A file; None: one is made.
        frames: Most frames of the window; a shorter video gives fewer.
        stride: Frames of the video per frame of the window.
        resolution: Of the network's input.
        rounds: The best of so many counts.

    Raises:
        UnreadableVideo: the file cannot be read.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="tadscale-bench-") as folder:
            path = video or make_video(Path(folder) / "made.mp4")
            source = FrameSource(path=path, info=probe_video(path), short_side=reading_side(resolution))
            wanted = np.arange(0, source.info.num_frames, stride)[:frames]
            return _measure(source, wanted, Path(folder) / "cache", resolution, rounds)
    finally:
        torch.set_num_threads(before)


def _measure(
    source: FrameSource, wanted: Int[ndarray, " frames"], folder: Path, resolution: int, rounds: int
) -> list[Rate]:
    scaled, jpeg = replace(source, reduce_in="decoder"), replace(source, frame_format="jpeg")
    cache = FrameCache(folder=folder, max_bytes=2**40)
    jitter, operators = AugmentConfig(), AugmentConfig(operators=2)

    def changed(frames: Frames, config: AugmentConfig) -> torch.Tensor:
        planes = rearrange(torch.from_numpy(frames), "f h w c -> c f h w")
        drawn = draw_augmentation(config, planes.shape[2], planes.shape[3], torch.Generator().manual_seed(0))
        return augment(planes, drawn, resolution)

    ways: dict[str, Callable[[], object]] = {
        "frame by frame (the obvious way)": lambda: frame_by_frame(source, wanted),
        "decode": lambda: source.read(wanted),
        "decode, reduced by the decoder": lambda: scaled.read(wanted),
        "decode + augment": lambda: changed(source.read(wanted), jitter),
        "decode + augment + 2 operators": lambda: changed(source.read(wanted), operators),
        "first epoch, filling the cache": lambda: _refill(cache, source, wanted),
        "cached": lambda: cache.read(source, wanted),
        "cached as JPEG": lambda: cache.read(jpeg, wanted),
        "cached + augment": lambda: changed(cache.read(source, wanted), jitter),
    }
    cache.read(jpeg, wanted)
    times = {way: _best(work, rounds) for way, work in ways.items()}
    slow, _ = times["frame by frame (the obvious way)"]
    kept = {"cached": source, "cached as JPEG": jpeg}
    return [
        Rate(
            way=way,
            frames_per_s=len(wanted) / cpu,
            wall_frames_per_s=len(wanted) / wall,
            ratio=slow / cpu,
            bytes_per_frame=_stored_bytes(cache, kept[way]) if way in kept else None,
        )
        for way, (cpu, wall) in times.items()
    ]


def frame_by_frame(source: FrameSource, wanted: Int[ndarray, " frames"]) -> Frames:
    """Read frames the obvious way: PyAV and Pillow, one whole picture after the other."""
    import av
    from av.video.stream import VideoStream
    from PIL import Image

    height, width, _ = source.shape
    keep = set(wanted.tolist())
    pictures = []
    with av.open(str(source.path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, VideoStream), "the file was probed"
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            small = Image.fromarray(frame.to_ndarray(format="rgb24")).resize((width, height), Image.Resampling.BILINEAR)
            if number in keep:
                pictures.append(np.asarray(small))
            if number == wanted[-1]:
                break
    return np.stack(pictures)


def make_video(path: Path) -> Path:
    """Write a video whose texture moves, so that it is no easier to decode than a real one of its size."""
    import av

    random = torch.Generator().manual_seed(0)
    # Fine in brightness, coarse and pale in colour, as pictures are.
    grey = _smooth_noise(30, 120.0, random) + _smooth_noise(6, 60.0, random)
    texture = (110 + grey + torch.cat([_smooth_noise(60, 60.0, random) for _ in range(3)])).clamp(0, 255)
    picture = rearrange(texture, "c h w -> h w c").to(torch.uint8).numpy()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=MADE_FPS, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = MADE_WIDTH, MADE_HEIGHT, "yuv420p"
        for number in range(MADE_FRAMES):
            top, left = (int(64 + 63 * np.sin(number / period)) for period in (17, 29))
            part = np.ascontiguousarray(picture[top : top + MADE_HEIGHT, left : left + MADE_WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode())
    return path


def _smooth_noise(pixels: int, swing: float, random: torch.Generator) -> Float[torch.Tensor, "1 h w"]:
    """Return noise of spots of so many pixels, -swing / 2 .. swing / 2, over the area that the picture moves in."""
    height, width = MADE_HEIGHT + 128, MADE_WIDTH + 128
    spots = (torch.rand((1, 1, height // pixels, width // pixels), generator=random) - 0.5) * swing
    return torch.nn.functional.interpolate(spots, size=(height, width), mode="bicubic")[0]


def _refill(cache: FrameCache, source: FrameSource, wanted: Int[ndarray, " frames"]) -> Frames:
    for block in (cache.folder / source.identity()).glob("*.raw"):
        block.unlink()
    return cache.read(source, wanted)


def _stored_bytes(cache: FrameCache, source: FrameSource) -> float:
    blocks = (cache.folder / source.identity()).glob(f"*.{source.frame_format}")
    return sum(block.stat().st_size for block in blocks) / source.info.num_frames


def _best(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the least processor time and the least time by the clock."""
    times = []
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in times), min(wall for _, wall in times)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tadscale bench data", description="How fast windows come from a video.")
    parser.add_argument("--video", type=Path, metavar="FILE", help="a video of your own (default: one is made)")
    parser.add_argument("--frames", type=int, default=768, metavar="N", help="most frames of the window (default 768)")
    parser.add_argument("--stride", type=int, default=4, metavar="N", help="take every N-th frame (default 4)")
    parser.add_argument("--resolution", type=int, default=160, metavar="N", help="of the network's input (default 160)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="the best of N counts (default 3)")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args(argv)
    for name in ("frames", "stride", "resolution", "rounds"):
        if getattr(given, name) < 1:
            raise ValueError(f"--{name} is {getattr(given, name)}, expected at least 1")
    try:
        rates = run(
            given.video, frames=given.frames, stride=given.stride, resolution=given.resolution, rounds=given.rounds
        )
    except UnreadableVideo as error:
        raise ValueError(f"--video is {given.video}, which cannot be read: {error}") from None
    if given.json:
        print(json.dumps([asdict(rate) for rate in rates], indent=2))
        return
    print(f"{'':34}{'frames/s':>10}{'by clock':>10}{'ratio':>8}{'bytes/frame':>14}")
    for rate in rates:
        kept = f"{rate.bytes_per_frame:14,.0f}" if rate.bytes_per_frame is not None else ""
        print(f"{rate.way:34}{rate.frames_per_s:10,.0f}{rate.wall_frames_per_s:10,.0f}{rate.ratio:7.1f}x{kept}")


if __name__ == "__main__":
    main()
