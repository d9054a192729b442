"""What identifies a file of weights, so that what was trained beside it is never joined with another one."""

import hashlib
from pathlib import Path

SUFFIXES = (".pth", ".pt", ".pyth", ".pkl", ".bin", ".safetensors")
"""Endings of files of weights in a folder."""


def weights_digest(path: Path) -> str:
    """Return 16 hex digits of the content: of the file, or of the weight files of a folder.

    Raises:
        ValueError: there is no such file, or the folder holds no weights.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds no file of weights, expected one that ends in {', '.join(SUFFIXES)}")
    digests = [_sha256(file) for file in files]
    return (digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())[:16]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
