"""What a checkpoint layout is: one public way of naming a network's tensors.

file -> reading.py: named tensors, out of their container -> a layout recognises the names -> translate -> our names
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A checkpoint under our names. Every key of the file is accounted for, or stands in `unknown`."""

    state: dict[str, Tensor]
    """Tensors by the names of the network's `state_dict()`."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Keys of the file that the network has no place for, and why that is right (a classifier, a decoder, ...)."""
    unknown: tuple[str, ...] = ()
    """Keys of the file that the layout does not know; any is an error."""
    refused: dict[str, str] = field(default_factory=dict)
    """Keys of the file whose values the network would not honour (learned positions, a key bias that is not zero), and
    why; any is an error."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One public way of naming a network's tensors."""

    name: str
    """For people: who writes such files."""
    family: str
    """`kind` of the backbone config whose network it fills."""
    recognise: Callable[[Collection[str]], bool]
    """Whether a file with these keys is of this layout."""
    translate: Callable[[Mapping[str, Tensor], Any], Translated]
    """Rename, split, join or transpose the tensors for a backbone config; values of shapes that do not fit are passed
    on as they are, so that the strict loader can name them. Tensors may be on the meta device, where only their shapes
    are asked for."""
    note: str = ""
    """What a user should know before using such a file; empty: nothing."""
