"""Files of OpenTAD's detectors, made from its definitions: names and shapes written out, nothing of ours involved."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.config import ActionFormerConfig, AdapterConfig, GTADConfig, HeadConfig, TriDetConfig, VideoMAEConfig

Shapes = dict[str, tuple[int, ...]]
Fill = Callable[[Shapes], dict[str, Tensor]]
Makers = Mapping[str, Callable[[VideoMAEConfig], dict[str, Tensor]]]
BACKBONE = "backbone.model.backbone."
CLASSES = 3


def adapter_shapes(prefix: str, width: int, hidden: int) -> Shapes:
    """`Adapter` of `vit_adapter.py` and `vit_ladder.py`."""
    return {
        f"{prefix}gamma": (1,),
        **layer(f"{prefix}dwconv", hidden, 1, 3),
        **layer(f"{prefix}conv", hidden, hidden, 1),
        **layer(f"{prefix}down_proj", hidden, width),
        **layer(f"{prefix}up_proj", width, hidden),
    }


def layer(prefix: str, *shape: int) -> Shapes:
    return {f"{prefix}.weight": shape, f"{prefix}.bias": shape[:1]}


def conv_module(prefix: str, channels_in: int, channels: int) -> Shapes:
    return {f"{prefix}.conv.weight": (channels, channels_in, 3), **layer(f"{prefix}.norm", channels)}


def pyramid(channels: int, width: int, levels: int) -> Shapes:
    """What `Conv1DTransformerProj` and `TriDetProj` with arch (2, 2, levels - 1) share, and `FPNIdentity`."""
    shapes = {**conv_module("projection.embed.0", channels, width), **conv_module("projection.embed.1", width, width)}
    for level in range(levels):
        shapes |= layer(f"neck.fpn_norms.{level}", width)
    return shapes


def blocks(levels: int) -> Iterator[str]:
    yield from (f"projection.stem.{i}" for i in range(2))
    yield from (f"projection.branch.{i}" for i in range(levels - 1))


def towers(outputs: Mapping[str, int], width: int, levels: int, channels: int | None = None) -> Shapes:
    """`AnchorFreeHead` with two convolutions per tower, `width` wide (`feat_channels`), on a pyramid of `channels`."""
    shapes: Shapes = {"rpn_head.loss_normalizer": ()}
    for name, number in outputs.items():
        for i in range(2):
            shapes |= conv_module(f"rpn_head.{name}_convs.{i}", width if i else channels or width, width)
        shapes |= layer(f"rpn_head.{name}_head", number, width, 3)
    return shapes | {f"rpn_head.scale.{level}.scale": () for level in range(levels)}


def actionformer_shapes(channels: int, config: ActionFormerConfig, classes: int) -> Shapes:
    width, shapes = config.width, pyramid(channels, config.width, config.levels)
    for block in blocks(config.levels):
        shapes |= layer(f"{block}.ln1", width) | layer(f"{block}.ln2", width)
        for name in ("query", "key", "value"):
            shapes[f"{block}.attn.{name}_conv.conv.weight"] = (width, 1, 3)
            shapes |= layer(f"{block}.attn.{name}_norm", width) | layer(f"{block}.attn.{name}", width, width, 1)
        shapes |= layer(f"{block}.attn.proj", width, width, 1)
        shapes |= layer(f"{block}.mlp.0", 4 * width, width, 1) | layer(f"{block}.mlp.3", width, 4 * width, 1)
        shapes |= {f"{block}.drop_path_{branch}.scale": (1, width, 1) for branch in ("attn", "mlp")}
    return shapes | towers({"cls": classes, "reg": 2}, width, config.levels)


def tridet_shapes(channels: int, config: TriDetConfig, classes: int, wide: tuple[int, int]) -> Shapes:
    """`wide`: the wide kernels of the stem's and the branch's blocks."""
    width, hidden, shapes = config.width, config.sgp_hidden, pyramid(channels, config.width, config.levels)
    for block in blocks(config.levels):
        stem = ".stem." in block
        narrow = 1 if stem else config.sgp_window
        kernels = {"psi": narrow, "fc": 1, "convw": narrow, "convkw": wide[0] if stem else wide[1], "global_fc": 1}
        shapes |= layer(f"{block}.ln", width) | layer(f"{block}.gn", width)
        for name, kernel in kernels.items():
            shapes |= layer(f"{block}.{name}", width, 1, kernel)
        shapes |= layer(f"{block}.mlp.0", hidden, width, 1) | layer(f"{block}.mlp.2", width, hidden, 1)
        if not stem:
            shapes |= {f"{block}.drop_path_{branch}.scale": (1, width, 1) for branch in ("out", "mlp")}
            shapes |= layer(f"{block}.downsample.1", width, width, 1) if config.downsampling == "avg" else {}
    outputs = {"cls": classes, "reg": 2 * (config.bins + 1), "cls_start": classes, "cls_end": classes}
    return shapes | towers(outputs, config.head_width or width, config.levels, width)


def gtad_shapes(channels: int, config: GTADConfig) -> Shapes:
    """`ConvSingleProj`, `GCNeXt` with 32 groups of 4, `GCNextTemporalEvaluationHead`, `StandardProposalMapHead`."""
    width, inner = config.graph_width, 4 * 32
    shapes = layer("projection.convs.0.conv", width, channels // 4, 3)
    extractor = "roi_head.proposal_roi_extractor"
    for graph in ("neck", "rpn_head.tem.0.0", "rpn_head.tem.1.0", f"{extractor}.gcnext"):
        shapes |= layer(f"{graph}.tconvs.0", inner, width, 1) | layer(f"{graph}.tconvs.2", inner, 4, 3)
        shapes |= layer(f"{graph}.tconvs.4", width, inner, 1) | layer(f"{graph}.sconvs.0", inner, 2 * width, 1, 1)
        shapes |= layer(f"{graph}.sconvs.2", inner, 4, 1, 1) | layer(f"{graph}.sconvs.4", width, inner, 1, 1)
    for boundary in (0, 1):
        shapes |= layer(f"rpn_head.tem.{boundary}.1.conv", 1, width, 1)
    bins, hidden, kernel = config.roi_bins + config.context_bins, config.map_hidden, config.map_kernel
    shapes |= layer(f"{extractor}.conv2d.0", config.map_width, width * bins, 1, 1)
    for i in range(3):
        inputs = hidden if i else config.map_width
        shapes |= layer(f"roi_head.proposal_head.head.{i}.0", hidden, inputs, kernel, kernel)
    return shapes | layer("roi_head.proposal_head.head.3", 2, hidden, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A detector of OpenTAD on the toy backbone."""

    head: HeadConfig
    adapter: AdapterConfig | None = None
    layers: tuple[int, ...] = ()
    """Adapted blocks."""
    hidden: int = 4
    """Channels of an adapter's bottleneck."""
    wide: tuple[int, int] = (0, 0)
    """TriDet's wide kernels."""

    @property
    def outside(self) -> bool:
        return self.adapter is not None and self.adapter.placement == "outside"


