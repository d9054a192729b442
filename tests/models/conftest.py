"""Toy networks: the code of the published ones with small numbers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig
from models.detector import Detector, build_detector

BACKBONE = VideoMAEConfig(name="toy", width=16, depth=4, heads=2, mlp_hidden=32, patch=8, image_size=32)
HEAD = ActionFormerConfig(width=16, levels=4, path_dropout=0.0)


@pytest.fixture(autouse=True)
def _one_seeded_thread(one_thread: None) -> None:
    torch.manual_seed(0)


@pytest.fixture
def backbone_config() -> VideoMAEConfig:
    return BACKBONE


@pytest.fixture
def head_config() -> ActionFormerConfig:
    return HEAD


def toy_config(how: str, *, drop_path: float = 0.0, **head: Any) -> DetectorConfig:
    """`how` is full, frozen, or an adapter's kind and placement such as tia-outside."""
    adapter = None
    if how not in ("full", "frozen"):
        kind, placement, *last = how.split("-")
        adapter = AdapterConfig(kind=kind, placement=placement, last_layers=int(last[0]) if last else None)  # type: ignore[arg-type]
    return DetectorConfig(
        backbone=replace(BACKBONE, drop_path=drop_path),
        tuning=how if adapter is None else "adapter",  # type: ignore[arg-type]
        adapter=adapter,
        head=replace(HEAD, **head),
    )


@pytest.fixture
def make_detector() -> Any:
    def make(how: str, *, keep: str = "everything", drop_path: float = 0.0, seed: int = 0, **head: Any) -> Detector:
        torch.manual_seed(seed)
        detector = build_detector(
            toy_config(how, drop_path=drop_path, **head),
            num_classes=3,
            features=32,
            resolution=32,
            engine=EngineConfig(keep=keep),  # type: ignore[arg-type]
        )
        # Adapters start as no-ops; give every one of them something to say, so that all gradients are non-zero.
        for name, parameter in detector.named_parameters():
            if "up_proj" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return detector

    return make


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two windows of 32 frames at 32x32, the second one partly padding."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, 3, 32, 32, 32), dtype=torch.uint8, generator=generator)
    mask = torch.arange(32) < torch.tensor([32, 20])[:, None]
    segments = torch.tensor([[[2.0, 6.5], [10.0, 24.0], [0, 0]], [[3.0, 12.0], [0, 0], [0, 0]]])
    labels = torch.tensor([[0, 2, -1], [1, -1, -1]])
    return frames, mask, segments, labels
