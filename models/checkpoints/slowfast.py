"""SlowFast checkpoints as mmaction2, PyTorchVideo and PySlowFast name them. Our names are mmaction2's.

    mmaction2, `backbone.` or bare  PyTorchVideo, bare or `model.`               PySlowFast
    slow_path.conv1.{conv,bn}       blocks.0.multipathway_blocks.0.{conv,norm}   s1.pathway0_stem.{conv,bn}
    slow_path.layer2_lateral.conv   blocks.2.multipathway_fusion.conv_fast_to_.. s3_fuse.conv_f2s
    fast_path.layer2.i.downsample   blocks.2.multipathway_blocks.1.res_blocks.i  s3.pathway1_resi.branch1
    fast_path.layer2.i.conv3        ... .branch2.{conv,norm}_c                   s3.pathway1_resi.branch2.{c,c_bn}

The network is the same in all of them, so translating is renaming. Of what a config may vary, PyTorchVideo and
PySlowFast always have `lateral_norm`. PySlowFast's oldest files, which come from Caffe2, hold pickled objects instead
of named tensors and cannot be read safely.
"""

import re
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from models.backbones.slowfast import SlowFast
from models.checkpoints.layout import Layout, Translated
from models.config import SlowFastConfig

COUNTER = ".num_batches_tracked"
_COUNTER_REASON = "how many batches the statistics beside it were taken from"
_CLASSIFIER_REASON = "a classifier of clips"
_PERSONS_REASON = "a head for boxes around persons"

_PATHWAY = {"slow_path": 0, "fast_path": 1}
_LETTER = {"conv1": "a", "conv2": "b", "conv3": "c"}


def pytorchvideo_name(name: str) -> str:
    """Return what PyTorchVideo calls one of our tensors."""
    match name.split("."):
        case [pathway, "conv1", part, leaf]:
            return f"blocks.0.multipathway_blocks.{_PATHWAY[pathway]}.{_norm(part)}.{leaf}"
        case [_, lateral, part, leaf]:
            unit = "conv_fast_to_slow" if part == "conv" else "norm"
            return f"blocks.{_stage(lateral)}.multipathway_fusion.{unit}.{leaf}"
        case [pathway, layer, index, unit, part, leaf]:
            block = f"blocks.{_stage(layer)}.multipathway_blocks.{_PATHWAY[pathway]}.res_blocks.{index}"
            if unit == "downsample":
                return f"{block}.branch1_{_norm(part)}.{leaf}"
            return f"{block}.branch2.{_norm(part)}_{_LETTER[unit]}.{leaf}"
    raise AssertionError(name)


def pyslowfast_name(name: str) -> str:
    """Return what PySlowFast calls one of our tensors."""
    match name.split("."):
        case [pathway, "conv1", part, leaf]:
            return f"s1.pathway{_PATHWAY[pathway]}_stem.{part}.{leaf}"
        case [_, lateral, part, leaf]:
            return f"s{_stage(lateral) + 1}_fuse.{'conv_f2s' if part == 'conv' else part}.{leaf}"
        case [pathway, layer, index, unit, part, leaf]:
            branch = "branch1" if unit == "downsample" else f"branch2.{_LETTER[unit]}"
            ending = "" if part == "conv" else "_bn"
            return f"s{_stage(layer) + 1}.pathway{_PATHWAY[pathway]}_res{index}.{branch}{ending}.{leaf}"
    raise AssertionError(name)


def _norm(part: str) -> str:
    return "norm" if part == "bn" else part


def _stage(layer: str) -> int:
    """Return the number of a stage, or of the one that a lateral connection starts at; the stem is number 0."""
    return int(layer.removeprefix("layer")[0]) if layer.startswith("layer") else 0


def _translate(state: Mapping[str, Tensor], names: Mapping[str, str], heads: Mapping[str, str]) -> Translated:
    """Rename what `names` knows, from the file's names to ours, and account for the rest."""
    translated: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    unknown: list[str] = []
    for key, value in state.items():
        head = next((reason for start, reason in heads.items() if key.startswith(start)), None)
        if key in names:
            translated[names[key]] = value
        elif key.endswith(COUNTER) and key.removesuffix(COUNTER) + ".running_mean" in names:
            ignored[key] = _COUNTER_REASON
        elif head is not None:
            ignored[key] = head
        else:
            unknown.append(key)
    return Translated(state=translated, ignored=ignored, unknown=tuple(unknown))


def _layout(
    name: str, their_name: Callable[[str], str], *, mark: str, heads: Mapping[str, str], wrapper: str = ""
) -> Layout:
    """Return a layout.

    Args:
        name: who writes such files.
        their_name: what they call one of our tensors.
        mark: how the keys of such files, and of no others, begin (a pattern).
        heads: beginnings of keys that have no place in a backbone, and why.
        wrapper: what the keys of the backbone may start with.
    """
    beginning = re.compile(f"({re.escape(wrapper)})?{mark}")

    def recognise(keys: Collection[str]) -> bool:
        return any(beginning.match(key) for key in keys)

    def translate(state: Mapping[str, Tensor], config: SlowFastConfig) -> Translated:
        prefix = wrapper if any(key.startswith(wrapper) for key in state) else ""
        with torch.device("meta"):
            names = {prefix + their_name(own): own for own in SlowFast(config).state_dict()}
        return _translate(state, names, {**heads, **{prefix + start: reason for start, reason in heads.items()}})

    return Layout(name=name, family="slowfast", recognise=recognise, translate=translate)


LAYOUTS = (
    _layout(
        "mmaction2's SlowFast, which is also ours",
        str,
        mark=r"slow_path\.",
        heads={"cls_head.": _CLASSIFIER_REASON, "roi_head.": _PERSONS_REASON},
        wrapper="backbone.",
    ),
    _layout(
        "PyTorchVideo's SlowFast",
        pytorchvideo_name,
        mark=r"blocks\.\d\.multipathway_",
        heads={"blocks.6.": _CLASSIFIER_REASON, "detection_head.": _PERSONS_REASON},
        wrapper="model.",
    ),
    _layout(
        "PySlowFast's SlowFast",
        pyslowfast_name,
        mark=r"s\d\.pathway0_",
        heads={"head.": _CLASSIFIER_REASON},
    ),
)
"""Every public layout of a SlowFast network, and our own; a file is of one of them at most."""
