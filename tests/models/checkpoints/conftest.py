"""Files in public layouts, made from the public definitions: names and shapes written out, nothing of ours involved."""

import random
import zlib
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from models.config import VideoMAEConfig

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]


def filled(shapes: Shapes) -> Tensors:
    """Give every tensor values that follow from its name and shape alone, so that other code can make the same."""
    return {name: _wave(name, shape) for name, shape in shapes.items()}


def _wave(name: str, shape: tuple[int, ...]) -> Tensor:
    size = 1
    for side in shape:
        size *= side
    phase = zlib.crc32(name.encode()) % 1000
    wave = torch.sin(torch.arange(size, dtype=torch.float64) * 0.7310585 + phase)
    if len(shape) > 1:  # about what a trained layer has: outputs as large as inputs
        fan_in = size // shape[0]
        return (wave * (2 / fan_in) ** 0.5).reshape(shape).float()
    centre = 1.0 if name.endswith(("weight", "scale", "gamma")) else 0.0
    return (centre + 0.1 * wave).reshape(shape).float()


def videomae_parts(config: VideoMAEConfig) -> dict[str, Tensor]:
    """Return the weights of a VideoMAE by their meaning, queries, keys and values apart."""
    width, hidden = config.width, config.mlp_hidden
    shapes: Shapes = {
        "patch.weight": (width, 3, config.tubelet, config.patch, config.patch),
        "patch.bias": (width,),
    }
    for i in range(config.depth):
        for name in ("norm1", "norm2"):
            shapes |= {f"{i}.{name}.weight": (width,), f"{i}.{name}.bias": (width,)}
        for name in ("query", "key", "value"):
            shapes[f"{i}.{name}.weight"] = (width, width)
        shapes |= {f"{i}.query.bias": (width,), f"{i}.value.bias": (width,)}
        shapes |= {f"{i}.proj.weight": (width, width), f"{i}.proj.bias": (width,)}
        shapes |= {f"{i}.fc1.weight": (hidden, width), f"{i}.fc1.bias": (hidden,)}
        shapes |= {f"{i}.fc2.weight": (width, hidden), f"{i}.fc2.bias": (width,)}
    return filled(shapes)


