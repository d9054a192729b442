"""Filling a backbone from a file of any known layout, strictly."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from models.adapters import Adapter
from models.backbones.base import Backbone
from models.backbones.build import build_backbone
from models.checkpoints.containers import read_contents
from models.checkpoints.opentad import backbone_part
from models.checkpoints.registry import Recognised, recognise
from models.checkpoints.strict import Fit, compare, fill, some
from models.config import BACKBONES, BackboneConfig

COUNTER = ".num_batches_tracked"
"""How many batches a normalisation's statistics were taken from: it changes nothing, and files may leave it out."""


def load_backbone(backbone: Backbone, path: Path) -> None:
    """Fill a backbone from published or own weights, whatever the file's layout; adapters keep their values.

    Of a whole detector the backbone is taken, without its adapters.

    Raises:
        ValueError: the file cannot be read safely, or does not fit exactly; the network is unchanged then.
    """
    config: BackboneConfig = backbone.config  # type: ignore[assignment]
    tensors = backbone_part(read_contents(path).tensors)
    if not tensors:
        raise ValueError(f"{path} holds no backbone, only what trained beside one; expected weights of {config.name}")
    found = recognise(tensors)
    if found is None:
        raise ValueError(f"{path} does not fit {config.name}: {unrecognised(tensors)}")
    subject = f"{path} does not fit {config.name}: it looks like {found.layout.name}"
    if found.layout.family != config.kind:
        raise ValueError(f"{subject}, expected weights of {config.kind}")
    translated = found.layout.translate(found.tensors, config)
    wanted = wanted_of(backbone)
    if not compare(wanted, translated).exact and (others := fitting(found)):
        subject += f" and fits {', '.join(others)}"
    fill(wanted, translated, subject=subject)


def wanted_of(backbone: Backbone) -> dict[str, Tensor]:
    """Return the tensors that a file of backbone weights has to fill: all but the adapters'."""
    adapters = tuple(f"{name}." for name, module in backbone.named_modules() if isinstance(module, Adapter))
    return {
        name: value
        for name, value in backbone.state_dict().items()
        if not name.startswith(adapters) and not name.endswith(COUNTER)
    }


def unrecognised(tensors: Mapping[str, Tensor]) -> str:
    """Say that no layout knows a file's keys, and name some."""
    return f"its keys are of no layout that is known: {some(list(tensors))}"


def fits_of(found: Recognised) -> dict[str, Fit]:
    """Return how the tensors compare, by name and shape alone, with every named backbone of their family."""
    # Shapes need no values: of a file of gigabytes nothing is copied.
    shapes = {name: torch.empty_like(value, device="meta") for name, value in found.tensors.items()}
    return {
        name: compare(shapes_of(config), found.layout.translate(shapes, config))
        for name, config in BACKBONES.items()
        if config.kind == found.layout.family
    }


def fitting(found: Recognised) -> list[str]:
    """Return the named backbones that the tensors fill exactly, by name and shape."""
    return [name for name, fit in fits_of(found).items() if fit.exact]


@lru_cache(maxsize=len(BACKBONES))
def shapes_of(config: BackboneConfig) -> Mapping[str, Tensor]:
    """Return what a file of weights has to fill in a backbone, without values."""
    with torch.device("meta"):
        return wanted_of(build_backbone(config))
