"""Where to look at a study while it runs: one command per tool, each served to this machine only."""

import os
import shlex
from pathlib import Path

LOOPBACK = "--host 127.0.0.1"


def where_to_look(folder: Path) -> list[str]:
    """Return the lines: the study's own display, then the tools that draw it in a browser.

    Args:
        folder: the study's folder.
    """
    from harness.orchestrate.history import FILE
    from harness.orchestrate.tensorboard import FOLDER

    # `uv run` sets it; its environment is not that of the terminal where the command will be typed.
    uv = "UV" in os.environ
    tool = "uv run --with {0} {0}" if uv else "{0}"
    quoted = {name: shlex.quote(str(folder / name)) for name in (FILE, FOLDER)}
    results = shlex.quote(str(folder.parent))
    return [
        "to look at it from another terminal:",
        f"  {'uv run ' if uv else ''}tadscale watch {shlex.quote(folder.name)} --results {results}",
        f"  {tool.format('tensorboard')} --logdir {quoted[FOLDER]} {LOOPBACK}",
        f"  {tool.format('optuna-dashboard')} {quoted[FILE]} {LOOPBACK}",
    ]
