"""`tadscale check --weights`: a readable answer, one for programs, and exit codes that scripts can trust."""

import json
from pathlib import Path

import pytest
import torch

from harness.cli.tadscale import main
from harness.config import DataConfig, TrainingConfig, TrialConfig, WindowConfig
from harness.training.checkpoint import Position, save_checkpoint
from harness.training.step import Trainee, train_step
from models.backbones.videomae import ClipClassifier
from models.checkpoints import load_detector, save_backbone
from models.config import VIDEOMAE, ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig
from models.detector import Detector, build_detector
from models.tuning import trainable_state

TINY = VIDEOMAE["videomae-tiny"]


@pytest.fixture
def weights(tmp_path: Path, one_thread: None) -> Path:
    """Write a tiny backbone with its classifier."""
    save_backbone(tmp_path / "tiny.pth", ClipClassifier(TINY, 9).state_dict())
    return tmp_path / "tiny.pth"


def check(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["check", *arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_usable_weights_are_described_and_end_with_0(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--weights", str(weights)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "VideoMAE in its authors' layout" in said
    assert "58 tensors, 595,593 values, float32, in module" in said
    assert "fits videomae-tiny" in said
    assert "left out fc_norm.weight, fc_norm.bias and 2 more: part of the classifier" in said


def test_weights_that_do_not_fit_end_with_2_and_a_sentence(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--weights", str(weights), "--backbone", "videomae-b") == 2
    said = capsys.readouterr()
    assert "VideoMAE" in said.out
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"error: {weights} (VideoMAE in its authors' layout")
    assert "cannot be used: compared with videomae-b, it lacks blocks.4.norm1.weight" in said.err


def test_programs_get_json_either_way(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--weights", str(weights), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["usable"], found["backbones"], found["problem"]) == (True, ["videomae-tiny"], "")
    assert check("--weights", str(weights), "--backbone", "slowfast-r50", "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] is False
    assert found["problem"].endswith("expected weights of slowfast")


def test_a_detector_is_described_by_what_builds_it(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = DetectorConfig(
        backbone=TINY, adapter=AdapterConfig(last_layers=3, kernel=5), head=ActionFormerConfig(width=16, levels=3)
    )
    detector = build_detector(config, num_classes=4, features=16, resolution=48, engine=EngineConfig())
    torch.save({"state_dict": detector.state_dict(), "epoch": 7}, tmp_path / "w.pth")
    assert check("--weights", str(tmp_path / "w.pth")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "what a detector of ours" in said
    assert "in state_dict, epoch 7" in said
    assert "backbone videomae-tiny" in said
    assert "adapters tia inside the backbone, the last 3 blocks, ratio 0.25, kernel 5" in said
    assert "head actionformer, 4 classes, of no published setting" in said
    assert check("--weights", str(tmp_path / "w.pth"), "--json") == 0
    told = json.loads(capsys.readouterr().out)["detector"]
    assert (told["num_classes"], told["config"]["adapter"]["last_layers"]) == (4, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist, expected a file or folder of weights"),
        (b"", "is empty, expected a file of weights"),
        (b"<html>quota</html>", "is a web page, not weights"),
    ],
)
def test_what_is_no_file_of_weights_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    assert check("--weights", str(tmp_path / "w.pth")) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "check needs --weights FILE"),
        (("--weights", "w.pth", "--backbone", "vit"), "the backbone is vit, expected one of videomae-tiny"),
        (("--weight", "w.pth"), "unrecognized arguments"),
    ],
)
def test_a_mistake_in_the_options_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert check(*arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_checkpoint_that_training_wrote_is_recognised_and_loads(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    window = WindowConfig(frames=32, span=32, features=16, resolution=48)
    trial = TrialConfig(
        data=DataConfig(name="custom", num_classes=2, fingerprint="", window=window),
        model=DetectorConfig(
            backbone=TINY, adapter=AdapterConfig(), head=ActionFormerConfig(width=16, levels=3, path_dropout=0.0)
        ),
        training=TrainingConfig(precision="fp32"),
    )

    def build() -> Detector:
        return build_detector(trial.model, num_classes=2, features=16, resolution=48, engine=EngineConfig())

    trained, fresh = build(), build()
    trainee = Trainee.create(trained, trial, "cpu")
    frames = torch.randint(0, 256, (1, 3, 32, 48, 48), dtype=torch.uint8)
    segments, labels = torch.tensor([[[2.0, 9.0]]]), torch.tensor([[1]])
    train_step(trainee, frames, torch.ones(1, 16, dtype=torch.bool), segments, labels, trial)
    save_checkpoint(tmp_path / "checkpoint.pt", trainee, Position(epoch=1), digest="0123")
    assert check("--weights", str(tmp_path / "checkpoint.pt")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a training checkpoint of ours, which holds what trains and no frozen weights" in said
    assert "adapters tia inside the backbone, every block" in said
    load_detector(fresh, tmp_path / "checkpoint.pt", ema=False)
    theirs = fresh.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in trainable_state(trained).items())
    load_detector(fresh, tmp_path / "checkpoint.pt")
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in trainee.ema.state.items())
