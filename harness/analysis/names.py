"""Config paths and values in words, for axes, legends and table heads."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

WORDS = {
    "data.window.frames": ("frames", "frames per window"),
    "data.window.resolution": ("resolution", "resolution (pixels)"),
    "data.window.span": ("span", "span of a window (decoded frames)"),
    "data.name": ("data", "data set"),
    "model.backbone.name": ("backbone", "backbone"),
    "model.adapter": ("adapter", "adapter"),
    "model.adapter.kind": ("adapter", "adapter"),
    "model.adapter.kernel": ("kernel", "temporal kernel (tubelets)"),
    "model.adapter.placement": ("placement", "placement of the adapters"),
    "model.adapter.ratio": ("ratio", "bottleneck width over backbone width"),
    "model.adapter.last_layers": ("adapted layers", "adapted last layers"),
    "model.head.kind": ("head", "detection head"),
    "model.representation.kind": ("representation", "representation"),
    "model.tuning": ("tuning", "tuning"),
    "training.adapter_lr": ("adapter lr", "learning rate of the adapters"),
    "training.backbone_lr": ("backbone lr", "learning rate of the backbone"),
    "training.head_lr": ("head lr", "learning rate of the head"),
    "training.epochs": ("epochs", "epochs"),
}
"""One word, and the label of an axis."""
SPEAK_FOR_THEMSELVES = frozenset({"data.window.resolution", "model.backbone.name"})
"""Paths whose values need no word beside them."""


def short_name(path: str) -> str:
    """Return one word for a config path: the last part of the path unless it has a better name."""
    return WORDS.get(path, (path.rpartition(".")[2].replace("_", " "),))[0]


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return a name for each of several paths, no two alike: `backbone width` and `head width`, but `frames`."""
    names = {path: short_name(path) for path in paths}
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 else _with_parent(path, name) for path, name in names.items()}


def axis_label(path: str) -> str:
    """Return the label of an axis that shows a config path, with its unit."""
    return WORDS[path][1] if path in WORDS else short_name(path)


def value_name(path: str, value: Any) -> str:
    """Return a value of a config path as it is said: `96² px`, `1,536`, `none`."""
    if value is None:
        return "none"
    if path == "data.window.resolution":
        return f"{value}² px"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return " to ".join(value_name("", item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_name(values: Mapping[str, Any]) -> str:
    """Return a point of the grid in words: `768 frames, 96² px`, `videomae-s, no adapter`."""
    words = short_names(values)
    return ", ".join(_said(path, words[path], value) for path, value in values.items())


def _with_parent(path: str, name: str) -> str:
    return f"{path.split('.')[-2]} {name}" if "." in path else name


def _said(path: str, word: str, value: Any) -> str:
    shown = value_name(path, value)
    if value is None:
        return f"no {word}"
    if path in SPEAK_FOR_THEMSELVES:
        return shown
    return f"{shown} {word}" if isinstance(value, int) and not isinstance(value, bool) else f"{word} {shown}"
