"""Files are made here from the public definitions; their digests were taken from those definitions themselves."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from models.backbones.slowfast import SlowFast
from models.backbones.videomae import VideoMAE
from models.checkpoints.layout import Layout, Translated
from models.checkpoints.slowfast import LAYOUTS
from models.config import SLOWFAST, VIDEOMAE, SlowFastConfig

R50, R101 = SLOWFAST["slowfast-r50"], SLOWFAST["slowfast-r101"]
TOY = SlowFastConfig(name="toy", blocks=(2, 1, 2, 1), width=8, channel_ratio=4)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution and its normalisation, by where it is."""

    pathway: int
    """0 slow, 1 fast."""
    stage: int
    """0: the stem; a lateral connection starts where this stage ends."""
    role: str
    """stem, lateral, around, or a, b, c."""
    block: int = 0
    shape: tuple[int, ...]
    norm: bool = True


def layers(config: SlowFastConfig) -> Iterator[Layer]:
    """Every layer of a SlowFast network, from the paper's Table 1."""
    for pathway, ratio in ((0, 1), (1, config.channel_ratio)):
        width = config.width // ratio
        yield Layer(pathway=pathway, stage=0, role="stem", shape=(width, 3, 5 if pathway else 1, 7, 7))
        blocks = (config.fast_blocks or config.blocks) if pathway else config.blocks
        for stage, number in enumerate(blocks, start=1):
            inner = width * 2 ** (stage - 1)
            before = width if stage == 1 else 2 * inner
            joined = 0 if pathway else 2 * before // config.channel_ratio
            for block in range(number):
                channels = 4 * inner if block else before + joined
                mixes = (pathway == 1 or stage > 2) and block < (config.temporal_blocks or (99,) * 4)[stage - 1]
                place = {"pathway": pathway, "stage": stage, "block": block}
                if block == 0:
                    yield Layer(**place, role="around", shape=(4 * inner, channels, 1, 1, 1))
                yield Layer(**place, role="a", shape=(inner, channels, 3 if mixes else 1, 1, 1))
                yield Layer(**place, role="b", shape=(inner, inner, 1, 3, 3))
                yield Layer(**place, role="c", shape=(4 * inner, inner, 1, 1, 1))
    for stage in range(4):
        fast = config.width // config.channel_ratio * (2 ** (stage + 1) if stage else 1)
        shape = (2 * fast, fast, config.lateral_kernel, 1, 1)
        yield Layer(pathway=0, stage=stage, role="lateral", shape=shape, norm=config.lateral_norm)


def mmaction2(layer: Layer) -> tuple[str, str]:
    """Names of the convolution and of the normalisation."""
    stage = f"layer{layer.stage}" if layer.stage else "conv1"
    name = f"backbone.{('slow', 'fast')[layer.pathway]}_path." + {
        "stem": "conv1",
        "lateral": f"{stage}_lateral",
        "around": f"{stage}.{layer.block}.downsample",
    }.get(layer.role, f"{stage}.{layer.block}.conv{'abc'.find(layer.role) + 1}")
    return f"{name}.conv", f"{name}.bn"


def pytorchvideo(layer: Layer) -> tuple[str, str]:
    stage = f"blocks.{layer.stage}"
    blocks = f"{stage}.multipathway_blocks.{layer.pathway}"
    block = f"{blocks}.res_blocks.{layer.block}"
    match layer.role:
        case "stem":
            return f"{blocks}.conv", f"{blocks}.norm"
        case "lateral":
            return f"{stage}.multipathway_fusion.conv_fast_to_slow", f"{stage}.multipathway_fusion.norm"
        case "around":
            return f"{block}.branch1_conv", f"{block}.branch1_norm"
        case letter:
            return f"{block}.branch2.conv_{letter}", f"{block}.branch2.norm_{letter}"


def pyslowfast(layer: Layer) -> tuple[str, str]:
    stage = f"s{layer.stage + 1}"
    block = f"{stage}.pathway{layer.pathway}_res{layer.block}"
    match layer.role:
        case "stem":
            return f"{stage}.pathway{layer.pathway}_stem.conv", f"{stage}.pathway{layer.pathway}_stem.bn"
        case "lateral":
            return f"{stage}_fuse.conv_f2s", f"{stage}_fuse.bn"
        case "around":
            return f"{block}.branch1", f"{block}.branch1_bn"
        case letter:
            return f"{block}.branch2.{letter}", f"{block}.branch2.{letter}_bn"


