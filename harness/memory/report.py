"""Predictions for people: where the gigabytes go, when, and what the step costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.memory.devices import Device
from harness.memory.predict import Prediction
from harness.units import GIB, format_bytes, format_seconds

CATEGORIES: Mapping[str, str] = {
    "frozen weights": "#8C8C8C",
    "trainable weights": "#0072B2",
    "gradients": "#3A9BD9",
    "optimiser": "#56B4E9",
    "average": "#A6CEE3",
    "buckets": "#D9D9D9",
    "inputs": "#B07D00",
    "activations kept": "#D55E00",
    "head": "#B5538D",
    "transient": "#009E73",
    "workspace": "#333333",
}
"""Every category in the order in which it is shown, with its colour."""


def by_category(prediction: Prediction) -> dict[str, int]:
    """Return a prediction's bytes in the order in which they are shown."""
    found = prediction.breakdown
    return {name: found[name] for name in (*CATEGORIES, *(n for n in found if n not in CATEGORIES)) if found.get(name)}


def breakdown_table(predictions: Mapping[str, Prediction], title: str) -> Any:
    """Return a rich table with a column per named prediction."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("at the peak")
    for name in predictions:
        table.add_column(name, justify="right")
    parts = {name: by_category(prediction) for name, prediction in predictions.items()}
    for category in dict.fromkeys(category for part in parts.values() for category in part):
        table.add_row(category, *(format_bytes(part[category]) if category in part else "-" for part in parts.values()))
    table.add_section()
    table.add_row("device, in all", *(format_bytes(each.peak_bytes) for each in predictions.values()), style="bold")
    table.add_row("allocator would reserve", *(format_bytes(each.reserved_bytes) for each in predictions.values()))
    table.add_row("host", *(format_bytes(each.host_bytes) for each in predictions.values()))
    table.add_row("10^12 operations a step", *(f"{each.flops / 1e12:.1f}" for each in predictions.values()))
    return table


def moments(predictions: Mapping[str, Prediction]) -> list[str]:
    """Return a sentence on each prediction's worst moment."""
    return [f"{name}: the peak is in {prediction.moment}" for name, prediction in predictions.items()]


def as_json(prediction: Prediction, device: Device) -> dict[str, Any]:
    """Return a prediction as plain values."""
    return {
        "peak_bytes": prediction.peak_bytes,
        "breakdown": by_category(prediction),
        "moment": prediction.moment,
        "reserved_bytes": prediction.reserved_bytes,
        "host_bytes": prediction.host_bytes,
        "flops": prediction.flops,
        "step_seconds": prediction.seconds_on(device),
        "params_total": prediction.params_total,
        "params_trainable": prediction.params_trainable,
    }


def seconds_in_words(prediction: Prediction, device: Device) -> str:
    """Return a step's predicted duration, or that it is not known."""
    seconds = prediction.seconds_on(device)
    return f"rates of {device.name} not known" if seconds is None else format_seconds(seconds)


def draw(predictions: Mapping[str, Prediction], path: Path, title: str) -> Path:
    """Draw a stacked bar per prediction; the format is that of the file's ending (png, svg, pdf).

    Raises:
        ValueError: the ending is none of these.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from harness.atomic import whole_file

    kind = path.suffix.removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"--plot is {path}, expected a file that ends in .png, .svg or .pdf")
    figure = Figure(figsize=(6.4, 1.5 + 0.5 * len(predictions)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = dict.fromkeys(category for each in predictions.values() for category in by_category(each))
    _bars(axes, predictions, [name for name in CATEGORIES if name in shown])
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("GiB at the peak of a training step")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as target:
        figure.savefig(target, format=kind, dpi=200)
    return path


def _bars(axes: Any, predictions: Mapping[str, Prediction], categories: Sequence[str]) -> None:
    names = list(predictions)
    left = [0.0] * len(names)
    for category in categories:
        sizes = [predictions[name].breakdown.get(category, 0) / GIB for name in names]
        axes.barh(names, sizes, left=left, color=CATEGORIES[category], label=category, height=0.6)
        left = [before + size for before, size in zip(left, sizes, strict=True)]
    for place, total in enumerate(left):
        axes.text(total, place, f" {total:.2f}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(left))
