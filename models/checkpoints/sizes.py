"""What the shapes of a detector's tensors say about its config.

Shapes tell widths, depths, kernels and classes. They do not tell attention windows, ranges or losses; where sizes and
classes are those of a published setting (`models/published.py`), the rest is taken from it, and else from the defaults.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.config import ActionFormerConfig, AdapterConfig, AdapterKind, GTADConfig, HeadConfig, TriDetConfig
from models.heads.sgp import far_kernel
from models.published import ACTIONFORMER, ACTIONFORMER_CLASSES, GTAD, TRIDET

CLASSES = {
    "thumos14": 20,
    "activitynet": 1,
    "activitynet, 200 classes": 200,
    "epic_noun": 293,
    "epic_verb": 97,
    "ego4d": 110,
    "multithumos": 65,
    "charades": 157,
}
PUBLISHED: dict[str, dict[str, HeadConfig]] = {
    "actionformer": {**ACTIONFORMER, "activitynet, 200 classes": ACTIONFORMER_CLASSES},
    "tridet": {**TRIDET},
    "gtad": {**GTAD},
}
_TRIDET = ("head_width", "sgp_window", "sgp_ratio", "sgp_hidden", "downsampling", "bins", "boundary_kernel")
_PYRAMID = ("width", "embed_layers", "stem_layers", "levels")
TOLD = {
    "actionformer": _PYRAMID,
    "tridet": (*_PYRAMID, *_TRIDET),
    "gtad": ("graph_width", "map_width", "map_hidden", "map_kernel", "roi_bins", "context_bins", "class_agnostic"),
}
"""What shapes tell of a head's config, by its `kind`."""
RATIOS = (*sorted({config.sgp_ratio for config in TRIDET.values()}), *(tenths / 10 for tenths in range(5, 101)))
"""Ratios of TriDet's wide kernel to try: several give the same kernels, and published ones come first."""

Shapes = Mapping[str, Tensor]
"""Tensors of a part of the detector, under our names without the part's prefix."""


def head_of(head: Shapes) -> tuple[HeadConfig, int, str]:
    """Return a head's config, its number of classes and the data set whose published setting it is, if it is one.

    Args:
        head: the head's tensors, without the prefix `head.`.

    Raises:
        ValueError: the head is none of ours.
    """
    config, classes = _head_sizes(head)
    for name, published in PUBLISHED[config.kind].items():
        same = all(getattr(config, field) == getattr(published, field) for field in TOLD[config.kind])
        # A proposal network has no classes to tell data sets apart by.
        if same and (config.kind == "gtad" or CLASSES[name] == classes):
            return published, classes, name
    return config, classes, ""


def adapter_of(adapters: Mapping[int, Shapes], depth: int, *, outside: bool) -> AdapterConfig | None:
    """Return the config of the adapters of some blocks; None if there are none.

    Args:
        adapters: their tensors by the number of the adapted block.
        depth: blocks of the backbone.
        outside: whether they lie beside the backbone.
    """
    if not adapters:
        return None
    shapes = next(iter(adapters.values()))
    conv = shape_of(shapes, "dwconv.weight", 3, 5) if "dwconv.weight" in shapes else None
    places = _places(tuple(sorted(adapters)), depth, outside=outside)
    kind: AdapterKind = "longlora" if "query.weight" in shapes else "tia" if conv else "plain"
    sizes: dict[str, Any] = {}
    if kind != "longlora":
        hidden, channels = shape_of(shapes, "down_proj.weight", 2)
        # Rounded down when it is built: half a channel more where the plain quotient falls just short.
        plain, safe = hidden / channels, (hidden + 0.5) / channels
        sizes["ratio"] = plain if int(channels * plain) == hidden else safe
    if conv is not None:
        sizes |= {"kernel": conv[2], "spatial_kernel": conv[3] if len(conv) > 3 else 1}
    return AdapterConfig(kind=kind, placement="outside" if outside else "inside", **sizes, **places)


