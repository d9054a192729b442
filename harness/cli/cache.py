"""Where things are kept that can be made again."""

from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return the folder for what can be made again: synthetic videos, tiny weights, predictions."""
    return Path(platformdirs.user_cache_dir("tadscale"))
