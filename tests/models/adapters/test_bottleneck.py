from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from models.adapters import Adapter, TokenGrid, build_adapter
from models.backbones.videomae import VideoMAE
from models.config import VIDEOMAE, AdapterConfig

GRID = TokenGrid(num_clips=3, time=8, height=2, width=3)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def awake(kind: str, *, kernel: int = 3, spatial_kernel: int = 1, channels: int = 12) -> Adapter:
    """An adapter in float64 whose every parameter matters."""
    config = AdapterConfig(kind=kind, kernel=kernel, spatial_kernel=spatial_kernel)  # type: ignore[arg-type]
    adapter = build_adapter(channels, config).double()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return adapter


def naive_tia(adapter: torch.nn.Module, tokens: Tensor, grid: TokenGrid, *, residual: bool) -> Tensor:
    """The adapter's change with its convolution as a Conv3d over the whole window."""
    weights = dict(adapter.named_parameters())
    hidden = F.gelu(tokens @ weights["down_proj.weight"].T + weights["down_proj.bias"])
    sizes = {"n": grid.num_clips, "t": grid.time, "h": grid.height, "w": grid.width}
    volume = rearrange(hidden, "(b n) (t h w) c -> b c (n t) h w", **sizes)
    kernel = weights["dwconv.weight"]
    kernel = kernel if kernel.ndim == 5 else kernel[..., None, None]
    padding = [size // 2 for size in kernel.shape[2:]]
    mixed = F.conv3d(volume, kernel, weights["dwconv.bias"], padding=padding, groups=volume.shape[1])
    mixed = F.conv3d(mixed, weights["conv.weight"][..., None, None], weights["conv.bias"])
    mixed = rearrange(volume + mixed if residual else mixed, "b c (n t) h w -> (b n) (t h w) c", **sizes)
    return weights["gamma"] * (mixed @ weights["up_proj.weight"].T + weights["up_proj.bias"])


@pytest.mark.parametrize(("kernel", "spatial_kernel"), [(1, 1), (3, 1), (7, 1), (21, 1), (3, 3), (1, 3), (5, 5)])
@pytest.mark.parametrize("kind", ["tia", "tia_no_residual"])
def test_tia_is_a_conv3d_over_the_whole_window(kind: str, kernel: int, spatial_kernel: int) -> None:
    adapter = awake(kind, kernel=kernel, spatial_kernel=spatial_kernel)
    tokens = torch.randn(2 * GRID.num_clips, 8 * 2 * 3, 12, dtype=torch.float64)
    expected = tokens + naive_tia(adapter, tokens, GRID, residual=kind == "tia")
    torch.testing.assert_close(adapter(tokens, GRID), expected, rtol=1e-12, atol=1e-12)


def test_plain_adapter_is_a_bottleneck_per_token() -> None:
    adapter = awake("plain")
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    p = dict(adapter.named_parameters())
    change = F.gelu(tokens @ p["down_proj.weight"].T + p["down_proj.bias"]) @ p["up_proj.weight"].T + p["up_proj.bias"]
    grid = TokenGrid(num_clips=1, time=1, height=1, width=5)
    torch.testing.assert_close(adapter(tokens, grid), tokens + p["gamma"] * change)


def test_information_crosses_clips_but_not_videos_or_positions() -> None:
    adapter = awake("tia")
    tokens = torch.randn(2 * 3, 48, 12, dtype=torch.float64)
    changed = tokens.clone()
    # The last tubelet (t=7) of the first video's first clip, at row 1, column 2.
    changed[0, 7 * 6 + 5] += 1
    difference = (adapter(changed, GRID) - adapter(tokens, GRID)).abs().sum(-1)
    touched = difference.nonzero().tolist()
    assert touched == [[0, 6 * 6 + 5], [0, 7 * 6 + 5], [1, 5]]


@pytest.mark.parametrize("spatial_kernel", [1, 3])
@pytest.mark.parametrize("kind", ["tia", "tia_no_residual", "plain", "longlora"])
def test_a_new_adapter_changes_nothing(kind: str, spatial_kernel: int) -> None:
    adapter = build_adapter(12, AdapterConfig(kind=kind, spatial_kernel=spatial_kernel))  # type: ignore[arg-type]
    tokens = torch.randn(6, 48, 12)
    assert torch.equal(adapter(tokens, GRID), tokens)
    assert not adapter.change(tokens, GRID).any()
    assert not adapter.pooled_change(tokens, GRID).any()


def test_only_up_moves_in_the_first_step() -> None:
    adapter = build_adapter(12, AdapterConfig())
    adapter(torch.randn(6, 48, 12), GRID).square().sum().backward()
    moving = {name for name, p in adapter.named_parameters() if p.grad is not None and p.grad.any()}
    assert moving == {"up_proj.weight", "up_proj.bias"}


def test_initial_spread_of_the_weights() -> None:
    adapter = build_adapter(1024, AdapterConfig(kernel=3))
    spread = {name: p.std().item() for name, p in adapter.named_parameters() if p.numel() > 1}
    assert spread["down_proj.weight"] == pytest.approx(0.02, rel=0.02)
    assert spread["dwconv.weight"] == pytest.approx((2 / 3) ** 0.5, rel=0.1)
    assert spread["conv.weight"] == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert all(not p.any() for name, p in adapter.named_parameters() if name.endswith("bias"))
    assert dict(adapter.named_parameters())["gamma"].tolist() == [1]


@pytest.mark.parametrize(
    ("name", "per_layer", "tia", "plain"),
    [
        ("videomae-s", 83_905, 1_006_860, 890_508),
        ("videomae-b", 333_697, 4_004_364, 3_550_476),
        ("videomae-l", 592_385, 14_217_240, 12_613_656),
        ("videomae-h", 924_801, 29_593_632, 26_265_632),
        ("videomae-g", 1_118_657, 44_746_280, 39_719_720),
    ],
)
def test_published_parameter_counts_inside(name: str, per_layer: int, tia: int, plain: int) -> None:
    config = VIDEOMAE[name]
    with torch.device("meta"):
        bare = count(VideoMAE(config))
        assert count(build_adapter(config.width, AdapterConfig())) == per_layer
        assert count(VideoMAE(config, AdapterConfig())) - bare == tia
        for kind, expected in (("tia_no_residual", tia), ("plain", plain)):
            adapter = build_adapter(config.width, AdapterConfig(kind=kind))  # type: ignore[arg-type]
            assert count(adapter) * config.depth == expected


def test_published_parameter_counts_of_the_spatial_kernels() -> None:
    hidden = VIDEOMAE["videomae-b"].width // 4
    with torch.device("meta"):
        sizes = {
            (kernel, side): count(build_adapter(768, AdapterConfig(kernel=kernel, spatial_kernel=side)))
            for kernel, side in ((3, 1), (1, 1), (3, 3), (7, 1), (13, 1), (21, 1))
        }
    assert sizes[3, 1] == 333_697
    assert {key: size - sizes[3, 1] for key, size in sizes.items()} == {
        (kernel, side): (kernel * side**2 - 3) * hidden for kernel, side in sizes
    }


def test_which_layers_are_adapted() -> None:
    inside, outside = AdapterConfig(), AdapterConfig(placement="outside")
    assert inside.adapted(12) == tuple(range(12))
    assert outside.adapted(12) == tuple(range(6, 12))
    assert outside.adapted(5) == (2, 3, 4)
    assert replace(inside, last_layers=20).adapted(40) == tuple(range(20, 40))
    assert replace(inside, layers=(3, 5, 7, 11)).adapted(12) == (3, 5, 7, 11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 4}, "kernel is 4, expected an odd number"),
        ({"spatial_kernel": 2}, "spatial_kernel is 2, expected an odd number"),
        ({"layers": (3, 1)}, r"layers is \(3, 1\), expected rising block numbers"),
        ({"layers": (1, 1)}, r"layers is \(1, 1\), expected rising block numbers"),
        ({"layers": (1,), "last_layers": 2}, "expected only one of them"),
        ({"last_layers": 0}, "last_layers is 0"),
        ({"ratio": 0}, "ratio is 0, expected more than 0"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**change)  # type: ignore[arg-type]


def test_a_bottleneck_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ratio 0\.01 leaves no channel of 16"):
        build_adapter(16, AdapterConfig(ratio=0.01))
