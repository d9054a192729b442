from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import reduce
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F

from models.adapters.ladder import AdapterLadder
from models.backbones.slowfast import SlowFast
from models.config import SLOWFAST, AdapterConfig, DetectorConfig, EngineConfig, SlowFastConfig
from models.detector import build_detector

TOY = SlowFastConfig(name="toy", blocks=(2, 1, 2, 1), width=8, channel_ratio=4)
R50, R101 = SLOWFAST["slowfast-r50"], SLOWFAST["slowfast-r101"]
CLASSIFIER = 2304 * 400 + 400


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def trained(network: nn.Module, seed: int = 0) -> Any:
    """Give every tensor something to say, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(value: Tensor, low: float, high: float) -> None:
        value.copy_(torch.rand(value.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, value in network.named_parameters():
            draw(value, *((0.4, 1.2) if name.endswith(("bn.weight", "gamma")) else (-0.3, 0.3)))
        for name, value in network.named_buffers():
            draw(value, *((0.5, 1.5) if name.endswith("var") else (-0.3, 0.3)))
    return network.double()


def video(frames: int = 16, height: int = 32, width: int = 32, videos: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(videos, 3, frames, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    ("config", "bare", "published"),
    [
        (R50, 33_643_560, 34.6),
        (R101, 61_990_312, 62.9),
        (replace(R50, slow_stride=8, speed_ratio=8, lateral_kernel=5), 33_557_288, 34.5),
        (replace(R101, slow_stride=8, speed_ratio=8, lateral_kernel=5, fast_blocks=(3, 4, 6, 3)), 61_462_312, 62.4),
        (replace(R50, lateral_norm=True), 33_644_488, 34.57),
        (replace(R50, lateral_norm=True, lateral_kernel=5, slow_stride=8, speed_ratio=8), 33_558_216, 34.48),
        (replace(R101, lateral_norm=True, lateral_kernel=5), 61_904_968, 62.83),
        (replace(R101, lateral_norm=True, lateral_kernel=5, temporal_blocks=(3, 4, 6, 3)), 52_852_808, 53.77),
    ],
)
def test_parameter_counts_are_those_of_mmaction2_and_pytorchvideo(
    config: SlowFastConfig, bare: int, published: float
) -> None:
    """`bare` was counted in their definitions; `published` are the millions of their model zoos, with a classifier."""
    with torch.device("meta"):
        assert count(SlowFast(config)) == bare
    digits = len(str(published).split(".")[1])
    assert round((bare + CLASSIFIER) / 1e6, digits) == published


def test_adapters_of_every_slow_bottleneck_of_r50_train_the_published_number_of_parameters() -> None:
    config = DetectorConfig(backbone=R50, adapter=AdapterConfig())
    with torch.device("meta"):
        detector = build_detector(config, num_classes=20, features=768, resolution=160, engine=EngineConfig())
    assert detector.backbone is not None
    trained_parameters = {name: p for name, p in detector.backbone.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained_parameters.values()) == 11_355_024
    assert all(name.startswith("slow_path.layer") and ".adapter." in name for name in trained_parameters)


def test_kernels_have_the_published_shapes() -> None:
    """Table 1 of the paper, with the input channels that the lateral connections add (80 = 64 + 2 x 8)."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in SlowFast(R50).state_dict().items()}
    expected = {
        "slow_path.conv1": (64, 3, 1, 7, 7),
        "fast_path.conv1": (8, 3, 5, 7, 7),
        "slow_path.conv1_lateral": (16, 8, 7, 1, 1),
        "slow_path.layer3_lateral": (256, 128, 7, 1, 1),
        "slow_path.layer1.0.conv1": (64, 80, 1, 1, 1),
        "slow_path.layer1.0.downsample": (256, 80, 1, 1, 1),
        "slow_path.layer1.2.conv1": (64, 256, 1, 1, 1),
        "slow_path.layer2.0.conv1": (128, 320, 1, 1, 1),
        "slow_path.layer3.0.conv1": (256, 640, 3, 1, 1),
        "slow_path.layer3.5.conv2": (256, 256, 1, 3, 3),
        "slow_path.layer4.2.conv1": (512, 2048, 3, 1, 1),
        "slow_path.layer4.2.conv3": (2048, 512, 1, 1, 1),
        "fast_path.layer1.0.conv1": (8, 8, 3, 1, 1),
        "fast_path.layer4.2.conv1": (64, 256, 3, 1, 1),
        "fast_path.layer4.0.downsample": (256, 128, 1, 1, 1),
    }
    assert {name: shapes[f"{name}.conv.weight"] for name in expected} == expected


