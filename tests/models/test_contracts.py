"""One contract over every combination backbone x tuning x adapter x placement x representation x head, at toy size."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.config import flatten, unflatten
from models.config import (
    ActionFormerConfig,
    AdapterConfig,
    BackboneConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    HeadConfig,
    OfflineConfig,
    RepresentationConfig,
    SlowFastConfig,
    TriDetConfig,
    VideoMAEConfig,
    VideoSwinConfig,
)
from models.detector import Detector, build_detector
from models.tuning import load_trainable_state, parameter_groups, trainable_state

BACKBONES: dict[str, BackboneConfig] = {
    "videomae": VideoMAEConfig(
        name="toy", width=16, depth=4, heads=2, mlp_hidden=32, patch=8, image_size=32, drop_path=0.1
    ),
    "slowfast": SlowFastConfig(name="toy", blocks=(1, 1, 1, 1), width=8, channel_ratio=4),
    "videoswin": VideoSwinConfig(name="toy", width=8, blocks=(1, 2), heads=(1, 2), window=(2, 2, 2)),
}
HEADS: dict[str, HeadConfig] = {
    "actionformer": ActionFormerConfig(width=16, levels=4),
    "tridet": TriDetConfig(width=16, levels=4, sgp_hidden=16, bins=4),
    "gtad": GTADConfig(graph_width=16, map_width=16, map_hidden=8, longest=8, roi_bins=4, context_bins=2),
}
ADAPTERS = ("tia", "tia_no_residual", "plain", "longlora")
WAYS = (
    "frozen",
    "full",
    "features",
    "full+tia",
    *(f"{kind}-{placement}" for kind in ADAPTERS for placement in ("inside", "outside")),
)
COMBINATIONS = [
    *itertools.product(BACKBONES, WAYS, ["frame"], HEADS),
    # One head is enough where the head cannot tell the difference.
    *itertools.product(BACKBONES, [way for way in WAYS if "outside" not in way], ["snippet"], ["actionformer"]),
]


def config_of(backbone: str, way: str, representation: str, head: str) -> DetectorConfig:
    adapter, tuning = None, way
    if way == "full+tia":
        adapter, tuning = AdapterConfig(), "full"
    elif "-" in way:
        kind, placement = way.split("-")
        adapter, tuning = AdapterConfig(kind=kind, placement=placement), "adapter"  # type: ignore[arg-type]
    return DetectorConfig(
        backbone=BACKBONES[backbone],
        tuning=tuning,  # type: ignore[arg-type]
        adapter=adapter,
        representation=RepresentationConfig(kind=representation, snippet_stride=8),  # type: ignore[arg-type]
        head=HEADS[head],
    )


def build(config: DetectorConfig, *, keep: str = "blocks") -> Detector:
    torch.manual_seed(0)
    engine = EngineConfig(keep=keep)  # type: ignore[arg-type]
    detector = build_detector(config, num_classes=3, features=16, resolution=32, engine=engine)
    for name, parameter in detector.named_parameters():
        if "up_proj" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return detector


@pytest.fixture
def targets() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(16) < torch.tensor([16, 11])[:, None]
    segments = torch.tensor([[[1.0, 3.5], [5.0, 12.0]], [[2.0, 9.0], [0.0, 0.0]]])
    return mask, segments, torch.tensor([[0, 2], [1, -1]])


def inputs_for(config: DetectorConfig) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if config.tuning == "features":
        return torch.randn(2, config.backbone.channels, 16, generator=generator)
    return torch.randint(0, 256, (2, 3, 32, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=" ".join)
def test_a_detector_steps_decodes_and_survives_being_stored(
    combination: tuple[str, str, str, str], targets: tuple[Tensor, Tensor, Tensor]
) -> None:
    config = config_of(*combination)
    assert unflatten(json.loads(json.dumps(flatten(config))), DetectorConfig) == config
    detector, inputs = build(config).train(), inputs_for(config)

    groups = parameter_groups(detector)
    trainable = {name for group in groups.values() for name, _ in group}
    assert trainable == {name for name, p in detector.named_parameters() if p.requires_grad}
    assert bool(groups["backbone"]) == (config.tuning == "full")
    assert bool(groups["adapter"]) == (config.adapter is not None)
    assert groups["head_decay"]

    before = {name: value.clone() for name, value in detector.state_dict().items()}
    losses = detector(inputs, *targets)
    assert {"loss", "positives"} <= set(losses)
    assert all(value.shape == () and value.isfinite() and value.dtype == torch.float32 for value in losses.values())
    losses["loss"].backward()
    gradients = {name: p.grad for name, p in detector.named_parameters() if p.grad is not None}
    assert gradients.keys() <= trainable
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    reached = {name for name, gradient in gradients.items() if gradient.any()}
    assert {name for name in trainable if name.endswith("up_proj.weight")} <= reached
    changed = {name for name, value in detector.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {f"head.{name}" for name, _ in detector.head.named_buffers()}, "a step of the loss moved weights"

    raw = detector.eval().detect(inputs, targets[0])
    assert raw.scores.shape == (2, raw.valid.shape[1], 3)
    assert raw.segments.shape in ((*raw.valid.shape, 2), (*raw.valid.shape, 3, 2))
    assert ((raw.scores >= 0) & (raw.scores <= 1)).all()
    assert (raw.segments[..., 0] <= raw.segments[..., 1]).all()
    assert raw.valid.any(1).all()
    assert raw.segments.dtype == raw.scores.dtype == torch.float32

    again = build(config).eval()
    again.load_state_dict(detector.state_dict())
    assert torch.equal(again.detect(inputs, targets[0]).scores, raw.scores)
    carried = build(config).eval()
    load_trainable_state(carried, {name: value.clone() for name, value in trainable_state(detector).items()})
    assert torch.equal(carried.detect(inputs, targets[0]).scores, raw.scores)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("way", ["full", "tia-inside", "longlora-inside", "tia-outside", "full+tia"])
def test_recomputation_changes_no_gradient(backbone: str, way: str, targets: tuple[Tensor, Tensor, Tensor]) -> None:
    config = config_of(backbone, way, "frame", "actionformer")
    mask, segments, labels = targets
    results = []
    for keep in ("everything", "blocks"):
        detector = build(config, keep=keep).double().train()
        torch.manual_seed(3)
        loss = detector.loss(inputs_for(config), mask, segments.double(), labels)["loss"]
        loss.backward()
        results.append((loss.detach(), {name: p.grad for name, p in detector.named_parameters()}))
    (plain, gradients), (recomputed, again) = results
    torch.testing.assert_close(plain, recomputed, rtol=1e-12, atol=0)
    for name, value in gradients.items():
        torch.testing.assert_close(value, again[name], rtol=1e-9, atol=1e-13, msg=name)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_untrained_adapters_leave_the_frozen_detector_as_it_is(
    backbone: str, targets: tuple[Tensor, Tensor, Tensor]
) -> None:
    frozen = build(config_of(backbone, "frozen", "frame", "actionformer")).eval()
    inputs = inputs_for(frozen.config)
    expected = frozen.detect(inputs, targets[0])
    for way in WAYS:
        if "-" not in way:
            continue
        adapted = build(config_of(backbone, way, "frame", "actionformer")).eval()
        adapted.load_state_dict(frozen.state_dict(), strict=False)
        for name, parameter in adapted.named_parameters():
            if "up_proj" in name:
                torch.nn.init.zeros_(parameter)
        found = adapted.detect(inputs, targets[0]).scores
        # Means over space are taken of tokens beside a backbone and of maps without: one rounding apart.
        torch.testing.assert_close(found, expected.scores, rtol=1e-5, atol=1e-7, msg=way)


def test_offline_features_of_any_origin_train_a_head(targets: tuple[Tensor, Tensor, Tensor]) -> None:
    config = DetectorConfig(
        backbone=OfflineConfig(name="i3d", channels=20), tuning="features", head=HEADS["actionformer"]
    )
    detector = build(config).train()
    features = torch.randn(2, 20, 24)
    detector(features, *targets)["loss"].backward()
    assert detector.backbone is None
    assert all(p.requires_grad for p in detector.parameters())
    assert replace(config, weights="abc") != config
