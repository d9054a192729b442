"""Folders of weights as Hugging Face's libraries write them: one file, or shards with an index."""

import json
from collections.abc import Mapping
from pathlib import Path

from models.checkpoints.reading import read_file

WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def read_folder(folder: Path) -> object:
    """Return what the folder's weights hold; safetensors are preferred.

    Raises:
        ValueError: the folder holds no weights, or its index names files that are not there.
    """
    for whole, index in zip(WHOLE, INDEXES, strict=True):
        if (folder / whole).is_file():
            return read_file(folder / whole)
        if (folder / index).is_file():
            return _read_shards(folder, folder / index)
    raise ValueError(f"{folder} is a folder without weights, expected {WHOLE[0]} or {WHOLE[1]} in it (or their shards)")


def _read_shards(folder: Path, index: Path) -> dict[object, object]:
    weight_map = _weight_map(index)
    tensors: dict[object, object] = {}
    for name in sorted(set(weight_map.values())):
        # A name with a separator could lead out of the folder.
        if Path(name).name != name:
            raise ValueError(f"{index} names the shard {name!r}, expected the name of a file beside it")
        content = read_file(folder / name)
        if not isinstance(content, Mapping):
            raise ValueError(f"{folder / name} holds a {type(content).__name__}, expected named tensors")
        tensors |= content
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise ValueError(f"{index} promises {missing[0]}, which is in none of its shards ({len(missing)} such tensors)")
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(file) for name, file in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{index} is not an index of shards, expected a JSON object with a weight_map") from None
