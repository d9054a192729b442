"""What a file of weights is, which backbone or detector it fits, and what stands in the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from models.checkpoints.backbone import fits_of, shapes_of, unrecognised
from models.checkpoints.containers import Contents, read_contents, unwrapped
from models.checkpoints.detector import detector_name, translate
from models.checkpoints.found import DetectorFound, find_detector
from models.checkpoints.layout import Translated
from models.checkpoints.registry import Recognised, recognise
from models.checkpoints.strict import problem
from models.config import BACKBONES


@dataclass(frozen=True, kw_only=True)
class Identified:
    """What is known of a file of weights."""

    container: str
    """Top-level entry that holds the tensors; empty: they are the file itself."""
    averaged: bool
    """Whether they are a moving average over the training."""
    facts: Mapping[str, str | int]
    """Numbers and words beside the tensors, such as the epoch."""
    num_tensors: int
    num_values: int
    dtypes: tuple[str, ...]
    layout: str = ""
    """Who names tensors so; empty: nobody who is known."""
    family: str = ""
    """`kind` of the backbone; empty: unknown."""
    backbones: tuple[str, ...] = ()
    """Named backbones that it fills exactly."""
    nearest: str = ""
    """The named backbone that `problem` compares with."""
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys that have no place in the network, by the reason why that is right."""
    note: str = ""
    """What a user should know before using it."""
    detector: DetectorFound | None = None
    """The whole detector it holds, if it is one that can be built."""
    problem: str = ""
    """Why it cannot be used; empty: it can."""


def identify(source: Path | Mapping[str, Tensor], *, backbone: str | None = None) -> Identified:
    """Say what a file or state dict is. What it finds usable, loading accepts.

    Args:
        source: a file, a folder as Hugging Face's libraries write it, or named tensors.
        backbone: the name of the backbone it is wanted for; None: any.

    Raises:
        ValueError: the file cannot be read safely or holds no named tensors, or there is no backbone of this name.
    """
    if backbone is not None and backbone not in BACKBONES:
        raise ValueError(f"the backbone is {backbone}, expected one of {', '.join(BACKBONES)}")
    contents = _contents(source)
    if name := detector_name(contents):
        return _detector(contents, name, backbone)
    found = recognise(contents.tensors)
    if found is None:
        return replace(_counted(contents), problem=unrecognised(contents.tensors))
    return _backbone(contents, found, backbone)


def _contents(source: Path | Mapping[str, Tensor]) -> Contents:
    if not isinstance(source, Path):
        return Contents(tensors=unwrapped(source))
    contents = read_contents(source)
    # As loading does: of a detector the average, of a backbone the weights themselves.
    return read_contents(source, averaged=True) if detector_name(contents) else contents


def _backbone(contents: Contents, found: Recognised, wanted: str | None) -> Identified:
    layout = found.layout
    known = replace(_counted(contents), layout=layout.name, family=layout.family, note=layout.note)
    if wanted is not None and BACKBONES[wanted].kind != layout.family:
        trouble = f"it looks like {layout.name}, expected weights of {BACKBONES[wanted].kind}"
        return replace(known, problem=trouble)
    fits = fits_of(found)
    # A file that was cut or extended is nearest to the size it was, whose other tensors have the right shapes.
    nearest = wanted or min(fits, key=lambda name: (len(fits[name].misshapen), fits[name].distance))
    translated = layout.translate(found.tensors, BACKBONES[nearest])
    trouble = problem(shapes_of(BACKBONES[nearest]), translated)
    return replace(
        known,
        backbones=tuple(name for name, fit in fits.items() if fit.exact and not (name == nearest and trouble)),
        nearest=nearest,
        ignored=_by_reason(translated),
        problem=f"compared with {nearest}, {trouble}" if trouble else "",
    )


def _detector(contents: Contents, name: str, wanted: str | None) -> Identified:
    known = replace(_counted(contents), layout=name)
    try:
        found = find_detector(contents)
    except ValueError as error:
        return replace(known, problem=str(error))
    trouble = ""
    if wanted is not None and wanted not in found.backbones:
        trouble = f"its backbone is {' or '.join(found.backbones)}, expected {wanted}"
    return replace(
        known,
        family=found.config.backbone.kind,
        backbones=tuple(name for name in found.backbones if name in BACKBONES),
        nearest=found.config.backbone.name,
        ignored=_by_reason(translate(contents, found.config)),
        detector=found,
        problem=trouble,
    )


def _counted(contents: Contents) -> Identified:
    """Return what is known of a file before its keys are looked at."""
    tensors = contents.tensors.values()
    return Identified(
        container=contents.container,
        averaged=contents.averaged,
        facts=contents.facts,
        num_tensors=len(tensors),
        num_values=sum(value.numel() for value in tensors),
        dtypes=tuple(sorted({str(value.dtype).removeprefix("torch.") for value in tensors})),
    )


def _by_reason(translated: Translated) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in translated.ignored.items():
        reasons.setdefault(reason, []).append(name)
    return {reason: tuple(names) for reason, names in reasons.items()}
