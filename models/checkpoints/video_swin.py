"""Video Swin checkpoints as torchvision, mmaction2 and the authors name them. Our names are torchvision's.

    torchvision                            mmaction2 and the authors, below `backbone.` or bare
    patch_embed.{proj,norm}.*              the same
    features.{2 i}.j.{norm1,attn,norm2}.*  layers.i.blocks.j.*
    features.{2 i}.j.mlp.{0,3}.*           layers.i.blocks.j.mlp.{fc1,fc2}.*
    features.{2 i + 1}.{norm,reduction}.*  layers.i.downsample.*
    norm.*                                 norm3.* (mmaction2: the number of the last stage), norm.* (authors)
    head.*                                 cls_head.fc_cls.*, without the prefix

Only names differ. The order of queries, keys and values, of the four neighbours that a merging joins, and of relative
positions is the same: with the same weights the public codes gave the same float64 features to the last bit.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache

import torch
from jaxtyping import Int64
from torch import Tensor

from models.backbones.video_swin import VideoSwin
from models.checkpoints.layout import Layout, Translated
from models.config import VideoSwinConfig

PREFIX = "backbone."
"""What mmaction2 and the authors put before the backbone's names; files that were cut out of theirs lack it."""
TABLE = "relative_position_bias_table"
INDEX = "relative_position_index"
MLP_LAYERS = {"0": "fc1", "3": "fc2"}
"""Torchvision counts activation and dropout as layers."""
_CLASSIFIER_REASON = "a classifier of clips"
_INDEX_REASON = "a constant of the window, which is computed here"
_INDEX_REFUSAL = "pairs tokens of the window with other rows of the bias table than Video Swin does"


def relative_position_index(window: Sequence[int]) -> Int64[Tensor, "token token"]:
    """Return which row of the bias table is for which pair of tokens of a window."""
    sides = torch.tensor(window)
    places = torch.cartesian_prod(*(torch.arange(side) for side in window))
    offsets = places[:, None] - places[None, :] + sides - 1
    _, rows, columns = 2 * sides - 1
    return (offsets * torch.stack([rows * columns, columns, torch.ones_like(rows)])).sum(-1)


def translate_torchvision(state: Mapping[str, Tensor], config: VideoSwinConfig) -> Translated:
    """Translate a state dict of torchvision's `SwinTransformer3d`, or of our network without adapters."""
    names = {name: name for name in _own_names(config)}
    return _translate(state, config, names, classifier=("head.weight", "head.bias"))


def translate_mmaction2(state: Mapping[str, Tensor], config: VideoSwinConfig) -> Translated:
    """Translate a state dict of an mmaction2 `Recognizer3D` or of its `SwinTransformer3D`, as OpenTAD loads them."""
    return _translate_layers(state, config, final_norm=f"norm{len(config.blocks) - 1}")


def translate_authors(state: Mapping[str, Tensor], config: VideoSwinConfig) -> Translated:
    """Translate a state dict of the authors' release (SwinTransformer/Video-Swin-Transformer)."""
    return _translate_layers(state, config, final_norm="norm")


def _translate_layers(state: Mapping[str, Tensor], config: VideoSwinConfig, final_norm: str) -> Translated:
    prefix = PREFIX if any(key.startswith(PREFIX) for key in state) else ""
    names = {prefix + _layer_name(name, final_norm): name for name in _own_names(config)}
    return _translate(state, config, names, classifier=("cls_head.fc_cls.weight", "cls_head.fc_cls.bias"))


@cache
def _own_names(config: VideoSwinConfig) -> tuple[str, ...]:
    with torch.device("meta"):
        return tuple(VideoSwin(config).state_dict())


def _layer_name(name: str, final_norm: str) -> str:
    """Return what one of our tensors is called by mmaction2 and the authors, without the prefix."""
    match name.split("."):
        case ["features", place, block, "mlp", position, kind]:
            return f"layers.{int(place) // 2}.blocks.{block}.mlp.{MLP_LAYERS[position]}.{kind}"
        case ["features", place, *rest] if int(place) % 2:
            return ".".join([f"layers.{int(place) // 2}.downsample", *rest])
        case ["features", place, *rest]:
            return ".".join([f"layers.{int(place) // 2}.blocks", *rest])
        case ["norm", kind]:
            return f"{final_norm}.{kind}"
        case _:
            return name


def _translate(
    state: Mapping[str, Tensor], config: VideoSwinConfig, names: Mapping[str, str], classifier: Collection[str]
) -> Translated:
    """Rename what `names` knows, from the file's names to ours, and account for the rest."""
    index = relative_position_index(config.window)
    translated: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    refused: dict[str, str] = {}
    unknown: list[str] = []
    for key, value in state.items():
        if key in names:
            translated[names[key]] = value
        elif key in classifier:
            ignored[key] = _CLASSIFIER_REASON
        elif not (key.endswith(INDEX) and key.removesuffix(INDEX) + TABLE in names):
            unknown.append(key)
        elif _contradicts(value, index):
            refused[key] = _INDEX_REFUSAL
        else:
            ignored[key] = _INDEX_REASON
    return Translated(state=translated, ignored=ignored, unknown=tuple(unknown), refused=refused)


def _contradicts(value: Tensor, index: Tensor) -> bool:
    # An index of another shape is that of another window: the table beside it has another shape as well.
    return value.shape == index.shape and not value.is_meta and bool((value.cpu() != index).any())


def _is_torchvision(keys: Collection[str]) -> bool:
    return f"features.0.0.attn.{TABLE}" in keys


def _is_mmaction2(keys: Collection[str]) -> bool:
    return _has_layers(keys) and any(re.fullmatch(rf"({PREFIX})?norm\d\.weight", key) for key in keys)


def _is_authors(keys: Collection[str]) -> bool:
    return _has_layers(keys) and not _is_mmaction2(keys)


def _has_layers(keys: Collection[str]) -> bool:
    return any(f"{prefix}layers.0.blocks.0.attn.{TABLE}" in keys for prefix in (PREFIX, ""))


def _layout(
    name: str,
    recognise: Callable[[Collection[str]], bool],
    translate: Callable[[Mapping[str, Tensor], VideoSwinConfig], Translated],
) -> Layout:
    return Layout(name=name, family="videoswin", recognise=recognise, translate=translate)


LAYOUTS = (
    _layout("torchvision's Video Swin, which is also ours", _is_torchvision, translate_torchvision),
    _layout("mmaction2's Video Swin", _is_mmaction2, translate_mmaction2),
    _layout("the authors' Video Swin", _is_authors, translate_authors),
)
"""Every public layout of a Video Swin network, and our own; a file is of one of them at most."""
