"""Writing weights so that this project and other VideoMAE code read them."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def save_backbone(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a backbone's or classifier's state dict in its authors' layout: the tensors below the key `module`.

    The file appears whole or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().clone() for name, value in state.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"module": tensors}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
