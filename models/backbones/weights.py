"""Reading and writing VideoMAE weights, strictly: a file either fills the network exactly, or it is an error.

The layout is that of the authors (MCG-NJU/VideoMAE, OpenGVLab/VideoMAEv2): a dict of tensors, bare or below the key
`module` or `model`. Files are read with `weights_only=True`: a checkpoint is data and must not run code.
"""

import os
import pickle
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.backbones.videomae import ClipTransformer

CONTAINERS = ("module", "model")
UNUSED_PREFIXES = ("fc_norm.", "head.")
"""Parts of a published file that a feature extractor has no place for."""
UNUSED = ("pos_embed",)
"""A constant that some files hold; it is computed here."""


def save_videomae(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict (of a `VideoMAE` or `ClipClassifier`) so that other VideoMAE code reads it too.

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


@torch.no_grad()
def load_videomae(backbone: ClipTransformer, path: Path) -> None:
    """Fill a backbone (or classifier) from a file; adapters keep their values.

    Raises:
        ValueError: the file cannot be read safely, or does not fit exactly; the network is unchanged then.
    """
    state = read_state(path)
    wanted = {name: value for name, value in backbone.state_dict().items() if ".adapter." not in name}
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted and not _unused(name)]
    if missing or unknown:
        raise ValueError(
            f"{path} does not fit {backbone.config.name}: it lacks {_some(missing)}; it has unknown {_some(unknown)}; "
            f"its keys look like {_layout(state)}, expected the MCG-NJU layout"
        )
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"{path} does not fit {backbone.config.name}: {name} has shape {tuple(state[name].shape)}, "
                f"expected {tuple(value.shape)}; its keys look like {_layout(state)}"
            )
    for name, value in wanted.items():
        value.copy_(state[name])


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint file, out of their container."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # What torch warns of here (old pickle protocols) ends as an error or loads.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist, expected a file of weights") from None
    except pickle.UnpicklingError as error:
        # Torch's own message advises to load it unsafely, so only what it found is repeated.
        found = re.search(r"unsupported (?:global|operand|class)[^\n]*", str(error), re.IGNORECASE)
        reason = f" ({found.group().rstrip('.')})" if found else ""
        raise ValueError(f"{path} holds more than tensors{reason} and was refused: it could run code") from None
    except Exception as error:  # torch raises whatever it trips over: KeyError, IndexError, EOFError, RuntimeError, ...
        raise ValueError(f"{path} is not a file of weights that torch can read: {error!r}") from None
    for container in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds {_describe(content)}, expected a dict of named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path} holds {_describe(value)} under {name!r}, expected a tensor under a name")
    return dict(content)


def _describe(value: object) -> str:
    return "an empty dict" if isinstance(value, Mapping) and not value else f"a {type(value).__name__}"


def _unused(name: str) -> bool:
    return name in UNUSED or name.startswith(UNUSED_PREFIXES)


def _layout(state: Mapping[str, Tensor]) -> str:
    marks = {
        "videomae.": "the Hugging Face layout",
        "backbone.": "the mmaction2 or OpenTAD layout",
        "patch_embed.projection.": "the mmaction2 or OpenTAD layout",
        "encoder.": "a VideoMAE pretraining checkpoint (encoder and decoder)",
        "patch_embed.proj.": "the MCG-NJU layout",
    }
    for mark, layout in marks.items():
        if any(name.startswith((mark, f"module.{mark}")) for name in state):
            return layout
    return "none that is known"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
