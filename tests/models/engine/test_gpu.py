"""Policies on a GPU: the same numbers, and less memory. Skipped where there is none."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.training.host_adamw import HostAdamW
from models.config import ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig
from models.detector import Detector, build_detector
from models.engine.kept import Kept

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

BACKBONE = VideoMAEConfig(name="toy", width=128, depth=6, heads=2, mlp_hidden=512, image_size=64, drop_path=0.2)
HEAD = ActionFormerConfig(width=64, levels=3, path_dropout=0.0, normaliser_init=1.0)
PLAIN = EngineConfig(keep="everything")
LEAN = EngineConfig(clips=2, positions=5, keep_on="host", inputs_on="host", averages_on="host", optimizer_on="host")
STREAMED = EngineConfig(keep="nothing", clips=2, inputs_on="host")


def detector_of(placement: str, engine: EngineConfig) -> Detector:
    torch.manual_seed(0)
    config = DetectorConfig(backbone=BACKBONE, adapter=AdapterConfig(placement=placement), head=HEAD)  # type: ignore[arg-type]
    detector = build_detector(config, num_classes=2, features=64, resolution=64, engine=engine)
    for name, parameter in detector.named_parameters():
        if "up_proj" in name:
            nn.init.normal_(parameter, std=0.1)
    return detector.cuda().train()


def one_step(detector: Detector, frames: int = 128) -> tuple[Tensor, dict[str, Tensor], int]:
    """Return the loss, all gradients and the peak above what lived before, in bytes."""
    shown = torch.randint(0, 256, (1, 3, frames, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    if detector.engine.inputs_on == "device":
        shown = shown.cuda()
    mask = torch.ones(1, 64, dtype=torch.bool, device="cuda")
    segments, labels = torch.tensor([[[5.0, 20.0], [30.0, 36.0]]]).cuda(), torch.tensor([[0, 1]]).cuda()
    torch.manual_seed(2)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss = detector.loss(shown, mask, segments, labels)["loss"]
    loss.backward()
    peak = torch.cuda.max_memory_allocated() - before
    return loss.detach(), {n: p.grad for n, p in detector.named_parameters() if p.grad is not None}, peak


@pytest.mark.parametrize(
    ("placement", "engine"),
    [
        ("inside", EngineConfig()),
        ("inside", LEAN),
        ("inside", replace(LEAN, every=3)),
        ("outside", replace(LEAN, positions=0)),
        ("outside", STREAMED),
        ("inside", EngineConfig(policy="reference")),
        ("outside", EngineConfig(policy="reference")),
    ],
)
def test_a_policy_changes_neither_loss_nor_gradients(placement: str, engine: EngineConfig) -> None:
    plain, other = (one_step(detector_of(placement, each)) for each in (PLAIN, engine))
    # float32 sums in another order; TF32 is off by default for products.
    torch.testing.assert_close(other[0], plain[0], rtol=1e-4, atol=1e-5)
    for name, value in plain[1].items():
        torch.testing.assert_close(other[1][name], value, rtol=1e-2, atol=1e-4 * float(value.abs().max()), msg=name)
    if engine.policy == "fixed":
        assert other[2] < plain[2]


def test_a_streamed_step_does_not_grow_with_its_frames() -> None:
    short, long = (one_step(detector_of("outside", STREAMED), frames)[2] for frames in (128, 1024))
    # The series of a longer window: 6 layers, 64 hidden and 128 output channels per tubelet, a few times in float32.
    assert long - short < 8 * (1024 - 128) // 2 * (6 * 64 + 128) * 4


def test_what_is_kept_on_the_host_comes_back_as_it_was() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    kept, given = Kept("host", device), []
    for number in range(8):
        values = torch.randn(1 << 20, device=device)
        given.append(values.sum().item())
        kept.put(values)
        del values
        # New work that would land in the memory just given up, if it were given up too early.
        torch.full((1 << 20,), float(number), device=device)
    back = []
    while len(kept):
        kept.fetch()
        back.append(kept.take().sum().item())
        torch.full((1 << 20,), -1.0, device=device)
    assert back == given[::-1]


def test_adamw_on_the_host_follows_adamw_on_the_device() -> None:
    results = []
    for kind, extra in ((torch.optim.AdamW, {"fused": True}), (HostAdamW, {})):
        torch.manual_seed(0)
        layer = nn.Linear(64, 32).cuda()
        optimizer: Any = kind(layer.parameters(), lr=1e-2, weight_decay=0.05, **extra)
        for number in range(10):
            for parameter in layer.parameters():
                parameter.grad = torch.sin(parameter.detach() * (number + 1))
            optimizer.step()
        results.append(layer.weight.detach().cpu())
    # Fused kernels of host and device round differently in the last place.
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)
