"""Number formats of a policy: what changes nothing, and by how much the others change."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.config import ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig
from models.detector import Detector, build_detector
from models.engine.weights import Int8Linear

DEPTH = 4
BACKBONE = VideoMAEConfig(
    name="toy", width=32, depth=DEPTH, heads=2, mlp_hidden=64, patch=8, image_size=16, clip_frames=4, drop_path=0.3
)
HEAD = ActionFormerConfig(width=16, embed_layers=1, stem_layers=1, levels=2, normaliser_init=1.0)
PLAIN = EngineConfig(keep="everything")
ROUNDING = 2**-8
"""Relative distance of neighbouring bfloat16 numbers."""


def detector_of(placement: str, engine: EngineConfig) -> Detector:
    adapter = AdapterConfig(placement=placement)  # type: ignore[arg-type]
    torch.manual_seed(0)
    config = DetectorConfig(backbone=BACKBONE, adapter=adapter, head=HEAD)
    detector = build_detector(config, num_classes=2, features=8, resolution=16, engine=engine)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in detector.named_parameters():
        if "up_proj" in name:
            parameter.data.normal_(std=0.1, generator=generator)
    return detector.train()


def step(detector: Detector, dtype: torch.dtype | None = torch.bfloat16) -> tuple[Tensor, Tensor]:
    """Return the features and all gradients as one vector; None: in float32."""
    frames = torch.randint(0, 256, (1, 3, 16, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    segments, labels = torch.tensor([[[1.0, 4.0], [5.0, 7.5]]]), torch.tensor([[0, 1]])
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        loss = detector.loss(frames, torch.ones(1, 8, dtype=torch.bool), segments, labels)["loss"]
    loss.backward()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        torch.manual_seed(3)
        features = detector.features(frames, 8)
    return features, torch.cat([p.grad.flatten() for p in detector.parameters() if p.grad is not None])


def apart(one: Tensor, other: Tensor) -> float:
    """Return the distance of two vectors over the length of the first."""
    return float((one - other).norm() / one.norm())


LEAN = {
    "inside": EngineConfig(clips=1, positions=3, every=2, keep_on="host", inputs_on="host"),
    "outside": EngineConfig(keep="nothing", clips=1, inputs_on="host"),
}


@pytest.mark.parametrize("placement", ["inside", "outside"])
def test_in_half_precision_policies_differ_by_its_rounding_only(placement: str) -> None:
    # Parts of another size may sum in another order, so that every product may be rounded to the other neighbour.
    # Errors of that size, of either sign, from the 4 products and 2 attentions of every block and back.
    bound = ROUNDING * math.sqrt(2 * 6 * DEPTH)
    plain, lean = (step(detector_of(placement, each)) for each in (PLAIN, LEAN[placement]))
    assert apart(plain[0], lean[0]) < bound
    assert apart(plain[1], lean[1]) < bound


def trained(engine: EngineConfig, dtype: torch.dtype | None, steps: int = 20) -> Tensor:
    """Return what trains after some steps, as one vector; None: in float32."""
    detector = detector_of("inside", engine)
    parameters = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        step(detector, dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters])


def test_in_half_precision_twenty_steps_are_as_close_to_the_exact_ones_under_any_policy() -> None:
    exact, plain, lean = trained(PLAIN, None), trained(PLAIN, torch.bfloat16), trained(LEAN["inside"], torch.bfloat16)
    # Training amplifies rounding, by the same amount whoever rounds: two draws of one error, here over the whole path.
    assert 0 < (lean - exact).norm() < 2 * (plain - exact).norm()


@pytest.mark.parametrize("placement", ["inside", "outside"])
def test_half_stored_frozen_weights_change_nothing_under_autocast(placement: str) -> None:
    for engine in (PLAIN, LEAN[placement]):
        single, half = (step(detector_of(placement, each)) for each in (engine, replace(engine, weights="bf16")))
        assert torch.equal(single[0], half[0])
        assert torch.equal(single[1], half[1])


def test_half_storage_halves_the_frozen_products_and_nothing_else() -> None:
    single, half = (detector_of("inside", each) for each in (PLAIN, replace(PLAIN, weights="bf16")))
    for (name, before), after in zip(single.named_parameters(), half.parameters(), strict=True):
        product = name.startswith("backbone.") and "adapter" not in name and name.endswith(("weight", "proj.bias"))
        if product and "norm" not in name:
            assert after.dtype == torch.bfloat16, name
        if before.requires_grad or "norm" in name:
            assert torch.equal(before, after), name


def test_a_rounded_stream_moves_the_features_by_its_rounding() -> None:
    engine = LEAN["inside"]
    exact, rounded = (step(detector_of("inside", each)) for each in (engine, replace(engine, residual="bf16")))
    # Two roundings of half a step per block and one after the embedding, each passed on by what follows.
    bound = ROUNDING / 2 * (2 * DEPTH + 1)
    assert 0 < apart(exact[0], rounded[0]) < bound
    assert 0 < apart(exact[1], rounded[1]) < 2 * bound


def test_a_byte_per_weight_is_the_nearest_of_255_levels_per_channel() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(40, 7)
    stored = Int8Linear(layer)
    error = (stored.weight - layer.weight).abs()
    step_sizes = layer.weight.abs().amax(dim=1, keepdim=True) / 127
    assert (error <= step_sizes * 0.5001).all()
    assert error.max() > 0
    assert stored.levels.dtype == torch.int8
    assert sum(buffer.nbytes for buffer in stored.buffers()) == 40 * 7 + 7 * 4
    values = torch.randn(3, 40)
    torch.testing.assert_close(stored(values), values @ stored.weight.T + layer.bias)


def test_a_channel_of_zeros_stays_zero_in_bytes() -> None:
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    assert torch.equal(Int8Linear(layer).weight, torch.zeros(2, 3))


@pytest.mark.parametrize("placement", ["inside", "outside"])
def test_bytes_move_the_features_by_little(placement: str) -> None:
    engine = LEAN[placement]
    exact, coarse = (step(detector_of(placement, each)) for each in (engine, replace(engine, weights="int8")))
    # A uniform error of up to half a level; weights of 3 standard deviations per 127 levels make it 3 / 127 / sqrt(12)
    # of a weight, 0.7 %, in each product; 4 products per block add up like random steps.
    bound = 3 / 127 / math.sqrt(12) * math.sqrt(4 * DEPTH)
    assert 0 < apart(exact[0], coarse[0]) < bound


def test_pretrained_weights_are_filled_in_before_they_are_rounded() -> None:
    given: dict[str, Tensor] = {}

    def fill(backbone: Any) -> None:
        weight = backbone.blocks[0].mlp.fc1.weight
        given["weight"] = torch.linspace(-1, 1, weight.numel()).view_as(weight)
        weight.data.copy_(given["weight"])

    config = DetectorConfig(backbone=BACKBONE, adapter=AdapterConfig(), head=HEAD)
    for weights, tolerance in (("bf16", ROUNDING / 2), ("int8", 1 / 254)):
        engine = EngineConfig(weights=weights)  # type: ignore[arg-type]
        detector = build_detector(config, num_classes=2, features=8, resolution=16, engine=engine, fill=fill)
        stored = detector.backbone.blocks[0].mlp.fc1.weight  # type: ignore[union-attr]
        assert (stored.float() - given["weight"]).abs().max() <= tolerance
