"""What the figures share: colours by name, axes, hover texts, and text that plotly.js takes literally.

A colour is written `@0` to `@6`, `@ink` or `@muted`, with an opacity as in `@0/0.2`; the page resolves it for a light
or a dark screen and for paper. Nothing here imports plotly: a figure is traces and a layout of plain values.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.names import setting_name, value_name
from harness.analysis.report.axes import is_size
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group

NUM_COLOURS = 7
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "star")
MOST_LABELS = 14
"""More names than this cover each other and the points; hovering tells them."""
MOST_BARS = 150
"""More error bars than this are a hedge, and slow."""
SPAN_FOR_LOG = 6.0
"""An axis whose largest value is this many times its smallest is logarithmic."""

Trace = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the report."""

    name: str
    title: str
    caption: str
    """How to read it."""
    traces: tuple[Trace, ...]
    layout: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Settings that share a colour."""

    label: str
    colour: str
    symbol: str
    groups: tuple[Group, ...]


def kinds(groups: Sequence[Group], by: str | None) -> list[Kind]:
    """Return the settings by the value of `by`, with a colour and a symbol each; colours come again after seven."""
    values = list(dict.fromkeys(group.values.get(by) for group in groups)) if by else [None]
    values.sort(key=lambda value: (value if is_size(value) else 0, str(value)))
    return [
        Kind(
            label=setting_name({by: value}) if by else "all trials",
            colour=f"@{index % NUM_COLOURS}",
            symbol=SYMBOLS[index // NUM_COLOURS % len(SYMBOLS)] if len(values) > NUM_COLOURS else SYMBOLS[0],
            groups=tuple(group for group in groups if not by or group.values.get(by) == value),
        )
        for index, value in enumerate(values)
    ]


def plain(text: str) -> str:
    """Return text that plotly.js shows as it is: it reads <b>, <a href=…> and entities."""
    return html.escape(text, quote=False)


def hover(lines: Iterable[str]) -> str:
    """Return the text of a hover label, its first line bold."""
    first, *rest = map(plain, lines)
    return "<br>".join([f"<b>{first}</b>", *rest])


def about(group: Group, report: Report) -> list[str]:
    """Return what a hover label says of a setting."""
    unit = report.memory_unit
    lines = [group.name or "all trials"]
    if group.map_avg:
        seeds = ", ".join(map(str, group.seeds))
        lines.append(f"mAP {group.map_avg.in_percent()} % (seed{'s'[: len(group.seeds) != 1]} {seeds})")
    for word, amount in (("measured", group.peak_bytes), ("predicted", group.predicted_peak_bytes)):
        if amount is not None:
            lines.append(f"peak {word} {unit.text(amount, 2)} {unit.name}")
    if group.params_total:
        trained = f", {count_text(group.params_trainable)} trained" if group.params_trainable else ""
        lines.append(f"{count_text(group.params_total)} parameters{trained}")
    return lines


def number_axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Return an axis for measured amounts: linear, or logarithmic with round ticks where the span is wide."""
    known = [value for value in values if value > 0]
    if not known or len(known) < len(values) or max(known) < SPAN_FOR_LOG * min(known):
        return {"title": {"text": title}}
    ticks = [m * 10.0**e for e in range(-6, 12) for m in (1, 2, 5) if min(known) / 2 <= m * 10.0**e <= max(known) * 2]
    return {
        "title": {"text": f"{title}, logarithmic"},
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def along(axis: Mapping[str, Any], value: float) -> float:
    """Return where a value stands along an axis."""
    return math.log10(value) if axis.get("type") == "log" else value


def bars(groups: Sequence[Group], colour: str, *, width: float) -> Trace | None:
    """Return the spread over seeds as error bars, or None where they would be too many."""
    if len(groups) > MOST_BARS:
        return None
    spreads = [100 * (group.map_avg.spread or 0) for group in groups if group.map_avg]
    return {"type": "data", "array": spreads, "color": colour, "thickness": 1.3, "width": width}


def named(traces: Trace, names: Sequence[str], places: Sequence[str | None]) -> Trace:
    """Return points with names beside them, where they have a place."""
    return {
        **traces,
        "mode": "markers+text",
        "text": [plain(name) if place else "" for name, place in zip(names, places, strict=True)],
        "textposition": [place or "top center" for place in places],
        "textfont": {"size": 11, "color": "@ink"},
    }


def size_axis(title: str, path: str, values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis whose ticks are the values that were run, thinned when they are many."""
    ticks = sorted(set(values))
    while len(ticks) > 8:
        ticks = sorted({*ticks[::2], ticks[-1]})
    return {
        "title": {"text": f"{title}, logarithmic" if len(ticks) > 1 else title},
        "type": "log",
        "tickvals": ticks,
        "ticktext": [plain(value_name(path, value)) for value in ticks],
    }