def shape_of(part: Shapes, name: str, *axes: int) -> tuple[int, ...]:
    """Return the shape of a tensor that is needed to tell sizes.

    Raises:
        ValueError: it is not there, or has another number of axes than one of `axes`, or no values.
    """
    if name not in part:
        raise ValueError(f"it lacks {name}")
    shape = tuple(part[name].shape)
    if len(shape) not in axes or 0 in shape:
        raise ValueError(f"{name} has shape {shape}, expected {' or '.join(map(str, axes))} axes")
    return shape


def _places(layers: tuple[int, ...], depth: int, *, outside: bool) -> dict[str, Any]:
    """Say which blocks are adapted in the shortest way a config knows."""
    if layers == AdapterConfig(placement="outside" if outside else "inside").adapted(depth):
        return {}
    last = layers == tuple(range(depth - len(layers), depth))
    return {"last_layers": len(layers)} if last else {"layers": layers}


def _head_sizes(head: Shapes) -> tuple[HeadConfig, int]:
    if "proposals.out.weight" in head:
        return _gtad(head)
    if "classification.out.weight" not in head or "pyramid.embedding.0.conv.weight" not in head:
        raise ValueError("its head is none that is known here")
    pyramid: dict[str, Any] = {
        "width": shape_of(head, "pyramid.embedding.0.conv.weight", 3)[0],
        "embed_layers": _count(head, "pyramid.embedding"),
        "stem_layers": _count(head, "pyramid.stem"),
        "levels": 1 + _count(head, "pyramid.branch"),
    }
    classes = shape_of(head, "classification.out.weight", 3)[0]
    if "start.out.weight" not in head:
        return ActionFormerConfig(**pyramid), classes
    return _tridet(head, pyramid), classes


def _tridet(head: Shapes, pyramid: Mapping[str, Any]) -> TriDetConfig:
    blocks = [f"pyramid.{part}.0." for part in ("stem", "branch") if _count(head, f"pyramid.{part}")]
    if not blocks:
        raise ValueError("its head is TriDet's without a pyramid")
    kernels = [tuple(shape_of(head, f"{block}{name}.weight", 3)[2] for name in ("near", "far")) for block in blocks]
    towers = shape_of(head, "classification.out.weight", 3)[1]
    ratios = (r for r in RATIOS if all(far_kernel(near, r) == far for near, far in kernels))
    return TriDetConfig(
        **pyramid,
        head_width=None if towers == pyramid["width"] else towers,
        sgp_window=kernels[-1][0],
        sgp_ratio=next(ratios, TriDetConfig.sgp_ratio),
        sgp_hidden=shape_of(head, f"{blocks[-1]}mlp.0.weight", 3)[0],
        downsampling="avg" if f"{blocks[-1]}halving.out.weight" in head else "max",
        bins=shape_of(head, "centre.out.weight", 3)[0] // 2 - 1,
        boundary_kernel=shape_of(head, "start.out.weight", 3)[2],
    )


def _gtad(head: Shapes) -> tuple[GTADConfig, int]:
    width, outputs = shape_of(head, "projection.weight", 3)[0], shape_of(head, "proposals.out.weight", 4)[0]
    map_width, joined = shape_of(head, "proposals.features.mix.weight", 4)[:2]
    hidden, _, kernel, _ = shape_of(head, "proposals.convs.0.weight", 4)
    bins = joined // width
    split = next((c.roi_bins for c in GTAD.values() if c.roi_bins + c.context_bins == bins), bins // 2)
    config = GTADConfig(
        graph_width=width,
        map_width=map_width,
        map_hidden=hidden,
        map_kernel=kernel,
        roi_bins=split,
        context_bins=bins - split,
        class_agnostic=outputs == 2,
    )
    return config, outputs - 1


def _count(head: Shapes, prefix: str) -> int:
    """Count the modules of a list by their tensors' names."""
    start = len(prefix.split("."))
    return len({name.split(".")[start] for name in head if name.startswith(f"{prefix}.")})
