"""`tadscale watch`: a running study from another terminal, what it has come to and what it will cost."""

import argparse
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli.options import UserError
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
    parser.add_argument("--price", type=float, metavar="X", help="price of the machines per hour, in any currency")
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
    head = Text(summary(state, price), style="bold")
    runs = state.get("running", [])
    if not runs:
        return head
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("trial", overflow="fold")
    for name in ("epoch", "loss", "mAP %", "memory", "predicted", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in runs:
        table.add_row(Text(found["trial"]), *_cells(found))
    return Group(head, table)


def summary(state: Mapping[str, Any], price: float | None) -> str:
    """Return counts, time left and cost in one line."""
    if not state:
        return "the study has ended"
    parts = [f"{state['done']} of {state['total']} trials done", f"{len(state['running'])} running"]
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in state["states"].items() if name != "finished"]
    left = state["left_s"]
    if left is not None:
        parts.append(f"about {format_seconds(left)} left")
    if price is not None:
        spent = price * state["seconds"] / 3600
        rest = "" if left is None else f" of about {spent + price * left / 3600:.2f}"
        parts.append(f"cost {spent:.2f}{rest}")
    parts += gpu_use()
    age = time.time() - state["written"]
    if age > STALE_S:
        parts.append(f"not heard of for {format_seconds(age)} (process {state['pid']} on {state['host']})")
    return ", ".join(parts)


def gpu_use() -> list[str]:
    """Return how busy and how full this machine's GPUs are; empty where there are none."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    rows = [line.split(",") for line in answer.stdout.splitlines() if line.count(",") == 1]
    return [f"GPU {i} {use.strip()} % {float(used) / 1024:.1f} GiB" for i, (use, used) in enumerate(rows)]


def _cells(found: Mapping[str, Any]) -> list[str]:
    epoch = "" if found["epoch"] is None else f"{found['epoch']}/{found['epochs']}"
    loss = "" if found["loss"] is None else f"{found['loss']:.3f}"
    score = "" if found["map_avg"] is None else f"{100 * found['map_avg']:.1f}"
    memory = [
        "" if found[name] is None else format_bytes(found[name]) for name in ("peak_bytes", "predicted_peak_bytes")
    ]
    return [epoch, loss, score, *memory, format_seconds(found["seconds"])]


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
