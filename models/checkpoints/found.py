"""What detector a file holds: from its tensors to the config that builds it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from models.adapters import Adapter
from models.backbones.build import build_backbone
from models.checkpoints.backbone import fitting, unrecognised
from models.checkpoints.containers import Contents
from models.checkpoints.detector import translate, wanted_of
from models.checkpoints.opentad import backbone_part, count_beside, head_kind, is_opentad
from models.checkpoints.registry import recognise
from models.checkpoints.sizes import PUBLISHED, adapter_of, head_of, shape_of
from models.checkpoints.strict import problem
from models.config import (
    BACKBONES,
    AdapterConfig,
    BackboneConfig,
    DetectorConfig,
    EngineConfig,
    OfflineConfig,
    Tuning,
)
from models.detector import Detector, build_detector

SHELL_FEATURES, SHELL_RESOLUTION = 256, 224
"""Of the detectors that are built to compare names and shapes, which depend on neither."""


@dataclass(frozen=True, kw_only=True)
class DetectorFound:
    """A detector that fits a file. The length of its windows and their resolution are in no file."""

    config: DetectorConfig
    """Builds it. What shapes do not tell (windows of attention, dropout, ...) is that of `setting`, or the default."""
    num_classes: int
    setting: str
    """Data set whose published head has these sizes and classes; empty: none."""
    tunings: tuple[Tuning, ...]
    """What may have trained: a file of all weights does not tell what of them was frozen."""
    backbones: tuple[str, ...]
    """Named backbones that fit; a training checkpoint without frozen weights may fit several."""


def find_detector(contents: Contents) -> DetectorFound:
    """Return the detector that a file holds.

    Raises:
        ValueError: no detector that can be built from the named backbones fits exactly; says what stands in the way.
    """
    found: list[DetectorFound] = []
    problems: list[str] = []
    for backbone in _candidates(contents):
        one = _with_backbone(contents, backbone)
        if trouble := _problem(contents, one):
            problems.append(f"with {backbone.name}, {trouble}")
        else:
            found.append(one)
    if not found:
        raise ValueError(min(problems, key=len) if problems else "no named backbone has as many channels as its head")
    names = tuple(one.config.backbone.name for one in found)
    first = found[0]
    return DetectorFound(
        config=first.config,
        num_classes=first.num_classes,
        setting=first.setting,
        tunings=first.tunings,
        backbones=names,
    )


def _candidates(contents: Contents) -> Iterator[BackboneConfig]:
    """Yield the backbones that the file's own, or the channels its head and adapters want, leave possible."""
    part = backbone_part(contents.tensors)
    if part:
        found = recognise(part)
        if found is None:
            raise ValueError(f"of its backbone, {unrecognised(part)}")
        names = fitting(found)
        if not names:
            raise ValueError(f"its backbone is {found.layout.name} of no size that is known")
        yield from (BACKBONES[name] for name in names)
        return
    channels = _channels(contents.tensors)
    if is_opentad(contents.tensors) or not any("adapter" in name for name in contents.tensors):
        yield OfflineConfig(name="features", channels=channels)
    if not is_opentad(contents.tensors):
        yield from (config for config in BACKBONES.values() if config.channels == channels)


def _with_backbone(contents: Contents, backbone: BackboneConfig) -> DetectorFound:
    own = _own_names(contents, backbone)
    head, num_classes, setting = head_of(_below(own, "head."))
    inside = {number: _below(own, f"backbone.{place}.") for number, place in enumerate(_places(backbone))}
    beside = {number: _below(own, f"ladder.adapters.{number}.") for number in range(backbone.layers)}
    outside = any(beside.values())
    adapters = {number: shapes for number, shapes in (beside if outside else inside).items() if shapes}
    adapter = adapter_of(adapters, backbone.layers, outside=outside)
    tunings = _tunings(contents, backbone, adapter)
    config = DetectorConfig(backbone=backbone, tuning=tunings[0], adapter=adapter, head=head)
    return DetectorFound(
        config=config, num_classes=num_classes, setting=setting, tunings=tunings, backbones=(backbone.name,)
    )


def _tunings(contents: Contents, backbone: BackboneConfig, adapter: AdapterConfig | None) -> tuple[Tuning, ...]:
    if isinstance(backbone, OfflineConfig):
        return ("features",)
    has_backbone = bool(backbone_part(contents.tensors))
    training = contents.container in ("trainable", "ema")
    if adapter is not None:
        if training and has_backbone:
            return ("full",)
        # OpenTAD trains nothing else where it has adapters, and no gradient passes those beside the backbone.
        alone = training or is_opentad(contents.tensors) or adapter.placement == "outside"
        return ("adapter",) if alone else ("adapter", "full")
    if training:
        return ("full",) if has_backbone else ("frozen",)
    return ("full", "frozen")


def _own_names(contents: Contents, backbone: BackboneConfig) -> Mapping[str, Tensor]:
    """Return the file's tensors under our names, before its config is known."""
    if not is_opentad(contents.tensors):
        return contents.tensors
    kind = head_kind(contents.tensors)
    if not kind:
        raise ValueError(f"its head is none of {', '.join(PUBLISHED)}")
    number = count_beside(contents.tensors)
    ladder = AdapterConfig(placement="outside", last_layers=number) if number else None
    tuning: Tuning = "features" if isinstance(backbone, OfflineConfig) else "adapter" if ladder else "full"
    head = next(iter(PUBLISHED[kind].values()))
    provisional = DetectorConfig(backbone=backbone, tuning=tuning, adapter=ladder, head=head)
    return translate(contents, provisional).state


def _problem(contents: Contents, found: DetectorFound) -> str:
    """Say why the file does not fit the detector it seems to hold; empty if it does."""
    shell = _shell(found.config, found.num_classes)
    return problem(wanted_of(shell, contents), translate(contents, found.config))


@lru_cache(maxsize=8)
def _shell(config: DetectorConfig, num_classes: int) -> Detector:
    with torch.device("meta"):
        return build_detector(
            config,
            num_classes=num_classes,
            features=SHELL_FEATURES,
            resolution=SHELL_RESOLUTION,
            engine=EngineConfig(),
        )


@lru_cache(maxsize=len(BACKBONES))
def _places(backbone: BackboneConfig) -> tuple[str, ...]:
    """Return the names of the adapters inside a backbone, in the order of its blocks."""
    if isinstance(backbone, OfflineConfig):
        return ()
    with torch.device("meta"):
        network = build_backbone(backbone, AdapterConfig())
    return tuple(name for name, module in network.named_modules() if isinstance(module, Adapter))


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _channels(tensors: Mapping[str, Tensor]) -> int:
    """Return the channels of a feature cell, which the head's first layer takes."""
    for name in ("head.pyramid.embedding.0.conv.weight", "projection.embed.0.conv.weight"):
        if name in tensors:
            return shape_of(tensors, name, 3)[1]
    for name in ("head.projection.weight", "projection.convs.0.conv.weight"):
        if name in tensors:
            return 4 * shape_of(tensors, name, 3)[1]
    raise ValueError("its head is none that is known here")
