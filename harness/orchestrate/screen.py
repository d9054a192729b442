"""How a running study looks, from the plain values of its tally: on its own terminal, and in `tadscale watch`."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

State = Mapping[str, Any]
COLUMNS = ("epoch", "loss", "mAP %", "memory", "predicted", "GPU", "time")


def screen(state: State, price: float | None = None) -> RenderableType:
    """Return counts and a table of what runs.

    Args:
        state: what `Tally.snapshot` returned.
        price: of all machines for an hour, if it is known.
    """
    head = Text(f"{summary(state, price)}  ·  {duration(state['seconds'])}", style="bold")
    if not state["running"]:
        return head
    rows = [cells(run) for run in state["running"]]
    # A CPU has no GPU to show, and many heads no mAP before the end.
    names = [name for name in COLUMNS if name == "epoch" or any(row[name] for row in rows)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("trial", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for run, row in zip(state["running"], rows, strict=True):
        table.add_row(Text(run["trial"]), *(row[name] for name in names))
    return Group(head, table)


def summary(state: State, price: float | None = None) -> str:
    """Return counts by state, the time that is left and the cost, in one line."""
    parts = [f"{state['done']} of {state['total']} trials done", f"{len(state['running'])} running"]
    parts += [f"{state['waiting']} waiting"] if state["waiting"] else []
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in state["states"].items() if name != "finished"]
    left_s = state["left_s"]
    if state["stopping"]:
        parts.append("stopping")
    elif not state["slots"] and not state["running"]:
        parts.append("starting Ray workers")
    elif left_s is not None:
        parts.append(f"about {duration(left_s)} left")
    if price is not None:
        spent = price * state["seconds"] / 3600
        parts.append(f"cost {spent:.2f}" + ("" if left_s is None else f" of about {spent + price * left_s / 3600:.2f}"))
    return ", ".join(parts)


def line(run: State) -> str:
    """Return a running trial in one line, for a log file."""
    shown = cells(run)
    parts = [f"epoch {shown['epoch'] or '0'}", *(f"{name} {shown[name]}" for name in ("loss",) if shown[name])]
    parts += [f"mAP {shown['mAP %']}"] if shown["mAP %"] else []
    parts += [figures] if (figures := memory(run)) else []
    parts += [f"GPU {shown['GPU']}"] if shown["GPU"] else []
    return f"{run['trial']}: {', '.join(parts)}"


def cells(run: State) -> dict[str, str]:
    """Return the columns of a running trial."""
    epoch = "" if run["epoch"] is None else f"{run['epoch']}/{run['epochs']}"
    if not epoch and run.get("extracted") is not None:
        epoch = f"features {run['extracted']}/{run['videos']}"
    busy, used = run.get("gpu_percent"), run.get("gpu_used_bytes")
    return {
        "epoch": epoch,
        "loss": number(run["loss"], ".3f"),
        "mAP %": percent(run["map_avg"]),
        "memory": amount(run["peak_bytes"]),
        "predicted": amount(run["predicted_peak_bytes"]),
        "GPU": "" if busy is None else f"{busy:.0f} % {amount(used)}",
        "time": duration(run["seconds"]),
    }


def memory(run: State) -> str:
    """Return measured against predicted memory; empty where nothing was measured yet."""
    measured, predicted = amount(run["peak_bytes"]), amount(run["predicted_peak_bytes"])
    return f"{measured} (predicted {predicted})" if measured and predicted else measured


def duration(seconds: float) -> str:
    """Return seconds as people say them: `41 s`, `6 min 30 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(value: object, form: str) -> str:
    """Return a number in a form, and nothing for what is none."""
    return format(value, form) if isinstance(value, int | float) else ""


def percent(value: object) -> str:
    """Return a share as its percentage, as mAP is read."""
    return f"{100 * value:.1f}" if isinstance(value, int | float) else ""


def amount(value: object) -> str:
    """Return bytes in few digits."""
    if not isinstance(value, int | float):
        return ""
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
