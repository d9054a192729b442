"""mAP against peak memory, the area of a bubble as the number of parameters: the paper's Figure 1."""

import math
from collections.abc import Sequence
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.names import setting_name
from harness.analysis.report.figures.style import (
    MOST_LABELS,
    Figure,
    Kind,
    Trace,
    about,
    hover,
    kinds,
    number_axis,
    plain,
)
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group

LARGEST_PX, ONLY_PX, SMALLEST_PX = 46.0, 20.0, 6.0
"""Diameters: of the most parameters, where all have as many, and at least."""
NOMINAL_PX = (760, 380)
"""Size of the plot area for which the names are placed."""


def bubbles(report: Report) -> Figure | None:
    """Return the figure, or None when no setting has both a result and a measured peak."""
    shown = [group for group in report.scored if group.peak_bytes]
    if not shown:
        return None
    unit = report.memory_unit
    of_kinds = kinds(shown, report.by)
    places = _label_places(shown, report) if len(shown) <= MOST_LABELS else {}
    traces = [_bubbles_of(kind, report, places, _largest(shown)) for kind in of_kinds]
    traces += _predicted(shown, report)
    amounts = [amount / unit.factor for g in shown for amount in (g.peak_bytes, g.predicted_peak_bytes) if amount]
    layout = {
        "xaxis": number_axis(f"peak memory of a training step ({unit.name})", amounts),
        "yaxis": {"title": {"text": "average mAP (%)"}},
        "showlegend": True,
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


def _bubbles_of(kind: Kind, report: Report, places: dict[str, str], largest: int) -> Trace:
    unit = report.memory_unit
    return {
        "type": "scatter",
        "mode": "markers+text" if places else "markers",
        "name": kind.label,
        "showlegend": report.by is not None,
        "x": [unit.of(group.peak_bytes) for group in kind.groups],
        "y": [100 * group.map_avg.mean for group in kind.groups if group.map_avg],
        "text": [plain(_rest(group, report.by)) for group in kind.groups] if places else None,
        "textposition": [places[group.name] for group in kind.groups] if places else None,
        "textfont": {"size": 11, "color": "@ink"},
        "hovertext": [hover(about(group, report)) for group in kind.groups],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {
            "size": diameters(kind.groups, largest),
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


def _rest(group: Group, by: str | None) -> str:
    return setting_name({path: value for path, value in group.values.items() if path != by})


def _caption(shown: Sequence[Group]) -> str:
    counts = sorted({group.params_total for group in shown if group.params_total})
    spread = sorted({group.map_avg.explained() for group in shown if group.map_avg})
    area = (
        f"its area the number of parameters, from {count_text(counts[0])} to {count_text(counts[-1])}"
        if len(counts) > 1
        else f"all have {count_text(counts[0])} parameters"
        if counts
        else "the number of parameters is not known"
    )
    return (
        f"A bubble is one setting: measured peak and mean over its seeds ({'; '.join(spread)}), {area}. "
        "A cross is the peak that was predicted before the trial was run."
    )


def _label_places(shown: Sequence[Group], report: Report) -> dict[str, str]:
    """Choose for each bubble the side on which its name covers fewest names and bubbles."""
    spots = _spots(shown)
    taken = [(x - r, y - r, x + r, y + r) for (x, y), r in spots]
    chosen: dict[str, str] = {}
    for group, ((x, y), radius) in zip(shown, spots, strict=True):
        width = 6.2 * len(_rest(group, report.by))
        boxes = {side: _box(side, x, y, radius, width) for side in _SIDES}
        best = min(boxes, key=lambda side: sum(_overlap(boxes[side], other) for other in taken) + _outside(boxes[side]))
        chosen[group.name] = best
        taken.append(boxes[best])
    return chosen


_SIDES = {
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "bottom right": (1, -1),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
}
Box = tuple[float, float, float, float]


def _spots(shown: Sequence[Group]) -> list[tuple[tuple[float, float], float]]:
    """Return centre and radius of each bubble in pixels of a plot of the nominal size, margins left free."""
    xs = [float(group.peak_bytes or 0) for group in shown]
    ys = [group.map_avg.mean for group in shown if group.map_avg]
    radii = [diameter / 2 for diameter in diameters(shown, _largest(shown))]
    return list(zip(zip(_scaled(xs, NOMINAL_PX[0]), _scaled(ys, NOMINAL_PX[1]), strict=True), radii, strict=True))


def _scaled(values: Sequence[float], length: float) -> list[float]:
    low, high = min(values), max(values)
    return [length * (0.07 + 0.86 * ((value - low) / (high - low) if high > low else 0.5)) for value in values]


def _box(side: str, x: float, y: float, radius: float, width: float) -> Box:
    right, up = _SIDES[side]
    centre_x = x + right * (width / 2 + (radius if not up else 0.7 * radius) + 3)
    centre_y = y + up * (8 + (radius if not right else 0.7 * radius))
    return (centre_x - width / 2, centre_y - 7, centre_x + width / 2, centre_y + 7)


def _overlap(a: Box, b: Box) -> float:
    across, along = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return across * along if across > 0 and along > 0 else 0.0


def _outside(box: Box) -> float:
    width, height = NOMINAL_PX
    kept: Any = _overlap(box, (0, 0, width, height))
    return 10 * ((box[2] - box[0]) * (box[3] - box[1]) - kept)
