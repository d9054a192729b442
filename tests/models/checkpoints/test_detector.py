"""Checkpoints of our own detectors: what trains, its average, and whole state dicts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoints import identify, load_backbone, load_detector, save_backbone
from models.config import (
    SLOWFAST,
    VIDEO_SWIN,
    VIDEOMAE,
    ActionFormerConfig,
    AdapterConfig,
    BackboneConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    OfflineConfig,
    TriDetConfig,
)
from models.detector import Detector, build_detector
from models.tuning import trainable_state

HEAD = ActionFormerConfig(width=16, levels=3)
HEADS = {
    "actionformer": HEAD,
    "tridet": TriDetConfig(width=16, levels=3, sgp_hidden=32, bins=4),
    "gtad": GTADConfig(graph_width=16, map_width=16, map_hidden=8, longest=8),
}
HOW: dict[str, dict[str, Any]] = {
    "frozen": {"tuning": "frozen"},
    "full": {"tuning": "full"},
    "full_tia": {"tuning": "full", "adapter": AdapterConfig()},
    "inside": {"adapter": AdapterConfig(kernel=5, ratio=0.125, last_layers=2)},
    "spatial": {"adapter": AdapterConfig(spatial_kernel=3, layers=(0, 2))},
    "plain": {"adapter": AdapterConfig(kind="plain", ratio=0.37)},
    "longlora": {"adapter": AdapterConfig(kind="longlora")},
    "outside": {"adapter": AdapterConfig(placement="outside")},
}
BACKBONES: dict[str, BackboneConfig] = {
    "videomae": VIDEOMAE["videomae-tiny"],
    "slowfast": SLOWFAST["slowfast-tiny"],
    "videoswin": VIDEO_SWIN["videoswin-tiny"],
}


def build(config: DetectorConfig, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    detector = build_detector(
        config, num_classes=3, features=16, resolution=32, engine=EngineConfig(keep="everything")
    ).eval()
    for parameter in detector.parameters():  # adapters and scales start alike in every detector
        torch.nn.init.normal_(parameter, std=0.1)
    return detector


def checkpoint(detector: Detector, path: Path) -> None:
    """Write what `harness.training.checkpoint` writes, in the parts that concern weights."""
    state = {name: value.clone() for name, value in trainable_state(detector).items()}
    average = {name: value + 1 for name, value in state.items()}
    rest = {"version": 1, "digest": "0123", "position": {"epoch": 2, "step": 0, "seconds": 1.5}, "random": []}
    torch.save({**rest, "trainable": state, "ema": average, "optimizer": {}, "scaler": {}}, path)


def differing(first: Detector, second: Detector) -> set[str]:
    theirs = second.state_dict()
    return {name for name, value in first.state_dict().items() if not torch.equal(value, theirs[name])}


@pytest.mark.parametrize("how", list(HOW))
def test_a_training_checkpoint_fills_what_trains_and_nothing_else(tmp_path: Path, how: str) -> None:
    config = DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], head=HEAD, **HOW[how])
    trained, fresh, averaged = build(config), build(config, seed=1), build(config, seed=1)
    frozen = {name: value.clone() for name, value in fresh.state_dict().items()} if how != "full" else {}
    checkpoint(trained, tmp_path / "checkpoint.pt")
    load_detector(fresh, tmp_path / "checkpoint.pt", ema=False)
    load_detector(averaged, tmp_path / "checkpoint.pt")
    assert differing(trained, fresh).isdisjoint(trainable_state(trained))
    for name, value in trainable_state(trained).items():
        torch.testing.assert_close(averaged.state_dict()[name], value + 1)
    for name in frozen.keys() - trainable_state(fresh).keys():
        assert torch.equal(fresh.state_dict()[name], frozen[name])


@pytest.mark.parametrize("family", list(BACKBONES))
def test_backbone_and_checkpoint_together_make_the_trained_detector(tmp_path: Path, family: str) -> None:
    config = DetectorConfig(backbone=BACKBONES[family], head=HEAD, adapter=AdapterConfig())
    trained, fresh = build(config), build(config, seed=1)
    assert trained.backbone is not None
    assert fresh.backbone is not None
    bare = {name: value for name, value in trained.backbone.state_dict().items() if ".adapter." not in name}
    save_backbone(tmp_path / "backbone.pth", bare)
    checkpoint(trained, tmp_path / "checkpoint.pt")
    load_backbone(fresh.backbone, tmp_path / "backbone.pth")
    load_detector(fresh, tmp_path / "checkpoint.pt", ema=False)
    assert not differing(trained, fresh)


@pytest.mark.parametrize(("family", "head"), list(zip(BACKBONES, HEADS, strict=True)))
def test_a_whole_state_dict_fills_everything(tmp_path: Path, family: str, head: str) -> None:
    config = DetectorConfig(backbone=BACKBONES[family], head=HEADS[head], adapter=AdapterConfig(placement="outside"))
    trained, fresh = build(config), build(config, seed=1)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    load_detector(fresh, tmp_path / "w.pth")
    assert not differing(trained, fresh)
    assert fresh.backbone is not None
    torch.nn.init.zeros_(next(fresh.backbone.parameters()))
    load_backbone(fresh.backbone, tmp_path / "w.pth")
    assert not differing(trained, fresh)


@pytest.mark.parametrize(
    ("family", "how"),
    [*(("videomae", how) for how in HOW), ("slowfast", "inside"), ("videoswin", "inside"), ("videoswin", "outside")],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_of_ours_tells_its_config(tmp_path: Path, family: str, how: str, whole: bool) -> None:
    config = DetectorConfig(backbone=BACKBONES[family], head=HEAD, **HOW[how])
    detector = build(config)
    if whole:
        torch.save(detector.state_dict(), tmp_path / "w.pth")
    else:
        checkpoint(detector, tmp_path / "w.pth")
    found = identify(tmp_path / "w.pth")
    assert found.problem == ""
    told = found.detector
    assert told is not None
    assert (told.config.head, told.num_classes, told.setting) == (HEAD, 3, "")
    if how == "frozen" and not whole:  # nothing of the backbone is in the file
        assert told.backbones == ("features", "videomae-tiny", "videoswin-tiny")
        return
    # Beside a backbone adapters have only its channels to tell it by, and the tiny ones have the same.
    assert config.backbone.name in told.backbones
    assert config.tuning in told.tunings
    again = replace(told.config, backbone=config.backbone, tuning=config.tuning)
    load_detector(build(again), tmp_path / "w.pth")
    assert without_ratio(again.adapter) == without_ratio(config.adapter)


def without_ratio(adapter: AdapterConfig | None) -> AdapterConfig | None:
    """Several ratios make one width, which loading has compared."""
    return None if adapter is None else replace(adapter, ratio=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.scales"), r"training checkpoint of ours.*: it lacks head\.scales"),
        (lambda s: s.update({"head.x": torch.ones(1)}), r"it has unknown head\.x"),
        (lambda s: s.update({"head.scales": torch.ones(9)}), r"head\.scales has shape \(9,\), expected \(3,\)"),
        (lambda s: s["head.scales"].fill_(torch.nan), r"not numbers are the values of head\.scales"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    config = DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], head=HEAD, adapter=AdapterConfig())
    detector = build(config)
    checkpoint(build(config, seed=1), tmp_path / "w.pt")
    content = torch.load(tmp_path / "w.pt", weights_only=True)
    change(content["ema"])
    torch.save(content, tmp_path / "w.pt")
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_detector(detector, tmp_path / "w.pt")
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


def test_a_checkpoint_of_what_trains_holds_no_backbone(tmp_path: Path) -> None:
    config = DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], head=HEAD, adapter=AdapterConfig())
    checkpoint(build(config), tmp_path / "w.pt")
    backbone = build(config).backbone
    assert backbone is not None
    with pytest.raises(ValueError, match="holds no backbone, only what trained beside one"):
        load_backbone(backbone, tmp_path / "w.pt")


def test_a_detector_on_features_is_filled_too(tmp_path: Path) -> None:
    config = DetectorConfig(backbone=OfflineConfig(name="i3d", channels=24), tuning="features", head=HEAD)
    trained, fresh = build(config), build(config, seed=1)
    checkpoint(trained, tmp_path / "w.pt")
    load_detector(fresh, tmp_path / "w.pt", ema=False)
    assert not differing(trained, fresh)
    found = identify(tmp_path / "w.pt").detector
    assert found is not None
    assert found.config.backbone == OfflineConfig(name="features", channels=24)
