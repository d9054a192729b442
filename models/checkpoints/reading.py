"""Reading files of weights: any common format in, plain Python containers of tensors out, and no code is run.

    .pth .pt .pyth .pkl .bin     torch.load(weights_only=True), with stand-ins for harmless metadata
    .safetensors                 safetensors
    a folder                     Hugging Face's: safetensors or .bin, whole or in shards (`folders.py`)

A checkpoint is data. Whatever else a file turns out to be, it is refused with one sentence.
"""

import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.checkpoints.standins import STAND_INS

ZIP = b"PK\x03\x04"
LFS_POINTER = b"version https://git-lfs"
PAGE_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")
ASKS_FOR = re.compile(r"GLOBAL ([\w.]+)")
"""How torch names the function or class that a file asks for; the rest of its message advises to load it unsafely."""
CALLS = re.compile(r"reduce|Can only|Only persistent")
"""What it says where a file does with an object what only data of known types may have done to them."""


def read_file(path: Path) -> object:
    """Return what a file holds, tensors mapped from the disk where the format allows.

    Raises:
        ValueError: there is no such file, it is not one of weights, or it holds more than data.
    """
    start = _start(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(f"{path} is not a readable safetensors file, or is cut short: {error}") from None
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(STAND_INS):
            # What torch warns of here (old pickle protocols) ends as an error or loads.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(ZIP))
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, error)) from None
    except Exception as error:  # torch raises whatever it trips over: KeyError, IndexError, EOFError, RuntimeError, ...
        if start.startswith(ZIP) and "central directory" in str(error):
            raise ValueError(f"{path} is cut short: it starts as a file of weights but has no end") from None
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise ValueError(f"{path} is not a file of weights that torch can read, or is cut short: {reason}") from None


def _start(path: Path) -> bytes:
    """Return the file's first bytes, if they could be those of weights."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist, expected a file or folder of weights") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    if not start:
        raise ValueError(f"{path} is empty, expected a file of weights")
    if start.startswith(LFS_POINTER):
        raise ValueError(f"{path} is a Git LFS pointer, not the weights it points to; `git lfs pull` fetches them")
    if start.lstrip().lower().startswith(PAGE_STARTS):
        raise ValueError(f"{path} is a web page, not weights: the download got a login, quota or error page")
    return start


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    if name := ASKS_FOR.search(str(error)):
        return f"{path} holds more than tensors (it asks for {name[1].rstrip('.')}) and was refused: it could run code"
    if CALLS.search(str(error)):
        return f"{path} holds more than tensors and was refused: it could run code"
    return f"{path} is not a file of weights that torch can read, or is cut short"
