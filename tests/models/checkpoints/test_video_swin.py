import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.video.swin_transformer import SwinTransformer3d

from models.backbones.video_swin import VideoSwin
from models.checkpoints import load_backbone, registry
from models.checkpoints.layout import Layout, Translated
from models.checkpoints.video_swin import LAYOUTS
from models.config import VIDEO_SWIN, AdapterConfig, VideoSwinConfig

TOY = VideoSwinConfig(name="toy", width=8, blocks=(2, 2), heads=(2, 4), window=(4, 3, 3), drop_path=0.0)
TORCHVISION, MMACTION2, AUTHORS = LAYOUTS
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def layered_shapes(config: VideoSwinConfig, final_norm: str) -> Shapes:
    """Names and shapes as mmaction2's and the authors' `SwinTransformer3D` define them, in their order."""

    def affine(name: str, channels: int) -> Shapes:
        yield from ((f"{name}.weight", (channels,)), (f"{name}.bias", (channels,)))

    def linear(name: str, inputs: int, outputs: int) -> Shapes:
        yield from ((f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,)))

    offsets, tokens = math.prod(2 * side - 1 for side in config.window), math.prod(config.window)
    yield from (
        ("patch_embed.proj.weight", (config.width, 3, *config.patch)),
        ("patch_embed.proj.bias", (config.width,)),
    )
    yield from affine("patch_embed.norm", config.width)
    for stage, (depth, heads) in enumerate(zip(config.blocks, config.heads, strict=True)):
        channels = config.width * 2**stage
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}"
            yield from affine(f"{block}.norm1", channels)
            yield f"{block}.attn.relative_position_bias_table", (offsets, heads)
            yield f"{block}.attn.relative_position_index", (tokens, tokens)
            yield from linear(f"{block}.attn.qkv", channels, 3 * channels)
            yield from linear(f"{block}.attn.proj", channels, channels)
            yield from affine(f"{block}.norm2", channels)
            yield from linear(f"{block}.mlp.fc1", channels, 4 * channels)
            yield from linear(f"{block}.mlp.fc2", 4 * channels, channels)
        if stage + 1 < len(config.blocks):
            yield f"layers.{stage}.downsample.reduction.weight", (2 * channels, 4 * channels)
            yield from affine(f"layers.{stage}.downsample.norm", 4 * channels)
    yield from affine(final_norm, config.channels)


@cache
def pair_index(window: tuple[int, int, int]) -> Tensor:
    """Row of the bias table for every pair of tokens, pair by pair."""
    places = [(t, y, x) for t in range(window[0]) for y in range(window[1]) for x in range(window[2])]
    rows, columns = 2 * window[1] - 1, 2 * window[2] - 1

    def row(query: tuple[int, int, int], key: tuple[int, int, int]) -> int:
        t, y, x = (q - k + side - 1 for q, k, side in zip(query, key, window, strict=True))
        return (t * rows + y) * columns + x

    return torch.tensor([[row(query, key) for key in places] for query in places])


def wave(number: int, shape: tuple[int, ...], scale: float) -> Tensor:
    """Weights that anyone can compute again: values along a sine, each tensor with its own start."""
    return (torch.arange(math.prod(shape), dtype=torch.float64) * 0.37 + number).sin().reshape(shape) * scale


def layered_state(config: VideoSwinConfig, final_norm: str, prefix: str = "backbone.") -> dict[str, Tensor]:
    """A state dict of a recogniser: the backbone under a prefix, and a classifier."""
    state: dict[str, Tensor] = {}
    for number, (name, shape) in enumerate(layered_shapes(config, final_norm)):
        if name.endswith("index"):
            state[prefix + name] = pair_index(config.window)
        elif "norm" in name and name.endswith("weight"):
            state[prefix + name] = 1 + wave(number, shape, 0.3)
        else:
            state[prefix + name] = wave(number, shape, 0.5)
    if prefix:
        state["cls_head.fc_cls.weight"] = torch.ones(400, config.channels)
        state["cls_head.fc_cls.bias"] = torch.ones(400)
    return state


def torchvision_state(config: VideoSwinConfig) -> dict[str, Tensor]:
    net = SwinTransformer3d(
        list(config.patch), config.width, list(config.blocks), list(config.heads), list(config.window)
    )
    return net.state_dict()


FILES: dict[str, tuple[Layout, Any]] = {
    "torchvision": (TORCHVISION, torchvision_state),
    "ours": (TORCHVISION, lambda config: VideoSwin(config).state_dict()),
    "mmaction2": (MMACTION2, lambda config: layered_state(config, f"norm{len(config.blocks) - 1}")),
    "authors": (AUTHORS, lambda config: layered_state(config, "norm")),
    "mmaction2, backbone only": (MMACTION2, lambda config: layered_state(config, f"norm{len(config.blocks) - 1}", "")),
    "authors, backbone only": (AUTHORS, lambda config: layered_state(config, "norm", "")),
}


