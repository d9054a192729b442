"""Which file of `--weights` belongs to a backbone, and what identifies it."""

import hashlib
from pathlib import Path

from harness.cli.options import UserError

SUFFIXES = (".pth", ".pt", ".pyth", ".pkl", ".bin", ".safetensors")


def weights_file(path: Path, name: str) -> Path:
    """Return the file (or folder, in the layout of Hugging Face) with a backbone's weights, as an absolute path.

    Args:
        path: the file itself, a Hugging Face folder, or a folder that holds one of either for every backbone.
        name: the backbone's name, which is that of the file in a folder of several.

    Raises:
        UserError: there is none, or more than one.
    """
    path = path.resolve()
    if path.is_file() or (path / "config.json").is_file():
        return path
    folder = path / name
    candidates = [file for suffix in SUFFIXES if (file := path / f"{name}{suffix}").is_file()]
    candidates += [folder] if (folder / "config.json").is_file() else []
    if not candidates:
        raise UserError(f"--weights is {path}, expected a file, or a folder with {name}.pth")
    if len(candidates) > 1:
        names = " and ".join(file.name for file in candidates)
        raise UserError(f"--weights is {path}, which holds {names}, expected one of them")
    return candidates[0]


def file_identity(path: Path) -> str:
    """Return 16 hex digits of the content: of the file, or of the weight files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise UserError(f"--weights is {path}, which holds no file of weights")
    digests = [_sha256(file) for file in files]
    return (digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