CASES = {
    "actionformer_inside": Case(
        head=ActionFormerConfig(width=16, levels=4), adapter=AdapterConfig(), layers=(0, 1, 2, 3)
    ),
    "actionformer_beside": Case(
        head=ActionFormerConfig(width=16, levels=4, attention_window=5, position_embedding=True),
        adapter=AdapterConfig(placement="outside", ratio=0.125),
        layers=(2, 3),
        hidden=2,
    ),
    "tridet_last_block": Case(
        head=TriDetConfig(width=32, levels=3, sgp_window=3, sgp_ratio=2.0, sgp_hidden=24, bins=4),
        adapter=AdapterConfig(last_layers=1),
        layers=(3,),
        wide=(5, 9),
    ),
    "tridet_averaging": Case(
        head=TriDetConfig(width=32, levels=3, sgp_hidden=24, bins=4, downsampling="avg"), wide=(11, 11)
    ),
    "gtad": Case(
        head=GTADConfig(
            graph_width=64, map_width=16, map_hidden=8, longest=8, roi_bins=4, context_bins=2, class_agnostic=True
        )
    ),
}


def file_of(
    case: Case, config: VideoMAEConfig, fill: Fill, makers: Makers, classes: int = CLASSES
) -> dict[str, Tensor]:
    """Return the `state_dict` of the detector, without DistributedDataParallel's prefix."""
    shapes: Shapes = {}
    for number, block in enumerate(case.layers):
        place = f"ladders.adapters.{number}." if case.outside else f"blocks.{block}.adapter."
        shapes |= adapter_shapes(BACKBONE + place, config.width, case.hidden)
    match case.head:
        case ActionFormerConfig():
            shapes |= actionformer_shapes(config.width, case.head, classes)
        case TriDetConfig():
            shapes |= tridet_shapes(config.width, case.head, classes, case.wide)
        case GTADConfig():
            shapes |= gtad_shapes(config.width, case.head)
    state = fill(shapes)
    if "rpn_head.loss_normalizer" in state:
        state["rpn_head.loss_normalizer"] = torch.tensor(100)  # an integer, as OpenTAD makes it
    for name, value in makers["mmaction2"](config).items():
        # The ladder has no norm for a classifier, the other transformers have one that they do not use.
        if not name.startswith("cls_head.") and not (case.outside and ".fc_norm." in name):
            state[f"backbone.model.{name}"] = value
    return state


def save_opentad(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a checkpoint as OpenTAD's training does: other weights, and their average, which is what is evaluated."""
    wrapped = {f"module.{name}": value for name, value in state.items()}
    raw = {name: value + 1 for name, value in wrapped.items()}
    torch.save({"epoch": 5, "state_dict": raw, "optimizer": {}, "scheduler": {}, "state_dict_ema": wrapped}, path)


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Return every detector in turn."""
    return CASES[request.param]


@pytest.fixture
def cases() -> dict[str, Case]:
    """Return the detectors by name."""
    return CASES


@pytest.fixture
def opentad_file(fill_shapes: Fill, videomae_files: Makers) -> Callable[..., dict[str, Tensor]]:
    """Return a maker of a detector's `state_dict`: (case, backbone, classes=3)."""

    def make(case: Case, config: VideoMAEConfig, classes: int = CLASSES) -> dict[str, Tensor]:
        return file_of(case, config, fill_shapes, videomae_files, classes)

    return make


@pytest.fixture
def save() -> Callable[[Mapping[str, Tensor], Path], None]:
    """Return `save_opentad`."""
    return save_opentad
