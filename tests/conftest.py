"""Shared fixtures: where the real data lies, and a small world of videos that a detector can be trained on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import AugmentConfig, DataConfig, DetectionConfig, TrainingConfig, TrialConfig, WindowConfig
from harness.training.report import SilentReporter
from harness.trial import TrialJob
from models.config import ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real annotations, predictions and videos; a user has none, so the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not there")
    return SHARED


@pytest.fixture
def one_thread() -> None:
    """Keep torch to one thread: results do not depend on the machine, and tests can run side by side."""
    import torch

    torch.set_num_threads(1)


@dataclass(frozen=True)
class SmallWorld:
    """A folder of videos in which a bright square moves left or right, and a trial that fits it."""

    root: Path
    index: Path
    config: TrialConfig


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """Write 6 training and 3 test videos of 8 s at 32 x 32 pixels, and their index."""
    from harness.data.index import prepare_dataset, save_index

    root = tmp_path_factory.mktemp("small_world")
    generator = np.random.default_rng(0)
    database = {}
    for number in range(9):
        name = f"video_{number}"
        start = float(generator.uniform(1, 4))
        label = ("left", "right")[number % 2]
        _write_moving_square(root / f"{name}.mp4", start, label)
        database[name] = {
            "subset": "training" if number < 6 else "validation",
            "duration": 8.0,
            "annotations": [{"segment": [start, start + 2.0], "label": label}],
        }
    (root / "annotations.json").write_text(json.dumps({"database": database}))
    dataset = prepare_dataset("custom", root, root / "cache")
    save_index(dataset, root / "index.json")
    config = TrialConfig(
        data=DataConfig(
            name="custom",
            num_classes=2,
            fingerprint=dataset.fingerprint,
            window=WindowConfig(frames=32, span=64, features=32, resolution=16),
            augment=AugmentConfig(crop_area=(0.8, 1.0), flip=0.0, jitter=0.1, hue=0.0),
        ),
        model=DetectorConfig(
            backbone=VideoMAEConfig(
                name="videomae-test", width=16, depth=2, heads=2, mlp_hidden=32, patch=8, image_size=16, drop_path=0.2
            ),
            adapter=AdapterConfig(),
            head=ActionFormerConfig(width=16, embed_layers=1, stem_layers=1, levels=3, projection_dropout=0.1),
        ),
        engine=EngineConfig(keep="everything"),
        training=TrainingConfig(
            epochs=3, cosine_epochs=4, warmup_epochs=1, head_lr=1e-3, precision="fp32", ema_decay=0.9
        ),
        detection=DetectionConfig(pre_nms=100, max_detections=50),
    )
    return SmallWorld(root=root, index=root / "index.json", config=config)


def _write_moving_square(path: Path, start_s: float, label: str) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "10"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(128):
            picture = np.full((32, 32, 3), 60, dtype=np.uint8)
            progress = (number / 16 - start_s) / 2.0
            if 0 <= progress < 1:
                across = int(progress * 24)
                left = across if label == "right" else 24 - across
                picture[12:20, left : left + 8] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def small_trial(small_world: SmallWorld) -> TrialConfig:
    """Return a trial of about a second per epoch."""
    return replace(small_world.config)


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., TrialJob]:
    """Return what makes a trial's job that runs in this process, with everything below the test's folder."""

    def make(config: TrialConfig, **changes: Any) -> TrialJob:
        usual: dict[str, Any] = {
            "study": "test",
            "name": "one",
            "attempt": 1,
            "results": tmp_path,
            "dataset": tmp_path,
            "weights": None,
            "device": "cpu",
            "threads": 1,
            "data_workers": 0,
            "predicted_peak_bytes": None,
            "slot": "inline",
        }
        return TrialJob(config=config, **{**usual, **changes})

    return make


@pytest.fixture
def stop_after() -> Callable[..., SilentReporter]:
    """Return what makes a reporter that asks a trial to stop once it was asked so many times."""

    class StopAfter(SilentReporter):
        def __init__(self, steps: int, state: str = "interrupted") -> None:
            super().__init__()
            self.stop_state = state
            self.left = steps

        def should_stop(self) -> bool:
            self.left -= 1
            return self.left < 0

    return StopAfter
