"""Strictness: a checkpoint fills a network exactly, or nothing is changed and one sentence says what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.checkpoints.layout import Translated

NAMED = 3
"""So many differing keys are named; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a translated checkpoint compares with the tensors a network wants."""

    lacking: tuple[str, ...]
    """Tensors of the network that the file does not fill."""
    unknown: tuple[str, ...]
    """Keys of the file that the network has no place for."""
    misshapen: tuple[str, ...]
    """Tensors whose shapes differ, and how."""
    refused: tuple[str, ...]
    """Keys whose values the network would not honour, and why."""

    @property
    def exact(self) -> bool:
        """Whether the checkpoint can be loaded."""
        return self.distance == 0

    @property
    def distance(self) -> int:
        """How many tensors stand in the way."""
        return len(self.lacking) + len(self.unknown) + len(self.misshapen) + len(self.refused)

    def __str__(self) -> str:
        """Say what differs, the first keys of each kind."""
        parts = (
            _part("it lacks", self.lacking),
            _part("it has unknown", self.unknown),
            _part("", self.misshapen),
            _part("", self.refused),
        )
        return "; ".join(part for part in parts if part) or "everything fits"


def compare(wanted: Mapping[str, Tensor], translated: Translated) -> Fit:
    """Return how a checkpoint compares with the tensors a network wants."""
    state = translated.state
    return Fit(
        lacking=tuple(name for name in wanted if name not in state),
        unknown=(*translated.unknown, *(name for name in state if name not in wanted)),
        misshapen=tuple(
            f"{name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in state and state[name].shape != value.shape
        ),
        refused=tuple(f"{name} {reason}" for name, reason in translated.refused.items()),
    )


def problem(wanted: Mapping[str, Tensor], translated: Translated) -> str:
    """Say why a checkpoint cannot be loaded; empty if it can.

    Besides names and shapes, the values must be numbers: a weight that is infinite or no number was damaged, or
    written by a training that had diverged.
    """
    fit = compare(wanted, translated)
    if not fit.exact:
        return str(fit)
    return _part("not numbers are the values of", [n for n in wanted if not _numbers(translated.state[n], wanted[n])])


@torch.no_grad()
def fill(wanted: Mapping[str, Tensor], translated: Translated, *, subject: str) -> None:
    """Copy a checkpoint into a network's tensors.

    Args:
        wanted: the network's tensors, which share memory with it.
        translated: the checkpoint under the network's names.
        subject: starts the error: which file does not fit which network and what the file looks like.

    Raises:
        ValueError: it does not fit exactly, or holds values that are no numbers; nothing has been copied then.
    """
    if found := problem(wanted, translated):
        raise ValueError(f"{subject}: {found}")
    for name, value in wanted.items():
        value.copy_(translated.state[name])


def some(names: Sequence[str]) -> str:
    """Name the first few and count the rest."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _part(verb: str, names: Sequence[str]) -> str:
    return f"{verb} {some(names)}".strip() if names else ""


def _numbers(value: Tensor, wanted: Tensor) -> bool:
    """Whether the values are finite; a weight stored as integers is no weight, a counter may be."""
    if value.is_complex() or (wanted.is_floating_point() and wanted.dim() and not value.is_floating_point()):
        return False
    if value.is_floating_point() and value.element_size() == 1:  # torch cannot look at 8-bit floats
        value = value.float()
    return value.is_meta or bool(torch.isfinite(value).all())