def loaded(translated: Translated, config: VideoSwinConfig) -> VideoSwin:
    assert not translated.unknown
    assert not translated.refused
    backbone = VideoSwin(config).double().eval()
    backbone.load_state_dict(translated.state)
    return backbone


def accounted(translated: Translated, state: Mapping[str, Tensor]) -> bool:
    """Whether every key of the file went one way, and exactly one."""
    told = len(translated.state) + len(translated.ignored) + len(translated.unknown) + len(translated.refused)
    named = {*translated.ignored, *translated.unknown, *translated.refused}
    return told == len(state) and named <= state.keys() and len(named) == told - len(translated.state)


# What mmaction2's (4d6c934) and the authors' (db018fb) SwinTransformer3D return in float64 for the toy weights and
# `wave(1000, ...)` as pixels, at [0, channel, time, row, column]; the two agree to the last bit. Every axis needs
# padding in both stages: 7 steps for windows of 4, 11x9 and 6x5 tokens for windows of 3x3, 11x9 for a merging.
PARITY = {
    (0, 0, 0, 0): 0.4370393048090609,
    (3, 0, 0, 0): 0.8421177584289422,
    (15, 6, 5, 4): 1.9772745461405168,
    (7, 3, 2, 1): -0.1834810599525603,
    (9, 4, 5, 0): -2.073714999355302,
    (1, 6, 0, 4): 1.8816653017777256,
    (12, 2, 3, 3): -1.1751617409486512,
    (5, 5, 1, 2): -0.7196444184190304,
}


@pytest.mark.parametrize("name", ["mmaction2", "authors", "mmaction2, backbone only", "authors, backbone only"])
def test_a_translated_file_gives_the_public_codes_features(name: str) -> None:
    layout, make = FILES[name]
    backbone = loaded(layout.translate(make(TOY), TOY), TOY)
    (maps,) = backbone(wave(1000, (1, 3, 14, 44, 36), 1.0))
    assert maps.shape == (1, 16, 7, 6, 5)
    for place, expected in PARITY.items():
        assert maps[(0, *place)].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", ["toy", "videoswin-tiny", "videoswin-t"])
def test_every_key_of_a_file_is_accounted_for_and_every_parameter_filled(name: str, size: str) -> None:
    config = TOY if size == "toy" else VIDEO_SWIN[size]
    layout, make = FILES[name]
    state = make(config)
    assert [known.name for known in registry.LAYOUTS if known.recognise(state.keys())] == [layout.name]
    assert layout.family == config.kind
    translated = layout.translate(state, config)
    assert accounted(translated, state)
    with torch.device("meta"):
        wanted = {key: value.shape for key, value in VideoSwin(config).state_dict().items()}
    assert {key: value.shape for key, value in translated.state.items()} == wanted
    assert not translated.unknown
    assert not translated.refused
    constants = {key for key, reason in translated.ignored.items() if "constant" in reason}
    assert len(constants) == (0 if name == "ours" else config.layers)
    rest = translated.ignored.keys() - constants
    assert all(key.startswith(("head.", "cls_head.fc_cls.")) for key in rest)
    assert len(rest) == (0 if name == "ours" or "only" in name else 2)


def test_torchvisions_weights_give_torchvisions_features() -> None:
    state = torchvision_state(TOY)
    net = SwinTransformer3d(list(TOY.patch), TOY.width, list(TOY.blocks), list(TOY.heads), list(TOY.window)).double()
    net.load_state_dict(state)
    pixels = torch.randn(2, 3, 10, 36, 20, dtype=torch.float64)
    (maps,) = loaded(TORCHVISION.translate(state, TOY), TOY)(pixels)
    logits = maps.mean((2, 3, 4)) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net.eval()(pixels), logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_tensor_is_missed_under_our_name(name: str) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    whole = layout.translate(state, TOY).state
    for key, value in state.items():
        part = layout.translate({other: state[other] for other in state if other != key}, TOY)
        lost = whole.keys() - part.state.keys()
        assert len(lost) == any(value is kept for kept in whole.values()), key
        assert not part.unknown


@pytest.mark.parametrize("name", FILES)
def test_keys_that_no_layout_has_are_unknown(name: str) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    prefix = "backbone." if "backbone.patch_embed.proj.weight" in state else ""
    strange = {
        f"{prefix}layers.0.blocks.1.attn_mask",
        f"{prefix}layers.9.blocks.0.attn.relative_position_index",
        f"{prefix}patch_embed.proj.scale",
        f"{prefix}features.0.0.adapter.gamma",
        "cls_head.fc_cls.scale",
        "head.extra",
    }
    translated = layout.translate(state | dict.fromkeys(strange, torch.ones(1)), TOY)
    assert set(translated.unknown) == strange
    assert accounted(translated, state | dict.fromkeys(strange, torch.ones(1)))


