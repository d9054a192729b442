from typing import Any

import pytest
import torch
from einops import reduce
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.adapters import TokenGrid, build_adapter
from models.adapters.ladder import AdapterLadder
from models.backbones.videomae import VideoMAE
from models.config import VIDEOMAE, AdapterConfig, VideoMAEConfig
from models.representation import pool_space


def awake(module: torch.nn.Module) -> Any:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.double()


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["tia", "tia_no_residual", "plain", "longlora"]),
    kernel=st.sampled_from([1, 3, 5, 21]),
    spatial_kernel=st.sampled_from([1, 3]),
    out_channels=st.sampled_from([None, 6]),
    grid=st.builds(
        TokenGrid,
        num_clips=st.integers(1, 3),
        time=st.integers(1, 4),
        height=st.integers(1, 3),
        width=st.integers(1, 3),
    ),
    videos=st.integers(1, 2),
)
def test_pooling_early_equals_pooling_late_with_all_gradients(
    kind: Any, kernel: int, spatial_kernel: int, out_channels: int | None, grid: TokenGrid, videos: int
) -> None:
    torch.manual_seed(0)
    config = AdapterConfig(kind=kind, kernel=kernel, spatial_kernel=spatial_kernel)
    adapter = awake(build_adapter(12, config, out_channels=out_channels))
    tokens = torch.randn(videos * grid.num_clips, grid.time * grid.height * grid.width, 12, dtype=torch.float64)
    results = []
    for route in ("late", "early"):
        adapter.zero_grad()
        source = tokens.clone().requires_grad_()
        if route == "late":
            out = reduce(adapter.change(source, grid), "(b n) (t h w) c -> b (n t) c", "mean", **grid.sizes)
        else:
            out = adapter.pooled_change(source, grid)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        (out * weight).sum().backward()
        results.append((out.detach(), source.grad, {name: p.grad for name, p in adapter.named_parameters()}))
    (late, to_input, gradients), (early, to_input_again, gradients_again) = results
    torch.testing.assert_close(early, late, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(to_input_again, to_input, rtol=1e-11, atol=1e-12)
    for name, value in gradients.items():
        torch.testing.assert_close(gradients_again[name], value, rtol=1e-11, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("name", "ratio", "expected"), [("videomae-s", 1 / 4, 503_430), ("videomae-g", 1 / 8, 10_581_140)]
)
def test_published_parameter_counts_outside(name: str, ratio: float, expected: int) -> None:
    with torch.device("meta"):
        ladder = AdapterLadder(VideoMAE(VIDEOMAE[name]), AdapterConfig(placement="outside", ratio=ratio))
    assert sum(parameter.numel() for parameter in ladder.parameters()) == expected


def test_a_new_ladder_returns_the_last_block_bit_for_bit(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).eval()
    ladder = AdapterLadder(backbone, AdapterConfig(placement="outside"))
    window = torch.randn(2, 3, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(ladder(backbone, window)[0], pool_space(backbone(window))[0])


def hidden_states(backbone: VideoMAE, window: Tensor) -> tuple[list[Tensor], TokenGrid]:
    states: list[Tensor] = []
    grids: list[TokenGrid] = []
    with torch.no_grad():
        backbone(window, tap=lambda _, tokens, grid: (states.append(tokens), grids.append(grid)))  # type: ignore[arg-type,func-returns-value]
    return states, grids[-1]


@pytest.mark.parametrize("layers", [(1, 2, 3), (0, 3)])
@pytest.mark.parametrize("spatial_kernel", [1, 3])
def test_a_ladder_adds_the_changes_to_the_last_output(
    backbone_config: VideoMAEConfig, layers: tuple[int, ...], spatial_kernel: int
) -> None:
    backbone = VideoMAE(backbone_config).double().eval()
    config = AdapterConfig(placement="outside", layers=layers, spatial_kernel=spatial_kernel)
    ladder = awake(AdapterLadder(backbone, config))
    window = torch.randn(2, 3, 32, 32, 32, dtype=torch.float64)
    states, grid = hidden_states(backbone, window)
    expected = states[-1]
    for index in layers:
        expected = expected + ladder.adapters[str(index)].change(states[index], grid)
    expected = reduce(expected, "(b n) (t h w) c -> b c (n t)", "mean", **grid.sizes)
    torch.testing.assert_close(ladder(backbone, window)[0], expected, rtol=1e-12, atol=1e-12)


def test_no_gradient_enters_the_backbone_and_none_is_kept_without_training(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).eval()
    ladder = AdapterLadder(backbone, AdapterConfig(placement="outside"))
    window = torch.randn(1, 3, 16, 32, 32)
    ladder(backbone, window)[0].sum().backward()
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in ladder.parameters())
    with torch.no_grad():
        assert not ladder(backbone, window)[0].requires_grad
    with torch.inference_mode():
        assert ladder(backbone, window)[0].isfinite().all()
