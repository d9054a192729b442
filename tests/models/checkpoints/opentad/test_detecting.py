"""`tadscale detect` with OpenTAD's files: what they do not say is asked for, the rest is as loading them by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli.tadscale import main
from harness.config import with_values
from harness.presets import thumos_adatad
from harness.training.stream import detect_video
from models.checkpoints import identify, load_detector
from models.config import BACKBONES
from models.detector import build_detector

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"frames": 32, "span": 64, "features": 32, "resolution": 32}
CLASSES = ("jump", "run", "wave")


@pytest.fixture
def checkpoint(opentad_file: Callable, cases: dict, save: Callable, tmp_path: Path) -> Path:
    """Return a file in the layout of AdaTAD's published ones."""
    save(opentad_file(cases["actionformer_inside"], BACKBONES["videomae-tiny"]), tmp_path / "opentad.pth")
    return tmp_path / "opentad.pth"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    return tmp_path / "names.txt"


def detect(*arguments: object) -> int:
    sizes = [word for name, size in SIZES.items() for word in ("--set", f"data.window.{name}={size}")]
    with pytest.raises(SystemExit) as ended:
        main(["detect", "--device", "cpu", "--quiet", *map(str, arguments), *sizes])
    return int(ended.value.code or 0)


def test_it_detects_as_one_loaded_by_hand(small_world, checkpoint: Path, names: Path, capsys):
    video = small_world.root / "video_7.mp4"
    given = ("--checkpoint", checkpoint, "--on", "custom", "--classes", names)
    # A head with random weights scores everything alike: a few of the lowest would do, the best are enough.
    assert detect(video, *given, "--json", "--min-score", 0, "--top", 50, "--set", "training.precision=fp32") == 0
    found = json.loads(capsys.readouterr().out)["results"]["video_7"]

    known = identify(checkpoint).detector
    assert known is not None
    config = with_values(
        thumos_adatad(),
        {
            **{f"data.window.{name}": size for name, size in SIZES.items()},
            "data.num_classes": 3,
            "model": known.config,
            "training.precision": "fp32",
        },
    )
    detector = build_detector(known.config, num_classes=3, features=32, resolution=32, engine=config.engine).eval()
    load_detector(detector, checkpoint)
    rows = detect_video(detector, video, config, CLASSES).rows[:50]
    assert len(found) == len(rows) > 0
    for row, (start_s, end_s, label, score) in zip(found, rows, strict=True):
        assert row["label"] == label
        np.testing.assert_allclose([*row["segment"], row["score"]], [start_s, end_s, score], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "does not say what it was trained on, expected --on NAME"),
        (("--on", "thumos15"), "there is no data set thumos15"),
        (("--on", "custom"), "has no fixed list of classes, expected --classes FILE with 3 names"),
        (("--on", "thumos14"), "has 3 classes, but thumos14 names 20; expected as many"),
        (("--on", "thumos14", "--set", "data.num_classes=3"), "but what a trained detector can change is"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(small_world, checkpoint: Path, capsys, options, message: str):
    assert detect(small_world.root / "video_7.mp4", "--checkpoint", checkpoint, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_training_checkpoint_of_ours_needs_its_backbone(
    small_world, small_trial, tmp_path: Path, names: Path, capsys
):
    """`checkpoint.pt` of a run that is under way: what trains, and nothing of what is frozen."""
    from models.checkpoints import save_backbone
    from models.tuning import trainable_state

    config = with_values(small_trial, {"model.backbone": BACKBONES["videomae-tiny"], "data.window.resolution": 32})
    torch.manual_seed(0)
    detector = build_detector(config.model, num_classes=3, features=32, resolution=32, engine=config.engine)
    assert detector.backbone is not None
    torch.save(
        {"trainable": dict(trainable_state(detector)), "ema": dict(trainable_state(detector))}, tmp_path / "c.pt"
    )
    given = (small_world.root / "video_7.mp4", "--checkpoint", tmp_path / "c.pt", "--on", "custom", "--classes", names)
    assert detect(*given) == 2
    assert "holds no frozen weights, expected --weights" in capsys.readouterr().err
    plain = {name: value for name, value in detector.backbone.state_dict().items() if "adapter" not in name}
    save_backbone(tmp_path / "backbone.pth", plain)
    assert detect(*given, "--weights", tmp_path / "backbone.pth", "--csv", "--min-score", 0) == 0
    assert capsys.readouterr().out.startswith("video,start_s")
