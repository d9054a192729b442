from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import AdapterConfig, DetectorConfig, VideoMAEConfig
from models.tuning import GROUPS, load_trainable_state, parameter_groups, trainable_state

HOW = ["frozen", "full", "tia-inside", "tia-inside-2", "tia-outside", "plain-inside", "tia_no_residual-outside-1"]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("keep", ["everything", "blocks"])
def test_training_moves_exactly_the_trainable_tensors(make_detector: Any, batch: Batch, how: str, keep: str) -> None:
    detector = make_detector(how, keep=keep, drop_path=0.2).train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    trainable = [p for group in parameter_groups(detector).values() for _, p in group]
    optimiser = torch.optim.SGD(trainable, lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        detector.loss(*batch)["loss"].backward()
        optimiser.step()
    moved = {name for name, value in detector.state_dict().items() if not torch.equal(value, before[name])}
    with_gradient = {name for name, p in detector.named_parameters() if p.grad is not None}
    expected = {name for name in before if not name.startswith("backbone.") or how == "full" or ".adapter." in name}
    assert with_gradient == expected - {"head.normaliser.value"}
    # A zero bias or norm offset without a gradient in two steps may stay; the weights may not.
    assert moved <= expected
    assert {name for name in expected if name.endswith("weight")} <= moved
    assert set(trainable_state(detector)) == expected


@pytest.mark.parametrize("how", HOW)
def test_groups_partition_the_trainable_parameters(make_detector: Any, how: str) -> None:
    detector = make_detector(how)
    groups = parameter_groups(detector)
    assert tuple(groups) == GROUPS
    names = [name for group in groups.values() for name, _ in group]
    assert len(names) == len(set(names))
    assert set(names) == {name for name, p in detector.named_parameters() if p.requires_grad}
    assert all(".adapter." in name or name.startswith("ladder.") for name, _ in groups["adapter"])
    assert bool(groups["adapter"]) == ("side" in how)
    assert all(name.startswith("backbone.") for name, _ in groups["backbone"])
    assert bool(groups["backbone"]) == (how == "full")
    assert all(name.startswith("head.") and name.endswith("weight") and p.ndim == 3 for name, p in groups["head_decay"])
    assert all(p.ndim < 3 or name.endswith("scale") for name, p in groups["head_no_decay"])
    assert {"head.scales", "head.norms.0.weight"} <= {name for name, _ in groups["head_no_decay"]}


def test_a_fully_trained_backbone_can_have_adapters(backbone_config: VideoMAEConfig) -> None:
    from models.config import EngineConfig
    from models.detector import build_detector

    config = DetectorConfig(backbone=backbone_config, tuning="full", adapter=AdapterConfig())
    detector = build_detector(config, num_classes=2, features=32, resolution=32, engine=EngineConfig())
    groups = parameter_groups(detector)
    assert len(groups["adapter"]) == 4 * 9
    assert all(p.requires_grad for p in detector.parameters())


def test_a_trained_backbone_cannot_have_its_adapters_outside(backbone_config: VideoMAEConfig) -> None:
    with pytest.raises(ValueError, match="outside, where no gradient reaches the backbone"):
        DetectorConfig(backbone=backbone_config, tuning="full", adapter=AdapterConfig(placement="outside"))


@pytest.mark.parametrize("how", HOW)
def test_frozen_layers_rest_while_drop_path_works_only_where_the_paper_has_it(make_detector: Any, how: str) -> None:
    detector = make_detector(how, drop_path=0.2)
    for _ in range(2):
        detector.train()
        modes = {name: module.training for name, module in detector.backbone.named_modules()}
        frozen = how == "frozen" or "outside" in how
        assert modes["blocks.3.drop_path"] == modes["blocks.0.drop_path"] == (not frozen)
        assert modes["blocks.0.attn.qkv"] == modes["patch_embed"] == (how == "full")
        assert modes["blocks.3.norm1"] == (how == "full")
        assert detector.head.training
        detector.eval()
        assert not any(module.training for module in detector.modules())


@pytest.mark.parametrize("how", HOW)
def test_trainable_state_carries_a_trained_detector_over(make_detector: Any, batch: Batch, how: str) -> None:
    trained, fresh = make_detector(how).train(), make_detector(how).train()
    for parameter in trained.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    trained.loss(*batch)
    load_trainable_state(fresh, {name: value.clone() for name, value in trainable_state(trained).items()})
    for name, value in trained.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name
    first, second = trained.eval().detect(*batch[:2]), fresh.eval().detect(*batch[:2])
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.segments, second.segments)


def test_a_state_that_does_not_fit_is_refused_whole(make_detector: Any) -> None:
    detector = make_detector("tia-inside")
    state = {name: torch.zeros_like(value) for name, value in trainable_state(detector).items()}
    gamma = "backbone.blocks.0.adapter.gamma"
    for wrong, message in (
        ({name: value for name, value in state.items() if name != gamma}, f"lacks {gamma}"),
        (state | {"extra": torch.ones(1)}, "unknown extra"),
        (state | {gamma: torch.ones(2)}, r"gamma has shape \(2,\), expected \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            load_trainable_state(detector, wrong)
    assert detector.state_dict()[gamma].item() == 1


def test_trainable_state_shares_memory_with_the_detector(make_detector: Any) -> None:
    detector = make_detector("tia-outside")
    state = trainable_state(detector)
    state["head.scales"].fill_(7)
    assert detector.head.scales.unique().item() == 7
    assert not any(value.requires_grad for value in state.values())
