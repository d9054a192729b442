"""From what a file holds to its named tensors: out of the container, without the wrappers' prefixes.

{"module": {...}}, {"state_dict": {...}, "optimizer": ...}, {...} -> `Contents`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.folders import read_folder
from models.checkpoints.reading import read_file

PLAIN = ("state_dict", "model", "module", "model_state", "model_state_dict", "trainable")
"""Where files keep their tensors: OpenMMLab and OpenTAD; VideoMAE's code; DeepSpeed; PySlowFast; many; ours."""
AVERAGED = ("state_dict_ema", "model_ema", "ema")
"""Where they keep the moving average of their tensors."""
FACT_LENGTH = 80
"""A longer text beside the tensors is a config or a log."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The named tensors of a file."""

    tensors: dict[str, Tensor]
    container: str = ""
    """Top-level entry that held them; empty: they were the file itself."""
    averaged: bool = False
    """Whether they are a moving average over the training."""
    facts: dict[str, str | int] = field(default_factory=dict)
    """Top-level entries that are a whole number or a few words, such as the epoch."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file or folder of weights, out of their container and without wrappers' prefixes.

    Raises:
        ValueError: there is no such file, it cannot be read safely, or it holds no named tensors.
    """
    return read_contents(path).tensors


def read_contents(path: Path, *, averaged: bool = False) -> Contents:
    """Return the named tensors and what is known of them.

    Args:
        path: a file, or a folder as Hugging Face's libraries write it.
        averaged: prefer the moving average where the file holds both; the other way round otherwise.

    Raises:
        ValueError: as for `read_state`.
    """
    content = read_folder(path) if path.is_dir() else read_file(path)
    container = _container(content, averaged)
    found = content[container] if container else content  # type: ignore[index]
    tensors = dict(_checked(path, name, value) for name, value in _mapping(path, found).items())
    outer: Mapping[object, object] = content if container else {}  # type: ignore[assignment]
    return Contents(
        tensors=unwrapped(tensors),
        container=container,
        averaged=container in AVERAGED,
        facts={str(name): value for name, value in outer.items() if _is_fact(value)},  # type: ignore[misc]
    )


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without prefixes that wrappers put before every name, however many."""
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return unwrapped({name.removeprefix(prefix): value for name, value in tensors.items()})
    return dict(tensors)


def _container(content: object, averaged: bool) -> str:
    if not isinstance(content, Mapping):
        return ""
    order = (*AVERAGED, *PLAIN) if averaged else (*PLAIN, *AVERAGED)
    return next((name for name in order if isinstance(content.get(name), Mapping)), "")


def _mapping(path: Path, found: object) -> Mapping[object, object]:
    if isinstance(found, Mapping) and found:
        return found
    raise ValueError(f"{path} holds {_describe(found)}, expected a dict of named tensors")


def _checked(path: Path, name: object, value: object) -> tuple[str, Tensor]:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise ValueError(f"{path} holds {_describe(value)} under {name!r}, expected a tensor under a name")
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise ValueError(f"{path} holds a sparse, quantised or empty tensor under {name!r}, expected a plain one")
    return name, value.detach()


def _is_fact(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and 0 < len(value) <= FACT_LENGTH)


def _describe(value: object) -> str:
    if isinstance(value, Mapping):
        return "an empty dict" if not value else "a dict"
    return f"a {type(value).__name__}"
