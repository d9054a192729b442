"""mAP against peak memory, the area of a bubble as the number of parameters: the paper's Figure 1."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.names import setting_name
from harness.analysis.report.figures.labels import Spot, place_names
from harness.analysis.report.figures.style import (
    MOST_LABELS,
    Figure,
    Kind,
    Trace,
    about,
    along,
    hover,
    kinds,
    named,
    number_axis,
    plain,
)
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group

LARGEST_PX, ONLY_PX, SMALLEST_PX, MANY_PX = 46.0, 20.0, 6.0, 7.0
"""Diameters: of the most parameters, where all have as many, at least, and of points where bubbles would be a blot."""
MOST_BUBBLES = 80


def bubbles(report: Report) -> Figure | None:
    """Return the figure, or None when fewer than two settings have both a result and a measured peak."""
    shown = [group for group in report.scored if group.peak_bytes]
    if len(shown) < 2:
        return None
    unit = report.memory_unit
    of_kinds = kinds(shown, report.by)
    amounts = [amount / unit.factor for g in shown for amount in (g.peak_bytes, g.predicted_peak_bytes) if amount]
    axis = number_axis(f"peak memory of a training step ({unit.name})", amounts)
    traces = [_bubbles_of(kind, report, _largest(shown), few=len(shown) <= MOST_BUBBLES) for kind in of_kinds]
    if len(shown) <= MOST_LABELS:
        traces = _with_names(traces, of_kinds, report, axis)
    if len(shown) <= MOST_BUBBLES:
        traces += _predicted(shown, report)
    layout = {
        "xaxis": axis,
        "yaxis": {"title": {"text": "average mAP (%)"}},
        "showlegend": True,
        "legend": {"itemsizing": "constant"},
    }
    return Figure(
        name="bubbles",
        title="mAP, memory and parameters",
        caption=_caption(shown),
        traces=tuple(traces),
        layout=layout,
    )


def diameters(groups: Sequence[Group], largest: int) -> list[float]:
    """Return the bubbles' diameters in pixels; areas are in proportion to the parameters."""
    counts = [group.params_total or 0 for group in groups]
    return [max(LARGEST_PX * math.sqrt(count / largest), SMALLEST_PX) if largest else ONLY_PX for count in counts]


def _largest(shown: Sequence[Group]) -> int:
    """Return the most parameters, or 0 where all settings have as many and the area says nothing."""
    counts = {group.params_total or 0 for group in shown}
    return max(counts) if len(counts) > 1 else 0


def _bubbles_of(kind: Kind, report: Report, largest: int, *, few: bool) -> Trace:
    unit = report.memory_unit
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(kind.label),
        "showlegend": report.by is not None,
        "x": [unit.of(group.peak_bytes) for group in kind.groups],
        "y": [100 * group.map_avg.mean for group in kind.groups if group.map_avg],
        "hovertext": [hover(about(group, report)) for group in kind.groups],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {
            "size": diameters(kind.groups, largest) if few else MANY_PX,
            "color": f"{kind.colour}/0.55",
            "symbol": kind.symbol,
            "line": {"color": kind.colour, "width": 1.2},
        },
    }


def _predicted(shown: Sequence[Group], report: Report) -> list[Trace]:
    unit = report.memory_unit
    known = [group for group in shown if group.predicted_peak_bytes and group.map_avg]
    if not known:
        return []
    heights = [100 * group.map_avg.mean for group in known if group.map_avg]
    joins: list[tuple[float | None, float | None]] = []
    for group, height in zip(known, heights, strict=True):
        joins += [(unit.of(group.peak_bytes), height), (unit.of(group.predicted_peak_bytes), height), (None, None)]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _ in joins],
            "y": [y for _, y in joins],
            "line": {"color": "@ink", "width": 1},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": "predicted",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "predicted peak",
            "legendgroup": "predicted",
            "x": [unit.of(group.predicted_peak_bytes) for group in known],
            "y": heights,
            "marker": {"symbol": "x-thin", "size": 7, "color": "@ink", "line": {"color": "@ink", "width": 1.4}},
            "hoverinfo": "skip",
        },
    ]


def _with_names(
    traces: Sequence[Trace], of_kinds: Sequence[Kind], report: Report, axis: Mapping[str, Any]
) -> list[Trace]:
    """Return the bubbles with their names beside them."""
    spots = [
        Spot(
            along(axis, trace["x"][index]),
            trace["y"][index],
            trace["marker"]["size"][index] / 2,
            _rest(group, report.by),
        )
        for trace, kind in zip(traces, of_kinds, strict=True)
        for index, group in enumerate(kind.groups)
    ]
    places = iter(zip([spot.name for spot in spots], place_names(spots), strict=True))
    with_names = []
    for trace in traces:
        names, sides = zip(*itertools.islice(places, len(trace["x"])), strict=True)
        with_names.append(named(trace, names, sides))
    return with_names


def _rest(group: Group, by: str | None) -> str:
    return setting_name({path: value for path, value in group.values.items() if path != by})


def _caption(shown: Sequence[Group]) -> str:
    counts = sorted({group.params_total for group in shown if group.params_total})
    spread = sorted({group.map_avg.explained() for group in shown if group.map_avg})
    measured = f"measured peak and mean over its seeds ({'; '.join(spread)})"
    if len(shown) > MOST_BUBBLES:
        return f"A point is one setting: {measured}."
    area = "the number of parameters is not known"
    if len(counts) > 1:
        area = f"its area the number of parameters, from {count_text(counts[0])} to {count_text(counts[-1])}"
    elif counts:
        area = f"all have {count_text(counts[0])} parameters"
    return (
        f"A bubble is one setting: {measured}, {area}. A cross is the peak that was predicted before the trial was run."
    )