@pytest.mark.parametrize("name", ["torchvision", "mmaction2", "authors"])
def test_blocks_of_a_bigger_size_are_unknown_under_the_files_names(name: str) -> None:
    layout, make = FILES[name]
    bigger = make(VideoSwinConfig(name="bigger", width=8, blocks=(2, 3), heads=(2, 4), window=(4, 3, 3)))
    translated = layout.translate(bigger, TOY)
    assert set(translated.unknown) == bigger.keys() - make(TOY).keys()
    assert len(translated.unknown) == 14
    assert not translated.state.keys() ^ VideoSwin(TOY).state_dict().keys()


@pytest.mark.parametrize("name", ["torchvision", "mmaction2", "authors"])
def test_another_index_of_relative_positions_is_refused(name: str) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    key = next(
        key
        for key in state
        if key.endswith("blocks.1.attn.relative_position_index") or ".1.attn.relative_position_index" in key
    )
    state[key] = state[key].T.contiguous()
    translated = layout.translate(state, TOY)
    assert translated.refused.keys() == {key}
    assert accounted(translated, state)


@pytest.mark.parametrize("name", ["torchvision", "mmaction2", "authors"])
def test_another_window_shows_in_the_tables_shape(name: str) -> None:
    layout, make = FILES[name]
    state = make(VideoSwinConfig(name="long", width=8, blocks=(2, 2), heads=(2, 4), window=(8, 3, 3)))
    translated = layout.translate(state, TOY)
    assert not translated.unknown
    assert not translated.refused
    wrong = {key for key, value in VideoSwin(TOY).state_dict().items() if translated.state[key].shape != value.shape}
    assert len(wrong) == 4
    assert all(key.endswith("attn.relative_position_bias_table") for key in wrong)


@pytest.mark.parametrize("name", FILES)
def test_shapes_alone_can_be_translated(name: str) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    real = layout.translate(state, TOY)
    meta = layout.translate({key: value.to("meta") for key, value in state.items()}, TOY)
    assert meta.state.keys() == real.state.keys()
    assert (meta.ignored, meta.unknown, meta.refused) == (real.ignored, real.unknown, real.refused)


def test_adapters_are_no_part_of_a_backbone_file() -> None:
    adapted = VideoSwin(TOY, AdapterConfig(last_layers=1)).state_dict()
    translated = TORCHVISION.translate(adapted, TOY)
    assert set(translated.unknown) == adapted.keys() - VideoSwin(TOY).state_dict().keys()
    assert all(name.startswith("features.2.1.adapter.") for name in translated.unknown)


@pytest.mark.parametrize(
    "keys",
    [
        # Torchvision's Swin for images, whose first feature is the embedding.
        {"features.0.0.weight", "features.1.0.attn.relative_position_bias_table", "norm.weight"},
        # Re2TAL's reversible Swin: the same tensors in another network.
        {"backbone.layers.0.blocks.0.inv_block.Fm.attn.relative_position_bias_table", "backbone.norm3.weight"},
        {"patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight"},
        set(),
    ],
)
def test_other_networks_are_not_taken_for_video_swin(keys: set[str]) -> None:
    assert not any(layout.recognise(keys) for layout in LAYOUTS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_fills_a_backbone_and_nothing_of_its_adapters(name: str, tmp_path: Path) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    torch.save({"state_dict": state}, tmp_path / "swin.pth")
    backbone = VideoSwin(TOY, AdapterConfig())
    before = {key: value.clone() for key, value in backbone.state_dict().items() if ".adapter." in key}
    load_backbone(backbone, tmp_path / "swin.pth")
    expected = {key: value.float() for key, value in layout.translate(state, TOY).state.items()} | before
    filled = backbone.state_dict()
    assert expected.keys() == filled.keys()
    assert all(torch.equal(filled[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", ["torchvision", "mmaction2", "authors"])
def test_what_does_not_fit_is_reported_by_name(name: str, tmp_path: Path) -> None:
    layout, make = FILES[name]
    state = make(TOY)
    lost = next(
        key for key, value in state.items() if layout.translate({key: value}, TOY).state.keys() == {"norm.bias"}
    )
    del state[lost]
    torch.save(state | {"backbone.layers.4.blocks.0.gamma": torch.ones(1)}, tmp_path / "swin.pth")
    with pytest.raises(
        ValueError, match=r"lacks norm\.bias; it has unknown backbone\.layers\.4\.blocks\.0\.gamma"
    ) as error:
        load_backbone(VideoSwin(TOY), tmp_path / "swin.pth")
    assert layout.name in str(error.value)


def test_a_file_of_another_size_says_which_it_fits(tmp_path: Path) -> None:
    torch.save(layered_state(VIDEO_SWIN["videoswin-tiny"], "norm2"), tmp_path / "swin.pth")
    with pytest.raises(ValueError, match=r"mmaction2's Video Swin and fits videoswin-tiny"):
        load_backbone(VideoSwin(TOY), tmp_path / "swin.pth")
