from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from models.adapters import TokenGrid, adapted_layers, build_adapter
from models.backbones.videomae import AdapterLadder, VideoMAE
from models.config import VIDEOMAE, AdapterConfig, VideoMAEConfig

GRID = TokenGrid(num_clips=3, time=8, height=2, width=3)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def awake(kind: str, *, kernel: int = 3, identity: bool = True, channels: int = 12) -> torch.nn.Module:
    """An adapter in float64 whose every parameter matters."""
    config = AdapterConfig(kind=kind, kernel=kernel)  # type: ignore[arg-type]
    adapter = build_adapter(channels, config, identity=identity).double()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return adapter


def naive_tia(adapter: torch.nn.Module, tokens: Tensor, grid: TokenGrid, *, residual: bool) -> Tensor:
    """The adapter's change with its temporal convolution as a Conv3d of kernel (k, 1, 1) over the whole window."""
    weights = dict(adapter.named_parameters())
    hidden = F.gelu(tokens @ weights["down_proj.weight"].T + weights["down_proj.bias"])
    sizes = {"n": grid.num_clips, "t": grid.time, "h": grid.height, "w": grid.width}
    volume = rearrange(hidden, "(b n) (t h w) c -> b c (n t) h w", **sizes)
    kernel = weights["dwconv.weight"][..., None, None]
    mixed = F.conv3d(
        volume, kernel, weights["dwconv.bias"], padding=(kernel.shape[2] // 2, 0, 0), groups=volume.shape[1]
    )
    mixed = F.conv3d(mixed, weights["conv.weight"][..., None, None], weights["conv.bias"])
    mixed = rearrange(volume + mixed if residual else mixed, "b c (n t) h w -> (b n) (t h w) c", **sizes)
    return weights["gamma"] * (mixed @ weights["up_proj.weight"].T + weights["up_proj.bias"])


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("kind", ["tia", "tia_no_residual"])
def test_tia_is_a_temporal_conv3d_over_the_whole_window(kind: str, kernel: int) -> None:
    adapter = awake(kind, kernel=kernel)
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


@pytest.mark.parametrize("kind", ["tia", "tia_no_residual", "plain"])
def test_a_new_adapter_changes_nothing(kind: str) -> None:
    config = AdapterConfig(kind=kind)  # type: ignore[arg-type]
    tokens = torch.randn(6, 48, 12)
    assert torch.equal(build_adapter(12, config, identity=True)(tokens, GRID), tokens)
    assert not build_adapter(12, config, identity=False)(tokens, GRID).any()


def test_only_up_moves_in_the_first_step() -> None:
    adapter = build_adapter(12, AdapterConfig(), identity=True)
    adapter(torch.randn(6, 48, 12), GRID).square().sum().backward()
    moving = {name for name, p in adapter.named_parameters() if p.grad is not None and p.grad.any()}
    assert moving == {"up_proj.weight", "up_proj.bias"}


def test_initial_spread_of_the_weights() -> None:
    adapter = build_adapter(1024, AdapterConfig(kernel=3), identity=True)
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
        assert count(build_adapter(config.width, AdapterConfig(), identity=True)) == per_layer
        assert count(VideoMAE(config, AdapterConfig())) - bare == tia
        for kind, expected in (("tia_no_residual", tia), ("plain", plain)):
            adapter = build_adapter(config.width, AdapterConfig(kind=kind), identity=True)  # type: ignore[arg-type]
            assert count(adapter) * config.depth == expected


@pytest.mark.parametrize(
    ("name", "ratio", "expected"), [("videomae-s", 1 / 4, 503_430), ("videomae-g", 1 / 8, 10_581_140)]
)
def test_published_parameter_counts_outside(name: str, ratio: float, expected: int) -> None:
    with torch.device("meta"):
        assert count(AdapterLadder(VIDEOMAE[name], AdapterConfig(placement="outside", ratio=ratio))) == expected


def test_which_layers_are_adapted() -> None:
    inside, outside = AdapterConfig(), AdapterConfig(placement="outside")
    assert adapted_layers(12, inside) == range(12)
    assert adapted_layers(12, outside) == range(6, 12)
    assert adapted_layers(5, outside) == range(2, 5)
    assert adapted_layers(40, replace(inside, last_layers=20)) == range(20, 40)


def test_a_bottleneck_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ratio 0\.01 leaves no channel of 16"):
        build_adapter(16, AdapterConfig(ratio=0.01), identity=True)


def test_a_new_ladder_returns_the_last_block_bit_for_bit(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).eval()
    ladder = AdapterLadder(backbone_config, AdapterConfig(placement="outside"))
    clips = torch.randn(4, 3, 16, 32, 32)
    with torch.no_grad():
        assert torch.equal(ladder(backbone, clips, 2), backbone(clips, 2))


def test_a_ladder_adds_the_changes_to_the_last_output(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).double().eval()
    ladder = AdapterLadder(backbone_config, AdapterConfig(placement="outside", last_layers=3)).double()
    for parameter in ladder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    clips = torch.randn(4, 3, 16, 32, 32, dtype=torch.float64)
    tokens, grid = backbone.embed(clips, 2)
    outputs = []
    for block in backbone.blocks:
        tokens = block(tokens, grid)
        outputs.append(tokens)
    expected = outputs[-1]
    for index in (1, 2, 3):
        expected = expected + naive_tia(ladder.adapters[str(index)], outputs[index], grid, residual=True)
    expected = rearrange(expected, "n (t h w) c -> n c t h w", t=8, h=4, w=4)
    torch.testing.assert_close(ladder(backbone, clips, 2), expected, rtol=1e-12, atol=1e-12)