Names = Callable[[Layer], tuple[str, str]]
HEADS = {mmaction2: "cls_head.fc_cls", pytorchvideo: "blocks.6.proj", pyslowfast: "head.projection"}
WITH_NORM = replace(TOY, lateral_norm=True)


def public_file(names: Names, config: SlowFastConfig) -> dict[str, Tensor]:
    """A file of random values as the public code saves it, with its classifier of 400 classes."""
    file: dict[str, Tensor] = {}
    for layer in layers(config):
        conv, norm = names(layer)
        channels = layer.shape[0]
        file[f"{conv}.weight"] = torch.randn(layer.shape)
        if layer.norm:
            file |= {f"{norm}.{leaf}": torch.randn(channels) for leaf in ("weight", "bias", "running_mean")}
            file[f"{norm}.running_var"] = torch.rand(channels)
            file[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    features = 32 * config.width + 32 * config.width // config.channel_ratio
    return file | {f"{HEADS[names]}.weight": torch.randn(400, features), f"{HEADS[names]}.bias": torch.randn(400)}


@pytest.mark.parametrize(
    ("names", "config", "keys", "digest"),
    [
        (mmaction2, R50, 642, "efd735949033e6b1"),
        (mmaction2, replace(R101, fast_blocks=R50.blocks, lateral_kernel=5), 948, "fa617e5b267c29f4"),
        (pytorchvideo, replace(R50, lateral_norm=True), 662, "61bcc2841bb101c5"),
        (pytorchvideo, replace(R101, lateral_norm=True, lateral_kernel=5), 1274, "465b3e13c41b01d6"),
        (pyslowfast, replace(R50, lateral_norm=True), 662, "ae098809d3c4d312"),
        (
            pyslowfast,
            replace(R101, lateral_norm=True, lateral_kernel=5, temporal_blocks=R50.blocks),
            1274,
            "5514173b35d2781a",
        ),
    ],
)
def test_published_files_fill_the_network_exactly(names: Names, config: SlowFastConfig, keys: int, digest: str) -> None:
    with torch.device("meta"):
        file = public_file(names, config)
        network = SlowFast(config)
    lines = sorted(f"{name} {tuple(value.shape)} {value.dtype}" for name, value in file.items())
    assert len(lines) == keys
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest, (
        "the file made here is not the public one"
    )
    translated = the_layout(file).translate(file, config)
    assert not translated.unknown
    assert shapes(translated.state) == shapes(network.state_dict())
    assert len(translated.state) + len(translated.ignored) == keys


def the_layout(file: dict[str, Tensor]) -> Layout:
    (layout,) = [layout for layout in LAYOUTS if layout.recognise(file.keys())]
    assert layout.family == "slowfast"
    return layout


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize("names", [mmaction2, pytorchvideo, pyslowfast])
@pytest.mark.parametrize("config", [TOY, WITH_NORM, replace(WITH_NORM, fast_blocks=(1, 2, 3, 1))])
def test_every_tensor_arrives_where_it_belongs(names: Names, config: SlowFastConfig) -> None:
    file = public_file(names, config)
    network = SlowFast(config)
    network.load_state_dict(the_layout(file).translate(file, config).state)
    for layer in layers(config):
        conv, norm = names(layer)
        pathway = (network.slow_path, network.fast_path)[layer.pathway]
        unit = pathway.conv1
        if layer.role == "lateral":
            unit = pathway.get_submodule(f"layer{layer.stage}_lateral" if layer.stage else "conv1_lateral")
        elif layer.role != "stem":
            block = pathway.stages[layer.stage - 1][layer.block]
            unit = {"around": block.downsample, "a": block.conv1, "b": block.conv2, "c": block.conv3}[layer.role]
        assert torch.equal(unit.conv.weight, file[f"{conv}.weight"])
        if layer.norm:
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                assert torch.equal(getattr(unit.bn, leaf), file[f"{norm}.{leaf}"])


def test_the_same_weights_give_the_same_output_whatever_they_are_called() -> None:
    """The values of a file follow the order of its layers, which all three makers of files share."""
    outputs = []
    for names in (mmaction2, pytorchvideo, pyslowfast):
        torch.manual_seed(3)
        file = public_file(names, WITH_NORM)
        network = SlowFast(WITH_NORM)
        network.load_state_dict(the_layout(file).translate(file, WITH_NORM).state)
        with torch.no_grad():
            outputs.append(network(torch.linspace(-1, 1, 3 * 16 * 32 * 32).view(1, 3, 16, 32, 32)))
    for slow, fast in outputs[1:]:
        assert torch.equal(slow, outputs[0][0])
        assert torch.equal(fast, outputs[0][1])


@pytest.mark.parametrize(
    ("names", "strip", "wrap"),
    [(mmaction2, "backbone.", ""), (pytorchvideo, "", "model.")],
    ids=["mmaction2's bare backbone", "PyTorchVideo inside another network"],
)
def test_files_of_a_bare_or_a_wrapped_network_are_the_same(names: Names, strip: str, wrap: str) -> None:
    file = public_file(names, WITH_NORM)
    other = {wrap + name.removeprefix(strip): value for name, value in file.items()}
    expected = the_layout(file).translate(file, WITH_NORM)
    translated = the_layout(other).translate(other, WITH_NORM)
    assert not translated.unknown
    assert translated.state.keys() == expected.state.keys()
    assert all(translated.state[name] is value for name, value in expected.state.items())


@pytest.mark.parametrize(
    ("names", "head"),
    [(mmaction2, "roi_head.bbox_head.fc_cls"), (pytorchvideo, "detection_head.proj"), (pyslowfast, "head.projection")],
)
def test_heads_and_counters_are_left_out_with_a_reason(names: Names, head: str) -> None:
    file = public_file(names, WITH_NORM) | {f"{head}.weight": torch.zeros(1), f"{head}.bias": torch.zeros(1)}
    ignored = the_layout(file).translate(file, WITH_NORM).ignored
    heads = {name for name in file if name.startswith((HEADS[names], head))}
    assert ignored.keys() == heads | {name for name in file if name.endswith(".num_batches_tracked")}
    assert all(ignored.values())


@pytest.mark.parametrize("names", [mmaction2, pytorchvideo, pyslowfast])
def test_missing_and_unknown_keys_show(names: Names) -> None:
    file = public_file(names, WITH_NORM)
    conv, norm = names(Layer(pathway=1, stage=3, block=1, role="b", shape=()))
    del file[f"{conv}.weight"]
    too_deep, _ = names(Layer(pathway=1, stage=3, block=2, role="b", shape=()))
    stray = {f"{conv}.bias", f"{norm}.running_std", f"{too_deep}.weight", f"{too_deep}.num_batches_tracked", "scale"}
    file |= {name: torch.zeros(1) for name in stray}
    translated = the_layout(file).translate(file, WITH_NORM)
    assert set(translated.unknown) == stray
    assert SlowFast(WITH_NORM).state_dict().keys() - translated.state.keys() == {"fast_path.layer3.1.conv2.conv.weight"}


def test_a_file_of_another_variant_differs_in_names_or_shapes() -> None:
    file = public_file(pytorchvideo, replace(WITH_NORM, lateral_kernel=5))
    translated = the_layout(file).translate(file, TOY)
    assert {name.removesuffix(".weight") for name in translated.unknown if name.endswith(".weight")} == {
        f"blocks.{stage}.multipathway_fusion.norm" for stage in range(4)
    }
    assert translated.state["slow_path.conv1_lateral.conv.weight"].shape[2] == 5


@pytest.mark.parametrize("config", [TOY, WITH_NORM])
def test_a_file_that_we_save_is_read_as_it_is(config: SlowFastConfig) -> None:
    state = dict(SlowFast(config).state_dict())
    assert the_layout(state).translate(state, config) == Translated(state=state)


def test_files_of_other_networks_are_not_recognised() -> None:
    with torch.device("meta"):
        names = VideoMAE(VIDEOMAE["videomae-s"]).state_dict().keys()
    assert not any(layout.recognise(names) for layout in LAYOUTS)