def table(config: VideoMAEConfig) -> Tensor:
    """Return the fixed position table, entry by entry."""
    side = config.image_size // config.patch
    rows = []
    for position in range(config.clip_frames // config.tubelet * side * side):
        angles = torch.tensor(
            [position / 10000 ** (2 * (j // 2) / config.width) for j in range(config.width)], dtype=torch.float64
        )
        rows.append(torch.where(torch.arange(config.width) % 2 == 0, angles.sin(), angles.cos()))
    return torch.stack(rows).float()[None]


def authors(config: VideoMAEConfig, classes: int = 7) -> Tensors:
    """MCG-NJU/VideoMAE `modeling_finetune.py`, OpenGVLab/VideoMAEv2 `models/modeling_finetune.py`."""
    head = {"fc_norm.weight": (config.width,), "fc_norm.bias": (config.width,)}
    head |= {"head.weight": (classes, config.width), "head.bias": (classes,)}
    return {**_fused(videomae_parts(config), config.depth), **filled(head)}


def authors_pretraining(config: VideoMAEConfig) -> Tensors:
    """MCG-NJU/VideoMAE `modeling_pretrain.py`: an encoder, and a decoder of half its width."""
    width, narrow = config.width, config.width // 2
    encoder = {f"encoder.{name}": value for name, value in _fused(videomae_parts(config), config.depth).items()}
    decoder = {"mask_token": (1, 1, narrow), "encoder_to_decoder.weight": (narrow, width)}
    decoder |= {"decoder.blocks.0.norm1.weight": (narrow,), "decoder.blocks.0.attn.qkv.weight": (3 * narrow, narrow)}
    decoder |= {"decoder.blocks.0.mlp.fc1.weight": (4 * narrow, narrow), "decoder.head.weight": (1536, narrow)}
    norms = {"encoder.norm.weight": (width,), "encoder.norm.bias": (width,), "decoder.norm.weight": (narrow,)}
    return {**encoder, **filled(decoder | norms)}


def mmaction2(config: VideoMAEConfig, classes: int = 7) -> Tensors:
    """A `Recognizer3D` around mmaction2's `vit_mae.VisionTransformer`; OpenTAD's converted files are the same, bare."""
    names = {
        "patch_embed.proj.": "patch_embed.projection.",
        ".mlp.fc1.": ".mlp.layers.0.0.",
        ".mlp.fc2.": ".mlp.layers.1.",
    }
    state = {"backbone.pos_embed": table(config)}
    for name, value in authors(config, classes).items():
        for theirs, other in names.items():
            name = name.replace(theirs, other)
        state["cls_head.fc_cls." + name.removeprefix("head.") if name.startswith("head.") else f"backbone.{name}"] = (
            value
        )
    return state


def transformers(config: VideoMAEConfig, *, version: int, prefix: str = "videomae.") -> Tensors:
    """Hugging Face transformers' `VideoMAEModel` below a prefix; `modeling_videomae.py` of version 4 or 5."""
    parts = videomae_parts(config)
    state = {
        f"{prefix}embeddings.patch_embeddings.projection.{leaf}": parts[f"patch.{leaf}"] for leaf in ("weight", "bias")
    }
    places = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "proj": "attention.output.dense",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
    }
    for i in range(config.depth):
        layer = f"{prefix}encoder.layer.{i}."
        for name in ("query", "key", "value"):
            state[f"{layer}attention.attention.{name}.weight"] = parts[f"{i}.{name}.weight"]
        for name in ("query", "value"):
            own = f"{name}.bias" if version == 5 else f"{name[0]}_bias"
            state[f"{layer}attention.attention.{own}"] = parts[f"{i}.{name}.bias"]
        for name, place in places.items():
            state |= {f"{layer}{place}.{leaf}": parts[f"{i}.{name}.{leaf}"] for leaf in ("weight", "bias")}
    return state


def transformers_classification(config: VideoMAEConfig, *, version: int) -> Tensors:
    """`VideoMAEForVideoClassification`."""
    head = {"fc_norm.weight": (config.width,), "fc_norm.bias": (config.width,)}
    head |= {"classifier.weight": (7, config.width), "classifier.bias": (7,)}
    return {**transformers(config, version=version), **filled(head)}


def transformers_pretraining(config: VideoMAEConfig, *, version: int) -> Tensors:
    """`VideoMAEForPreTraining`, which norms the encoder's output and has a decoder of the same making."""
    narrow = config.width // 2
    decoder = {"mask_token": (1, 1, narrow), "encoder_to_decoder.weight": (narrow, config.width)}
    layer = "decoder.decoder_layers.0."
    decoder |= {f"{layer}attention.attention.{name}.weight": (narrow, narrow) for name in ("query", "key", "value")}
    decoder |= {f"{layer}intermediate.dense.weight": (2 * narrow, narrow), "decoder.head.bias": (1536,)}
    norms = {"videomae.layernorm.weight": (config.width,), "videomae.layernorm.bias": (config.width,)}
    return {**transformers(config, version=version), **filled(decoder | norms)}


def _fused(parts: Mapping[str, Tensor], depth: int) -> Tensors:
    state = {f"patch_embed.proj.{leaf}": parts[f"patch.{leaf}"] for leaf in ("weight", "bias")}
    places = {"norm1": "norm1", "norm2": "norm2", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    for i in range(depth):
        block = f"blocks.{i}."
        state[f"{block}attn.qkv.weight"] = torch.cat(
            [parts[f"{i}.{name}.weight"] for name in ("query", "key", "value")]
        )
        state |= {f"{block}attn.q_bias": parts[f"{i}.query.bias"], f"{block}attn.v_bias": parts[f"{i}.value.bias"]}
        for name, place in places.items():
            state |= {f"{block}{place}.{leaf}": parts[f"{i}.{name}.{leaf}"] for leaf in ("weight", "bias")}
    return state


def damaged(state: Tensors, dice: random.Random) -> Tensors:
    """Lose, rename, reshape or retype one to three tensors of a file."""
    state = dict(state)
    for _ in range(dice.randint(1, 3)):
        name = dice.choice(sorted(state))
        value = state[name]
        changes: list[Callable[[], Tensor]] = [
            lambda v=value: v.reshape(-1),
            lambda v=value: v[None],
            lambda v=value: v.new_zeros(()),
            lambda v=value: v.new_zeros(0),
            lambda v=value: v.new_zeros([side + 1 for side in v.shape]),
            lambda v=value: v.long(),
            lambda v=value: v.to(torch.complex64),
            lambda v=value: v.to(torch.float8_e4m3fn),
            lambda v=value: v.half(),
        ]
        kind = dice.randrange(len(changes) + 2)
        if kind < len(changes):
            state[name] = changes[kind]()
        else:
            del state[name]
        if kind > len(changes):
            state[f"{name}_"] = value
    return state


VIDEOMAE_LAYOUTS: dict[str, Callable[[VideoMAEConfig], Tensors]] = {
    "authors": authors,
    "authors_pretraining": authors_pretraining,
    "mmaction2": mmaction2,
    "transformers_4": lambda config: transformers_classification(config, version=4),
    "transformers_5": lambda config: transformers_classification(config, version=5),
    "transformers_4_pretraining": lambda config: transformers_pretraining(config, version=4),
    "transformers_5_pretraining": lambda config: transformers_pretraining(config, version=5),
    "transformers_5_bare": lambda config: transformers(config, version=5, prefix=""),
}


@pytest.fixture
def videomae_files() -> dict[str, Callable[[VideoMAEConfig], Tensors]]:
    """Return makers of a VideoMAE's tensors in every public layout; the weights are the same in all of them."""
    return VIDEOMAE_LAYOUTS


@pytest.fixture
def videomae_weights() -> Callable[[VideoMAEConfig], Tensors]:
    """Return a maker of the weights that those files hold, by their meaning."""
    return videomae_parts


@pytest.fixture
def position_table() -> Callable[[VideoMAEConfig], Tensor]:
    """Return a maker of the fixed position table (1, token, channel)."""
    return table


@pytest.fixture
def damage() -> Callable[[Tensors, random.Random], Tensors]:
    """Return `damaged`."""
    return damaged


@pytest.fixture
def fill_shapes() -> Callable[[Shapes], Tensors]:
    """Return a maker of tensors whose values follow from their names and shapes."""
    return filled
