"""Small real videos, made with PyAV, and folders of them."""

import json
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from harness.config import AugmentConfig, DataConfig, WindowConfig

MakeVideo = Callable[..., Path]
MakeFolder = Callable[..., Path]


def _make_video(
    path: Path,
    num_frames: int = 60,
    fps: Fraction | int = 25,
    width: int = 64,
    height: int = 32,
    pts: Sequence[int] | None = None,
    still: bool = False,
) -> Path:
    """Write H.264; `pts` (in 1/600 s) makes the frame rate variable.

    Frame i has grey level 20 + 2 i (i < 100), plus a gradient: its number can be read off it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 30, width)[None, :, None] * np.ones((height, 1, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "12", "g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 600)
        for number in range(num_frames):
            level = 20 if still else 20 + 2 * number % 200
            frame = av.VideoFrame.from_ndarray((ramp + level).astype(np.uint8), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def make_video() -> MakeVideo:
    """Return the function that writes a small H.264 file whose frames are told apart by their brightness."""
    return _make_video


@pytest.fixture(scope="session")
def stored_videos(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> Callable[[int], Path]:
    """Return a function that gives a video of a length, encoded once per session."""
    folder = tmp_path_factory.mktemp("stored")

    def stored(num_frames: int) -> Path:
        path = folder / f"{num_frames}.mp4"
        return path if path.exists() else make_video(path, num_frames)

    return stored


@pytest.fixture(scope="session")
def fill_folder(stored_videos: Callable[[int], Path]) -> MakeFolder:
    """Return a function that makes a data folder with `annotations.json` and small videos."""

    def fill(root: Path, **changes: object) -> Path:
        lengths = {"train_a": 100, "train_b": 30, "train_c": 70, "train_d": 64, "test_a": 90, "test_b": 20}
        (root / "videos").mkdir(parents=True)
        database: dict[str, object] = {}
        for video_id, num_frames in lengths.items():
            shutil.copy(stored_videos(num_frames), root / "videos" / f"{video_id}.mp4")
            duration = num_frames / 25
            database[video_id] = {
                "subset": "training" if video_id.startswith("train") else "validation",
                "duration": duration,
                "annotations": [
                    {"segment": [0.1 * duration, 0.4 * duration], "label": "wave"},
                    {"segment": [0.6 * duration, 0.9 * duration], "label": "jump"},
                ],
            }
        (root / "annotations.json").write_text(json.dumps({"database": database | changes}))
        return root

    return fill


@pytest.fixture
def make_folder(tmp_path: Path, fill_folder: MakeFolder) -> MakeFolder:
    """Return the same function for a folder of this test."""
    return lambda **changes: fill_folder(tmp_path / "data", **changes)


@pytest.fixture
def data_config() -> DataConfig:
    """Return windows of 64 frames, every second sampled, 16 cells of 4 frames, 16 pixels."""
    return DataConfig(
        name="custom",
        num_classes=2,
        window=WindowConfig(frames=32, span=64, features=16, resolution=16),
        augment=AugmentConfig(),
    )
