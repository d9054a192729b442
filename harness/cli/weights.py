"""Which file of `--weights` belongs to a backbone."""

from pathlib import Path

from harness.cli.options import UserError
from models.digest import SUFFIXES


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
