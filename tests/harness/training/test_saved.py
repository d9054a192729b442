"""A detector file says what it is, finds the weights that stayed frozen, and is refused in one sentence if damaged."""

import json
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig, with_values
from harness.training.loop import Places, prepare_detector
from harness.training.saved import open_saved, read_saved, save_detector
from models.checkpoints import save_backbone

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("left", "right")


def places(folder: Path, weights: Path | None = None) -> Places:
    return Places(dataset=folder, weights=weights, work=folder)


def trained(config: TrialConfig, folder: Path, weights: Path | None = None):
    """Return a detector whose trainable weights differ from those it began with."""
    torch.manual_seed(config.seed)
    detector = prepare_detector(config, places(folder, weights))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in detector.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return detector.eval()


def backbone_file(config: TrialConfig, path: Path, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    plain = prepare_detector(
        with_values(config, {"model.adapter": None, "model.tuning": "frozen"}), places(path.parent)
    )
    assert plain.backbone is not None
    save_backbone(path, plain.backbone.state_dict())
    return path


def outputs(detector):
    frames = torch.randint(0, 255, (1, 3, 32, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    raw = detector.detect(frames, torch.ones(1, 32, dtype=torch.bool))
    return raw.segments, raw.scores


@pytest.mark.parametrize("tuning", ["adapter", "frozen", "full", "features"])
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_saved_detector_detects_as_before(small_trial: TrialConfig, tmp_path: Path, tuning: str, pretrained: bool):
    adapter = small_trial.model.adapter if tuning == "adapter" else None
    config = with_values(small_trial, {"model.tuning": tuning, "model.adapter": adapter, "data.num_classes": 2})
    weights = backbone_file(config, tmp_path / "weights.pth") if pretrained else None
    # The features arm has no backbone while it trains; the same head on the frozen one is what detects.
    whole = with_values(config, {"model.tuning": "frozen"}) if tuning == "features" else config
    before = trained(whole, tmp_path, weights)
    save_detector(tmp_path / "d.pt", before, config, CLASSES, weights)
    saved = read_saved(tmp_path / "d.pt")
    assert saved is not None
    assert (saved.config, saved.classes) == (config, CLASSES)
    torch.manual_seed(99)  # nothing may hang on the state of the global generator
    after = open_saved(saved)
    assert all(torch.equal(a, b) for a, b in zip(outputs(before), outputs(after), strict=True))


def test_the_file_holds_no_frozen_weights(small_trial: TrialConfig, tmp_path: Path):
    save_detector(tmp_path / "d.pt", trained(small_trial, tmp_path), small_trial, CLASSES, None)
    names = torch.load(tmp_path / "d.pt", weights_only=True)["ema"]
    assert any("adapter" in name for name in names)
    assert not any(name.startswith("backbone.") and "adapter" not in name for name in names)


def test_frozen_weights_that_moved_are_named_and_others_refused(small_trial: TrialConfig, tmp_path: Path):
    weights = backbone_file(small_trial, tmp_path / "weights.pth")
    before = trained(small_trial, tmp_path, weights)
    save_detector(tmp_path / "d.pt", before, small_trial, CLASSES, weights)
    saved = read_saved(tmp_path / "d.pt")
    assert saved is not None
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(
        ValueError, match=r"weights\.pth is not there.*expected --weights with the file of videomae-test"
    ):
        open_saved(saved)
    assert torch.equal(outputs(open_saved(saved, moved))[1], outputs(before)[1])
    other = backbone_file(small_trial, tmp_path / "other.pth", seed=6)
    with pytest.raises(
        ValueError, match=r"other\.pth has the digest .* was trained beside weights of videomae-test with"
    ):
        open_saved(saved, other)


def test_other_files_are_left_to_others(small_trial: TrialConfig, tmp_path: Path):
    torch.save({"module": {"a": torch.ones(1)}}, tmp_path / "weights.pth")
    assert read_saved(tmp_path / "weights.pth") is None


def damaged(content: dict, change: str) -> dict:
    config = json.loads(content["config"])
    match change:
        case "a later format":
            return {**content, "version": 2}
        case "no config":
            return {key: value for key, value in content.items() if key != "config"}
        case "a config that is no JSON":
            return {**content, "config": "{"}
        case "a config with an unknown path":
            return {**content, "config": json.dumps({**config, "model.colour": "red"})}
        case "a config that cannot be":
            return {**content, "config": json.dumps({**config, "data.window.span": 65})}
        case "a config that is a list":
            return {**content, "config": "[1, 2]"}
        case "no classes":
            return {**content, "classes": None}
        case "too few classes":
            return {**content, "classes": ["left"]}
        case "classes that are numbers":
            return {**content, "classes": [1, 2]}
        case "frozen weights without digest":
            return {**content, "frozen": {"path": "x"}}
    raise AssertionError(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("a later format", "is a detector of format 2, expected 1"),
        ("no config", "has no usable config"),
        ("a config that is no JSON", "has no usable config"),
        ("a config with an unknown path", "unknown config path"),
        ("a config that cannot be", "is not a multiple of data.window.frames"),
        ("a config that is a list", "has no usable config"),
        ("no classes", "has no list of class names"),
        ("too few classes", "names 1 classes, expected the 2 of its config"),
        ("classes that are numbers", "has no list of class names"),
        ("frozen weights without digest", "does not say which weights stayed frozen"),
    ],
)
def test_damaged_detectors_are_one_sentence(small_trial: TrialConfig, tmp_path: Path, change: str, message: str):
    save_detector(tmp_path / "d.pt", trained(small_trial, tmp_path), small_trial, CLASSES, None)
    torch.save(damaged(torch.load(tmp_path / "d.pt", weights_only=True), change), tmp_path / "d.pt")
    with pytest.raises(ValueError, match=message) as refused:
        read_saved(tmp_path / "d.pt")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", ["a tensor is missing", "a tensor is cut", "a value is no number", "no tensors"])
def test_tensors_that_do_not_fit_are_one_sentence(small_trial: TrialConfig, tmp_path: Path, change: str):
    path = tmp_path / "d.pt"
    save_detector(path, trained(small_trial, tmp_path), small_trial, CLASSES, None)
    content = torch.load(path, weights_only=True)
    name = next(name for name in content["ema"] if name.startswith("head.") and content["ema"][name].dim() > 1)
    if change == "a tensor is missing":
        del content["ema"][name]
    elif change == "a tensor is cut":
        content["ema"][name] = content["ema"][name][:-1]
    elif change == "a value is no number":
        content["ema"][name][0] = float("nan")
    else:
        content["ema"] = {}
    torch.save(content, path)
    saved = read_saved(path)
    assert saved is not None
    with pytest.raises(ValueError, match=r"d\.pt") as refused:
        open_saved(saved)
    assert "\n" not in str(refused.value)


def test_a_detector_on_foreign_features_says_what_it_is(small_trial: TrialConfig, tmp_path: Path):
    from models.config import OfflineConfig

    values = {"model.backbone": OfflineConfig(name="i3d", channels=16), "model.tuning": "features"}
    config = with_values(small_trial, {**values, "model.adapter": None})
    save_detector(tmp_path / "d.pt", trained(config, tmp_path), config, CLASSES, None)
    saved = read_saved(tmp_path / "d.pt")
    assert saved is not None
    with pytest.raises(ValueError, match="detects on the features i3d, which are not made from video here"):
        open_saved(saved)
