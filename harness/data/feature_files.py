"""Reading one array of features from a file of any usual kind, as data and never as code."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

NAMES = ("features", "feats", "feature", "feat", "arr_0")
"""What the array is called where a file holds several."""


class MalformedFeatures(ValueError):
    """A file of features that cannot be used, and why."""


def shape_of(path: Path) -> tuple[int, int]:
    """Return the two lengths of a file's array; a .npy is not read for it.

    Raises:
        MalformedFeatures: there is no such file, or it holds no usable array.
    """
    rows, columns = _open(path).shape
    return rows, columns


def load_array(path: Path) -> Float[ndarray, "rows columns"]:
    """Return a file's array; of a .npy the part that is looked at is read.

    Raises:
        MalformedFeatures: as for `shape_of`.
    """
    return _open(path)


def _open(path: Path) -> Float[ndarray, "rows columns"]:
    readers = {".pt": _from_torch, ".npz": _from_archive}
    try:
        values = readers.get(path.suffix, _from_numpy)(path)
    except FileNotFoundError:
        raise MalformedFeatures(f"there is no file of features {path}") from None
    except MalformedFeatures:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise MalformedFeatures(f"{path} is not a file of features, or is cut short: {reason}") from None
    return _checked(path, values)


def _from_numpy(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _from_archive(path: Path) -> Any:
    # Opened here, because NumPy leaves a damaged archive open.
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, ndarray):  # a .npy under another name
            return archive
        return _one_of(path, {name: archive[name] for name in _wanted(list(archive.files))})


def _from_torch(path: Path) -> Any:
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise MalformedFeatures(f"{path} is not a file of tensors, or is cut short: {reason}") from None
    if isinstance(content, dict):
        content = _one_of(path, {name: content[name] for name in _wanted(list(content))})
    if not isinstance(content, torch.Tensor):
        raise MalformedFeatures(f"{path} holds a {type(content).__name__}, expected a tensor")
    return content.float().numpy()


def _wanted(names: list[Any]) -> list[Any]:
    return names if len(names) == 1 else [name for name in NAMES if name in names][:1] or names


def _one_of(path: Path, arrays: dict[Any, Any]) -> Any:
    if len(arrays) != 1:
        raise MalformedFeatures(
            f"{path} holds {', '.join(map(str, arrays)) or 'nothing'}, expected one array: features"
        )
    return next(iter(arrays.values()))


def _checked(path: Path, values: Shaped[ndarray, "*any"]) -> Float[ndarray, "rows columns"]:
    if not isinstance(values, ndarray) or values.dtype.kind not in "fiu":
        raise MalformedFeatures(f"{path} holds no numbers, expected an array of features")
    shape = [length for length in values.shape if length != 1]
    if len(shape) == 1 and values.ndim >= 2:  # a video with a single feature
        shape = [values.shape[0], *shape] if values.shape[0] == 1 else [*shape, 1]
    if len(shape) != 2 or 0 in shape:
        lengths = " x ".join(map(str, values.shape))
        raise MalformedFeatures(f"{path} has the shape {lengths}, expected time x channels")
    return values.reshape(shape)