def test_only_the_first_blocks_mix_time_where_the_config_says_so() -> None:
    with torch.device("meta"):
        network = SlowFast(replace(R101, temporal_blocks=(3, 4, 6, 3)))
    for path in (network.slow_path, network.fast_path):
        assert [block.conv1.conv.kernel_size[0] for block in path.stages[2]] == [3] * 6 + [1] * 17


def test_maps_have_the_published_shapes() -> None:
    """Table 1 of the paper, for 32 frames of which the slow pathway sees 8."""
    seen: list[tuple[int, ...]] = []
    with FakeTensorMode(), torch.no_grad():
        network = SlowFast(R50)
        slow, fast = network(
            torch.randn(1, 3, 32, 224, 224),
            tap=lambda index, tokens, grid: seen.append((index, grid.time, grid.height, grid.width, tokens.shape[2])),
        )
    sides, widths = [56] * 3 + [28] * 4 + [14] * 6 + [7] * 3, [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert seen == [(i, 8, side, side, c) for i, (side, c) in enumerate(zip(sides, widths, strict=True))]
    assert network.layer_channels == tuple(widths)
    assert (slow.shape, fast.shape) == ((1, 2048, 8, 7, 7), (1, 256, 32, 7, 7))


def naive_slowfast(state: dict[str, Tensor], pixels: Tensor, config: SlowFastConfig) -> list[Tensor]:
    """The forward pass from the weights alone, as the paper and mmaction2 describe it."""

    def convolve(name: str, x: Tensor, stride: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        x = F.conv3d(x, weight, stride=stride, padding=[size // 2 for size in weight.shape[2:]])
        if f"{name}.bn.weight" not in state:
            return x
        mean, variance, scale, shift = (
            state[f"{name}.bn.{leaf}"].view(1, -1, 1, 1, 1)
            for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def bottleneck(name: str, x: Tensor, stride: int) -> Tensor:
        y = convolve(f"{name}.conv1", x).relu()
        y = convolve(f"{name}.conv2", y, (1, stride, stride)).relu()
        y = convolve(f"{name}.conv3", y)
        if f"{name}.downsample.conv.weight" in state:
            x = convolve(f"{name}.downsample", x, (1, stride, stride))
        return adapt(name, (x + y).relu())

    def adapt(name: str, x: Tensor) -> Tensor:
        adapter = {leaf.split(".adapter.")[1]: value for leaf, value in state.items() if f"{name}.adapter." in leaf}
        return x + naive_change(adapter, x) if adapter else x

    def stem(name: str, stride: int) -> Tensor:
        x = F.interpolate(pixels, mode="nearest", scale_factor=(1.0 / stride, 1.0, 1.0))
        return F.max_pool3d(convolve(f"{name}.conv1", x, (1, 2, 2)).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))

    def fuse(name: str, slow: Tensor, fast: Tensor) -> Tensor:
        lateral = convolve(f"slow_path.{name}_lateral", fast, (config.speed_ratio, 1, 1))
        return torch.cat((slow, lateral.relu() if config.lateral_norm else lateral), dim=1)

    slow, fast = stem("slow_path", config.slow_stride), stem("fast_path", config.slow_stride // config.speed_ratio)
    for stage in range(1, 5):
        slow = fuse(f"layer{stage - 1}" if stage > 1 else "conv1", slow, fast)
        for index in range(config.blocks[stage - 1]):
            slow = bottleneck(f"slow_path.layer{stage}.{index}", slow, 2 if index == 0 and stage > 1 else 1)
        for index in range((config.fast_blocks or config.blocks)[stage - 1]):
            fast = bottleneck(f"fast_path.layer{stage}.{index}", fast, 2 if index == 0 and stage > 1 else 1)
    return [slow, fast]


def naive_change(adapter: dict[str, Tensor], x: Tensor) -> Tensor:
    """TIA on maps: a bottleneck with a depthwise convolution of kernel (k, 1, 1)."""

    def per_position(layer: str, values: Tensor) -> Tensor:
        weight = adapter[f"{layer}.weight"].flatten(1)
        return torch.einsum("oc, bcthw -> bothw", weight, values) + adapter[f"{layer}.bias"].view(1, -1, 1, 1, 1)

    hidden = F.gelu(per_position("down_proj", x))
    kernel = adapter["dwconv.weight"][..., None, None]
    mixed = F.conv3d(
        hidden, kernel, adapter["dwconv.bias"], padding=(kernel.shape[2] // 2, 0, 0), groups=hidden.shape[1]
    )
    return adapter["gamma"] * per_position("up_proj", hidden + per_position("conv", mixed))


VARIANTS = {
    "8x8": TOY,
    "4x16": replace(TOY, slow_stride=8, speed_ratio=8, lateral_kernel=5),
    "fast pathway skips frames": replace(TOY, slow_stride=8, speed_ratio=4),
    "both pathways see every frame": replace(TOY, slow_stride=1, speed_ratio=1),
    "normalised laterals": replace(TOY, lateral_norm=True, lateral_kernel=3),
    "deeper slow pathway": replace(TOY, fast_blocks=(1, 2, 1, 1)),
    "time in first blocks only": replace(TOY, temporal_blocks=(1, 1, 1, 0)),
}


@pytest.mark.parametrize("size", [(16, 32, 32), (8, 33, 50)], ids=str)
@pytest.mark.parametrize("adapter", [None, AdapterConfig(layers=(0, 4, 5))], ids=["bare", "adapted"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_whole_network_equals_its_definition(
    variant: str, adapter: AdapterConfig | None, size: tuple[int, int, int]
) -> None:
    network = trained(SlowFast(VARIANTS[variant], adapter))
    pixels = video(*size)
    with torch.no_grad():
        outputs = network(pixels)
        expected = naive_slowfast(dict(network.state_dict()), pixels, network.config)
    for output, value in zip(outputs, expected, strict=True):
        assert value.abs().max() > 0.1
        torch.testing.assert_close(output, value, rtol=1e-11, atol=1e-12)


def waves(network: nn.Module) -> Any:
    """Fill every tensor from a cosine, so that other code can do the same."""
    with torch.no_grad():
        for number, (name, value) in enumerate(network.state_dict().items()):
            wave = torch.cos(torch.arange(value.numel(), dtype=torch.float64) * 0.7 + number).view(value.shape)
            if value.dim() > 1:
                wave = wave * (2 / value[0].numel()) ** 0.5
            value.copy_(1 + wave / 4 if name.endswith(("var", "bn.weight")) else wave / (1 if value.dim() > 1 else 4))
    return network


def test_outputs_are_those_of_mmaction2() -> None:
    """Recorded from its ResNet3dSlowFast in float64 (norm_eval), with weights and pixels filled by the same formula."""
    network = waves(SlowFast(TOY).double())
    pixels = torch.cos(torch.arange(3 * 16 * 40 * 48, dtype=torch.float64) * 0.3).view(1, 3, 16, 40, 48)
    with torch.no_grad():
        slow, fast = network(pixels)
    assert (slow.shape, fast.shape) == ((1, 256, 4, 2, 2), (1, 64, 16, 2, 2))
    for output, mean, spread, middle in (
        (slow, 1.9204835713236412, 2.8010912356798165, [4.728397515025389, 4.800441064521569, 4.888398276147823]),
        (fast, 2.656584962389383, 3.646037481311592, [3.3765609230292224, 7.073290556234841, 0.0]),
    ):
        assert output.mean().item() == pytest.approx(mean, rel=1e-12)
        assert output.std().item() == pytest.approx(spread, rel=1e-12)
        assert output.flatten()[output.numel() // 2 :][:3].tolist() == pytest.approx(middle, rel=1e-11)


def test_new_adapters_change_nothing() -> None:
    bare = trained(SlowFast(TOY))
    adapted = SlowFast(TOY, AdapterConfig()).double()
    adapted.load_state_dict({**adapted.state_dict(), **bare.state_dict()})
    with torch.no_grad():
        for before, after in zip(bare(video()), adapted(video()), strict=True):
            torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


def test_a_new_network_passes_every_bottleneck_s_input_on() -> None:
    """As published: the last normalisation of a block starts at zero. With fixed statistics nothing else bounds it."""
    network = SlowFast(TOY).double()
    block = network.slow_path.stages[0][1]
    maps = torch.rand(1, 32, 4, 5, 5, dtype=torch.float64)
    assert torch.equal(block(maps, block.output_grid(maps)), maps)


def test_the_slow_pathway_sees_the_fast_one_through_the_lateral_connections_only() -> None:
    network = trained(SlowFast(TOY))
    pixels = video()
    changed = pixels.clone()
    changed[:, :, 1::4] += 1  # Frames that only the fast pathway looks at.
    with torch.no_grad():
        (slow, fast), (slow_changed, fast_changed) = network(pixels), network(changed)
        assert (slow_changed != slow).any()
        assert (fast_changed != fast).any()
        for name, value in network.named_parameters():
            if "lateral" in name:
                value.zero_()
        (slow, _), (slow_changed, fast_again) = network(pixels), network(changed)
    assert torch.equal(slow_changed, slow)
    assert torch.equal(fast_again, fast_changed), "the fast pathway saw the slow one"


def test_impossible_windows_and_configs_are_refused() -> None:
    with pytest.raises(ValueError, match="18 frames, expected a multiple of 4"):
        SlowFast(TOY)(torch.zeros(1, 3, 18, 32, 32))
    with pytest.raises(ValueError, match=r"fast_blocks is \(3, 4\), expected none or four of at least 1"):
        replace(TOY, fast_blocks=(3, 4))
    with pytest.raises(ValueError, match=r"temporal_blocks is \(1, 1, -1, 1\)"):
        replace(TOY, temporal_blocks=(1, 1, -1, 1))


@pytest.mark.parametrize("layers", [(), (0, 2, 3, 5)], ids=["last half", "across stages"])
def test_a_ladder_adds_the_means_of_full_resolution_changes_with_all_gradients(layers: tuple[int, ...]) -> None:
    config = AdapterConfig(placement="outside", layers=layers)
    network = trained(SlowFast(TOY))
    ladder = trained(AdapterLadder(network, config), seed=1)
    pixels, states = video(), []
    with torch.no_grad():
        slow, fast = network(pixels, tap=lambda index, tokens, grid: states.append((tokens, grid)))
    assert len(states) == 6
    expected = reduce(slow, "b c t h w -> b c t", "mean")
    for index in config.adapted(6):
        tokens, grid = states[index]
        maps = tokens.unflatten(1, (grid.time, grid.height, grid.width)).movedim(-1, 1)
        change = naive_change(dict(ladder.adapters[str(index)].named_parameters()), maps)
        expected = expected + reduce(change, "b c t h w -> b c t", "mean")
    weight = torch.randn(expected.shape, dtype=torch.float64)
    gradients = torch.autograd.grad((expected * weight).sum(), list(ladder.parameters()))

    adapted, other = ladder(network, pixels)
    torch.testing.assert_close(adapted, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other, reduce(fast, "b c t h w -> b c t", "mean"), rtol=1e-12, atol=1e-12)
    (adapted * weight).sum().backward()
    for parameter, gradient in zip(ladder.parameters(), gradients, strict=True):
        assert gradient.any()
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12 * gradient.abs().max().item())
    assert all(parameter.grad is None for parameter in network.parameters())
