"""OpenTAD's names for the parts of its heads, and ours (adatad-facts 4.1, 5).

projection.embed.* .stem.* .branch.*   -> pyramid.*
neck.fpn_norms.*                       -> norms.*
rpn_head.{cls,reg}_{convs,head}        -> classification, regression (ActionFormer), centre (TriDet)
rpn_head.cls_{start,end}_{convs,head}  -> start, end (TriDet)
rpn_head.scale.i.scale                 -> scales[i]

projection, neck, rpn_head.tem, roi_head -> projection, graph, {start, end}, proposals (G-TAD)
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from models.checkpoints.layout import Translated
from models.checkpoints.rename import Rule, join, rename

LEAF = r"\.(weight|bias)"
BLOCK = r"projection\.(stem|branch)\.(\d+)\."
OWN_BLOCK = r"pyramid.\1.\2."
SCALE = re.compile(r"rpn_head\.scale\.(\d+)\.scale")


def _tower(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        (rf"rpn_head\.{theirs}_convs\.(\d+)\.(conv|norm){LEAF}", rf"{ours}.convs.\1.\2.\3"),
        (rf"rpn_head\.{theirs}_head{LEAF}", rf"{ours}.out.\1"),
    )


PYRAMID: tuple[Rule, ...] = (
    (rf"projection\.embed\.(\d+)\.(conv|norm){LEAF}", r"pyramid.embedding.\1.\2.\3"),
    (BLOCK + r"drop_path_(?:attn|out)\.scale", OWN_BLOCK + r"scale1.scale"),
    (BLOCK + r"drop_path_mlp\.scale", OWN_BLOCK + r"scale2.scale"),
    (BLOCK + rf"mlp\.(\d){LEAF}", OWN_BLOCK + r"mlp.\3.\4"),
    (rf"neck\.fpn_norms\.(\d+){LEAF}", r"norms.\1.\2"),
    (r"rpn_head\.loss_normalizer", r"normaliser.value"),
    *_tower("cls", "classification"),
)

ACTIONFORMER: tuple[Rule, ...] = (
    *PYRAMID,
    (BLOCK + rf"ln([12]){LEAF}", OWN_BLOCK + r"norm\3.\4"),
    (BLOCK + r"attn\.(query|key|value)_conv\.conv\.weight", OWN_BLOCK + r"attention.\3.depthwise.weight"),
    (BLOCK + rf"attn\.(query|key|value)_norm{LEAF}", OWN_BLOCK + r"attention.\3.norm.\4"),
    (BLOCK + rf"attn\.(query|key|value){LEAF}", OWN_BLOCK + r"attention.\3.pointwise.\4"),
    (BLOCK + rf"attn\.proj{LEAF}", OWN_BLOCK + r"attention.out.\3"),
    *_tower("reg", "regression"),
)

TRIDET: tuple[Rule, ...] = (
    *PYRAMID,
    (BLOCK + rf"ln{LEAF}", OWN_BLOCK + r"norm.\3"),
    (BLOCK + rf"gn{LEAF}", OWN_BLOCK + r"group_norm.\3"),
    (BLOCK + rf"fc{LEAF}", OWN_BLOCK + r"instant.\3"),
    (BLOCK + rf"global_fc{LEAF}", OWN_BLOCK + r"context.\3"),
    (BLOCK + rf"convw{LEAF}", OWN_BLOCK + r"near.\3"),
    (BLOCK + rf"convkw{LEAF}", OWN_BLOCK + r"far.\3"),
    (BLOCK + rf"psi{LEAF}", OWN_BLOCK + r"gate.\3"),
    (BLOCK + rf"downsample\.1{LEAF}", OWN_BLOCK + r"halving.out.\3"),
    *_tower("reg", "centre"),
    *_tower("cls_start", "start"),
    *_tower("cls_end", "end"),
)


def _graph(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        (rf"{theirs}\.tconvs\.(\d){LEAF}", rf"{ours}.temporal.\1.\2"),
        (rf"{theirs}\.sconvs\.(\d){LEAF}", rf"{ours}.semantic.\1.\2"),
    )


EXTRACTOR = r"roi_head\.proposal_roi_extractor"
GTAD: tuple[Rule, ...] = (
    (rf"projection\.convs\.0\.conv{LEAF}", r"projection.\1"),
    *_graph("neck", "graph"),
    *_graph(r"rpn_head\.tem\.0\.0", "start.graph"),
    *_graph(r"rpn_head\.tem\.1\.0", "end.graph"),
    (rf"rpn_head\.tem\.0\.1\.conv{LEAF}", r"start.out.\1"),
    (rf"rpn_head\.tem\.1\.1\.conv{LEAF}", r"end.out.\1"),
    *_graph(rf"{EXTRACTOR}\.gcnext", "proposals.graph"),
    (rf"{EXTRACTOR}\.conv2d\.0{LEAF}", r"proposals.features.mix.\1"),
    (rf"roi_head\.proposal_head\.head\.([012])\.0{LEAF}", r"proposals.convs.\1.\2"),
    (rf"roi_head\.proposal_head\.head\.3{LEAF}", r"proposals.out.\1"),
)

RULES: dict[str, tuple[Rule, ...]] = {"actionformer": ACTIONFORMER, "tridet": TRIDET, "gtad": GTAD}
"""By the `kind` of the head's config."""

MARKS = {
    "gtad": r"rpn_head\.tem\.0\.0\.tconvs\..*",
    "tridet": r"rpn_head\.cls_start_head\..*",
    "actionformer": BLOCK + r"attn\.query_conv\..*",
}
"""Keys that only this head has."""


def head_kind(names: Mapping[str, Tensor]) -> str:
    """Return which of our heads a detector's keys are of; empty if none."""
    return next((kind for kind, mark in MARKS.items() if any(re.fullmatch(mark, name) for name in names)), "")


def translate_head(state: Mapping[str, Tensor], kind: str) -> Translated:
    """Return the head's tensors under our names, without the prefix `head.`."""
    scales = {name: value for name, value in state.items() if SCALE.fullmatch(name)}
    rest = {name: value for name, value in state.items() if name not in scales}
    return join(rename(rest, RULES[kind]), _stacked(scales))


def _stacked(scales: Mapping[str, Tensor]) -> Translated:
    """Join the levels' scales, which OpenTAD keeps as one parameter each."""
    if not scales:
        return Translated(state={})
    names = [f"rpn_head.scale.{level}.scale" for level in range(len(scales))]
    alike = len({value.dtype for value in scales.values()}) == 1
    if not alike or any(name not in scales or scales[name].numel() != 1 for name in names):
        return Translated(state={}, unknown=tuple(scales))
    return Translated(state={"scales": torch.cat([scales[name].reshape(1) for name in names])})
