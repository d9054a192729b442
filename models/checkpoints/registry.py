"""Every layout of a backbone's weights that is known, and how a file is recognised as one of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from models.checkpoints import slowfast, video_swin, videomae
from models.checkpoints.layout import Layout

LAYOUTS: tuple[Layout, ...] = (*videomae.LAYOUTS, *slowfast.LAYOUTS, *video_swin.LAYOUTS)
PREFIXES = ("backbone.", "model.", "encoder.")
"""What frameworks put before a backbone's names: OpenMMLab; Lightning and OpenGVLab's own Hugging Face models;
VideoMAE's fine-tuning code."""


@dataclass(frozen=True)
class Recognised:
    """A file's tensors with the layout they are of."""

    layout: Layout
    tensors: dict[str, Tensor]
    """Without the framework's prefix."""


def recognise(tensors: Mapping[str, Tensor]) -> Recognised | None:
    """Return the layout of a backbone's tensors, or None if no layout knows such names."""
    for candidate in _without_prefixes(tensors):
        for layout in LAYOUTS:
            if layout.recognise(candidate.keys()):
                return Recognised(layout, candidate)
    return None


def _without_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors as they are, then with one prefix removed where it stands, then with a second one."""
    candidate = dict(tensors)
    yield candidate
    for _ in range(2):
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in candidate)), None)
        if prefix is None:
            return
        candidate = {name.removeprefix(prefix): value for name, value in candidate.items()}
        yield candidate
