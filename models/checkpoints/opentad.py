"""Whole detectors as OpenTAD names them (adatad-facts 2.4), such as the published AdaTAD checkpoints.

    backbone.model.backbone.*                     the backbone, in mmaction2's layout of its family
    backbone.model.backbone.blocks.i.adapter.*    adapters inside it
    backbone.model.backbone.ladders.adapters.k.*  adapters beside it (dagger), numbered among themselves
    projection.* neck.* rpn_head.* roi_head.*     the head (`opentad_heads.py`)

Their names begin with `module.` in the files, which is taken off before.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from models.checkpoints.layout import Translated
from models.checkpoints.opentad_heads import RULES, head_kind, translate_head
from models.checkpoints.registry import recognise
from models.checkpoints.rename import join, prefixed, rename
from models.config import DetectorConfig

NAME = "a detector of OpenTAD (AdaTAD)"
BACKBONE = "backbone.model.backbone."
HEAD = re.compile(r"(projection|neck|rpn_head|roi_head)\..*")
INSIDE = re.compile(r"blocks\.\d+\.adapter\..*")
BESIDE = re.compile(r"ladders\.adapters\.(\d+)\.(.*)")
OWN_HEAD = re.compile(r"head\.(pyramid|graph)\..*")
"""Keys that every detector of ours has, and no classifier."""


def is_opentad(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the keys are those of a detector of OpenTAD."""
    return any(name.startswith(("rpn_head.", "roi_head.")) for name in tensors)


def is_own(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the keys are those of a detector of ours, whole or only what trained."""
    return any(OWN_HEAD.fullmatch(name) for name in tensors)


def backbone_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a detector's backbone without adapters, under the names of its own layout; other tensors as they are."""
    if not is_opentad(tensors) and not is_own(tensors):
        return dict(tensors)
    prefix = BACKBONE if is_opentad(tensors) else "backbone."
    part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return {name: value for name, value in part.items() if not BESIDE.fullmatch(name) and ".adapter." not in name}


def count_beside(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of adapters beside the backbone."""
    found = (BESIDE.fullmatch(name.removeprefix(BACKBONE)) for name in tensors)
    return len({match[1] for match in found if match})


def translate_detector(tensors: Mapping[str, Tensor], config: DetectorConfig) -> Translated:
    """Return a detector of OpenTAD under our names.

    Raises:
        ValueError: its head is of another kind, or its backbone of another family than the config's.
    """
    kind = head_kind(tensors)
    if kind != config.head.kind:
        known = f"the head {kind}" if kind else f"none of the heads {', '.join(RULES)}"
        raise ValueError(f"it has {known}, expected {config.head.kind}")
    head = {name: value for name, value in tensors.items() if HEAD.fullmatch(name)}
    rest = {name.removeprefix(BACKBONE): value for name, value in tensors.items() if name.startswith(BACKBONE)}
    inside = {name: value for name, value in rest.items() if INSIDE.fullmatch(name)}
    beside = {name: value for name, value in rest.items() if BESIDE.fullmatch(name)}
    backbone = {name: value for name, value in rest.items() if name not in inside and name not in beside}
    strange = tuple(name for name in tensors if name not in head and not name.startswith(BACKBONE))
    return join(
        prefixed(translate_head(head, kind), ours="head."),
        prefixed(_backbone(backbone, config), theirs=BACKBONE, ours="backbone."),
        prefixed(Translated(state=inside), theirs=BACKBONE, ours="backbone."),
        prefixed(_ladder(beside, config), theirs=BACKBONE),
        Translated(state={}, unknown=strange),
    )


def _backbone(tensors: Mapping[str, Tensor], config: DetectorConfig) -> Translated:
    if not tensors or config.tuning == "features":
        return Translated(state={}, unknown=tuple(tensors))
    found = recognise(tensors)
    if found is None or found.layout.family != config.backbone.kind:
        what = found.layout.name if found else "of no layout that is known"
        raise ValueError(f"its backbone is {what}, expected {config.backbone.kind}")
    return found.layout.translate(found.tensors, config.backbone)


def _ladder(tensors: Mapping[str, Tensor], config: DetectorConfig) -> Translated:
    """Number the adapters beside the backbone by the blocks that they adapt, which the file does not tell."""
    adapter = config.adapter
    outside = adapter is not None and adapter.placement == "outside"
    layers = adapter.adapted(config.backbone.layers) if adapter and outside else ()
    rules = [
        (rf"ladders\.adapters\.{number}\.(.*)", rf"ladder.adapters.{layer}.\1") for number, layer in enumerate(layers)
    ]
    return rename(tensors, rules)
