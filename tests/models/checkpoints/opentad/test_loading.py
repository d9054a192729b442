"""Checkpoints of OpenTAD fill a detector exactly or not at all, and are told apart by what is in them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.backbones.videomae import VideoMAE
from models.checkpoints import identify, load_backbone, load_detector
from models.config import (
    VIDEOMAE,
    AdapterConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    OfflineConfig,
    VideoMAEConfig,
)
from models.detector import Detector, build_detector
from models.published import ACTIONFORMER, GTAD, TRIDET

Make = Callable[..., dict[str, Tensor]]
Save = Callable[[Mapping[str, Tensor], Path], None]
TINY = VIDEOMAE["videomae-tiny"]
ADAPTER = "backbone.model.backbone.blocks.1.adapter."


def build(config: DetectorConfig, classes: int = 3) -> Detector:
    engine = EngineConfig(keep="everything")
    return build_detector(config, num_classes=classes, features=32, resolution=24, engine=engine).eval()


def config_of(case: Any, backbone: VideoMAEConfig) -> DetectorConfig:
    tuning = "adapter" if case.adapter else "full"
    return DetectorConfig(backbone=backbone, tuning=tuning, adapter=case.adapter, head=case.head)


def values(detector: Detector) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in detector.state_dict().items()}


def refused(detector: Detector, path: Path, message: str, **options: bool) -> None:
    """Assert that loading fails with these words and leaves the detector as it was."""
    before = values(detector)
    with pytest.raises(ValueError, match=message):
        load_detector(detector, path, **options)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


def test_every_tensor_is_filled(
    backbone_config: VideoMAEConfig, tmp_path: Path, case: Any, opentad_file: Make, save: Save
) -> None:
    save(opentad_file(case, backbone_config), tmp_path / "w.pth")
    detector = build(config_of(case, backbone_config))
    with torch.no_grad():
        for value in detector.state_dict().values():
            value.fill_(torch.nan)
    load_detector(detector, tmp_path / "w.pth")
    assert not any(value.isnan().any() for value in detector.state_dict().values())


def test_the_average_and_the_weights_are_both_there_to_take(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make, save: Save
) -> None:
    case = cases["actionformer_inside"]
    save(opentad_file(case, backbone_config), tmp_path / "w.pth")
    averaged, raw = build(config_of(case, backbone_config)), build(config_of(case, backbone_config))
    load_detector(averaged, tmp_path / "w.pth")
    # The file's weights are its average plus one, and so is its position table, which is then not the fixed one.
    refused(raw, tmp_path / "w.pth", "pos_embed holds learned positions", ema=False)
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    state["state_dict"]["module.backbone.model.backbone.pos_embed"] -= 1
    torch.save(state, tmp_path / "w.pth")
    load_detector(raw, tmp_path / "w.pth", ema=False)
    assert torch.equal(raw.head.state_dict()["scales"], averaged.head.state_dict()["scales"] + 1)
    assert raw.head.state_dict()["normaliser.value"] == 101


def test_a_published_file_holds_only_the_average(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make
) -> None:
    case = cases["actionformer_beside"]
    wrapped = {f"module.{name}": value for name, value in opentad_file(case, backbone_config).items()}
    torch.save({"epoch": 5, "state_dict_ema": wrapped}, tmp_path / "w.pth")
    detector = build(config_of(case, backbone_config))
    load_detector(detector, tmp_path / "w.pth")
    refused(detector, tmp_path / "w.pth", "holds only the moving average", ema=False)


def test_a_file_without_an_average_is_taken_as_it_is(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make
) -> None:
    case = cases["tridet_averaging"]
    torch.save({"epoch": 5, "state_dict": opentad_file(case, backbone_config)}, tmp_path / "w.pth")
    load_detector(build(config_of(case, backbone_config)), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{ADAPTER}gamma": None}, r"OpenTAD \(AdaTAD\): it lacks backbone\.blocks\.1\.adapter\.gamma"),
        ({f"{ADAPTER}extra": torch.ones(1)}, r"it has unknown backbone\.blocks\.1\.adapter\.extra"),
        ({f"{ADAPTER}up_proj.bias": torch.ones(3)}, r"up_proj\.bias has shape \(3,\), expected \(16,\)"),
        ({"rpn_head.scale.3.scale": None}, r"scales has shape \(3,\), expected \(4,\)"),
        ({"rpn_head.scale.1.scale": None}, r"it lacks head\.scales; it has unknown rpn_head\.scale\.0\.scale"),
        ({"projection.proj.0.conv.weight": torch.ones(1)}, r"it has unknown projection\.proj\.0\.conv\.weight"),
        ({"something.else": torch.ones(1)}, r"it has unknown something\.else"),
        ({"neck.fpn_norms.0.bias": torch.full((16,), torch.inf)}, r"not numbers .* head\.norms\.0\.bias"),
        ({"backbone.model.backbone.blocks.0.attn.q_bias": None}, r"it lacks backbone\.blocks\.0\.attn\.q_bias"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    backbone_config: VideoMAEConfig,
    tmp_path: Path,
    cases: Any,
    opentad_file: Make,
    change: dict[str, Tensor | None],
    message: str,
) -> None:
    case = cases["actionformer_inside"]
    changed = {**opentad_file(case, backbone_config), **change}
    torch.save({name: value for name, value in changed.items() if value is not None}, tmp_path / "w.pth")
    refused(build(config_of(case, backbone_config)), tmp_path / "w.pth", message)


@pytest.mark.parametrize(
    ("file", "wanted", "message"),
    [
        ("actionformer_inside", "actionformer_beside", r"it lacks ladder\.adapters\.2\.gamma"),
        ("actionformer_beside", "actionformer_inside", r"it lacks backbone\.blocks\.0\.adapter\.gamma"),
        ("tridet_last_block", "actionformer_inside", r"it has the head tridet, expected actionformer"),
        ("gtad", "tridet_averaging", r"it has the head gtad, expected tridet"),
    ],
)
def test_another_detector_is_told(
    backbone_config: VideoMAEConfig,
    tmp_path: Path,
    cases: Any,
    opentad_file: Make,
    save: Save,
    file: str,
    wanted: str,
    message: str,
) -> None:
    save(opentad_file(cases[file], backbone_config), tmp_path / "w.pth")
    refused(build(config_of(cases[wanted], backbone_config)), tmp_path / "w.pth", message)


def test_more_adapters_beside_the_backbone_than_the_config_has_are_unknown(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make, save: Save
) -> None:
    case = cases["actionformer_beside"]
    save(opentad_file(case, backbone_config), tmp_path / "w.pth")
    fewer = replace(case.adapter, last_layers=1)
    detector = build(replace(config_of(case, backbone_config), adapter=fewer))
    refused(detector, tmp_path / "w.pth", r"unknown backbone\.model\.backbone\.ladders\.adapters\.1\.gamma")


def test_backbone_weights_are_no_detector(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, videomae_files: Any
) -> None:
    torch.save(videomae_files["mmaction2"](backbone_config), tmp_path / "w.pth")
    detector = build(config_of(cases["gtad"], backbone_config))
    refused(detector, tmp_path / "w.pth", "mmaction2 and OpenTAD name it, expected a whole detector")


def test_the_backbone_of_a_detector_is_that_it_was_trained_on(
    backbone_config: VideoMAEConfig, tmp_path: Path, case: Any, opentad_file: Make, save: Save, videomae_files: Any
) -> None:
    save(opentad_file(case, backbone_config), tmp_path / "detector.pth")
    state = torch.load(tmp_path / "detector.pth", weights_only=True)
    torch.save({"state_dict_ema": state["state_dict_ema"]}, tmp_path / "published.pth")
    torch.save(videomae_files["mmaction2"](backbone_config), tmp_path / "backbone.pth")
    first, second = VideoMAE(backbone_config, AdapterConfig()), VideoMAE(backbone_config)
    load_backbone(first, tmp_path / "published.pth")
    load_backbone(second, tmp_path / "backbone.pth")
    theirs = first.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in second.state_dict().items())


def test_a_detector_on_offline_features_has_no_backbone(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make, save: Save
) -> None:
    case = cases["actionformer_inside"]
    state = opentad_file(case, backbone_config)
    save({name: value for name, value in state.items() if not name.startswith("backbone.")}, tmp_path / "w.pth")
    offline = DetectorConfig(backbone=OfflineConfig(name="i3d", channels=16), tuning="features", head=case.head)
    load_detector(build(offline), tmp_path / "w.pth")
    refused(
        build(config_of(case, backbone_config)), tmp_path / "w.pth", r"it lacks backbone\.patch_embed\.proj\.weight"
    )
    save(state, tmp_path / "whole.pth")
    refused(build(offline), tmp_path / "whole.pth", r"it has unknown backbone\.model\.backbone\.")
    found = identify(tmp_path / "w.pth").detector
    assert found is not None
    assert (found.tunings, found.config.backbone.channels) == (("features",), 16)


@pytest.mark.parametrize(
    ("name", "setting", "head", "classes"),
    [
        ("actionformer_inside", "thumos14", ACTIONFORMER["thumos14"], 20),
        ("actionformer_inside", "epic_verb", ACTIONFORMER["epic_verb"], 97),
        ("actionformer_beside", "ego4d", ACTIONFORMER["ego4d"], 110),
        ("actionformer_beside", "", replace(ACTIONFORMER["thumos14"], width=64), 20),
        ("actionformer_inside", "", ACTIONFORMER["thumos14"], 21),
        ("tridet_averaging", "thumos14", TRIDET["thumos14"], 20),
        ("tridet_last_block", "activitynet", TRIDET["activitynet"], 1),
        ("gtad", "thumos14", GTAD["thumos14"], 1),
        ("gtad", "activitynet", GTAD["activitynet"], 1),
    ],
)
def test_a_published_detector_tells_the_config_that_builds_it(
    tmp_path: Path, cases: Any, opentad_file: Make, save: Save, name: str, setting: str, head: Any, classes: int
) -> None:
    wide = {"thumos14": (11, 11), "activitynet": (3, 21)}.get(setting, (0, 0))
    case = replace(cases[name], head=head, hidden=12 if cases[name].outside else 24, wide=wide)
    save(opentad_file(case, TINY, classes), tmp_path / "w.pth")
    found = identify(tmp_path / "w.pth")
    assert (found.problem, found.backbones, found.averaged, found.facts) == ("", ("videomae-tiny",), True, {"epoch": 5})
    detector = found.detector
    assert detector is not None
    assert (detector.config.head, detector.num_classes, detector.setting) == (head, classes, setting)
    assert detector.config.adapter == case.adapter
    assert detector.tunings == (("adapter",) if case.adapter else ("full", "frozen"))
    if setting == "thumos14" and not isinstance(head, GTADConfig):  # others would take their seconds for no more
        load_detector(build(detector.config, classes), tmp_path / "w.pth")


def test_a_detector_that_cannot_be_built_says_why(
    backbone_config: VideoMAEConfig, tmp_path: Path, cases: Any, opentad_file: Make, save: Save
) -> None:
    save(opentad_file(cases["actionformer_inside"], backbone_config), tmp_path / "w.pth")
    assert (
        "its backbone is VideoMAE as mmaction2 and OpenTAD name it of no size that is known"
        in identify(tmp_path / "w.pth").problem
    )
    state = opentad_file(cases["actionformer_inside"], TINY)
    del state["rpn_head.cls_head.bias"]
    save(state, tmp_path / "w.pth")
    found = identify(tmp_path / "w.pth")
    assert found.problem == "with videomae-tiny, it lacks head.classification.out.bias"
    assert (found.detector, found.layout) == (None, "a detector of OpenTAD (AdaTAD)")


@pytest.mark.parametrize("seed", range(15))
def test_what_is_called_usable_loads_and_what_is_not_changes_nothing(
    tmp_path: Path, cases: Any, opentad_file: Make, damage: Callable[..., dict[str, Tensor]], seed: int
) -> None:
    dice = random.Random(seed)
    chosen = cases[dice.choice(sorted(cases))]
    case = replace(chosen, hidden=12 if chosen.outside else 24)
    torch.save(damage(opentad_file(case, TINY), dice), tmp_path / "w.pth")
    found = identify(tmp_path / "w.pth")
    detector = build(config_of(case, TINY))
    if found.problem:
        refused(detector, tmp_path / "w.pth", "does not fit the detector")
    else:
        load_detector(detector, tmp_path / "w.pth")
