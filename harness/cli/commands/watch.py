"""`tadscale watch`: a running study from another terminal, what it has come to and what it will cost."""

import argparse
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from harness.cli.arguments import UserError, price_per_hour
from harness.units import format_bytes, format_seconds

STALE_S = 60.0
"""A file this old was left by a study that was killed, or that is stuck."""
LINE_EVERY_S = 10.0
"""Seconds between two lines where the output is a file."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "watch",
        help="look at a running study from another terminal",
        description="Show a study that is running: trials by state, the running ones with epoch, loss, mAP and memory "
        "against its prediction, the time that is left, the use of this machine's GPUs, and the cost.",
    )
    parser.add_argument("study", nargs="?", metavar="STUDY", help="name below --results (default: the one that runs)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    parser.add_argument(
        "--price-per-hour",
        "--price",
        dest="price",
        type=price_per_hour,
        metavar="X",
        help="price of all machines for an hour, in any currency; shows what the study has cost and will cost",
    )
    parser.add_argument("--once", action="store_true", help="say it once and end")
    return parser


def run(given: argparse.Namespace) -> int:
    """Show the study until it ends, or once."""
    file = _find(given.results, given.study)
    console = Console(highlight=False, soft_wrap=True)
    if given.once:
        console.print(render(_read(file) or {}, given.price))
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            _live(file, given.price, console)
        else:
            _lines(file, given.price, console)
    return 0


def render(state: Mapping[str, Any], price: float | None) -> RenderableType:
    """Return the study as text and a table of what runs."""
    from harness.orchestrate.screen import screen

    if not state:
        return Text("the study has ended", style="bold")
    more = beside(state)
    shown = screen(state, price)
    return Group(shown, Text(", ".join(more), style="dim")) if more else shown


def summary(state: Mapping[str, Any], price: float | None) -> str:
    """Return counts, time left and cost in one line."""
    from harness.orchestrate import screen

    if not state:
        return "the study has ended"
    return ", ".join([screen.summary(state, price), *beside(state)])


def beside(state: Mapping[str, Any]) -> list[str]:
    """Return what the study does not write itself: the use of this machine's GPUs, and whether it fell silent."""
    from harness.orchestrate import gpu_use

    parts = [f"GPU {i} {busy:.0f} % {format_bytes(used)}" for i, (busy, used) in enumerate(gpu_use.query())]
    age = time.time() - state["written"]
    if age > STALE_S:
        parts.append(f"not heard of for {format_seconds(age)} (process {state['pid']} on {state['host']})")
    return parts


def _find(results: Path, study: str | None) -> Path:
    from harness.orchestrate.live import FILE

    files = sorted(results.glob(f"{study or '*'}/{FILE}"))
    if not files:
        which = f"study {study}" if study else "study"
        raise UserError(f"no {which} is running below {results}; expected --results as it was given to the study")
    if len(files) > 1:
        names = ", ".join(file.parent.name for file in files)
        raise UserError(f"several studies are running below {results}: {names}; expected one of them")
    return files[0]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None


def _live(file: Path, price: float | None, console: Console) -> None:
    with Live(console=console, refresh_per_second=2) as live:
        while (state := _read(file)) is not None:
            live.update(render(state, price))
            time.sleep(1.0)
        live.update(render({}, price))


def _lines(file: Path, price: float | None, console: Console) -> None:
    while (state := _read(file)) is not None:
        console.print(summary(state, price))
        time.sleep(LINE_EVERY_S)
    console.print(summary({}, price))
