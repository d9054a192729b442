"""The Pareto front: which settings no other beats in both mAP and memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.decisions import ParetoPoint
from harness.analysis.names import setting_name
from harness.analysis.report.figures.labels import Spot, place_names
from harness.analysis.report.figures.style import (
    MOST_BARS,
    MOST_LABELS,
    Figure,
    Trace,
    about,
    along,
    bars,
    hover,
    named,
    number_axis,
)
from harness.analysis.report.gather import Report

BESIDE_STEPS = ("bottom right", "top left", "middle left")
"""Where a name does not meet the line: it runs to the right of its point, and up to it from below."""


def front(report: Report) -> Figure | None:
    """Return the figure, or None when fewer than two settings have both a result and a measured peak."""
    if len(report.pareto) < 2:
        return None
    best = [point for point in report.pareto if point.on_front]
    rest = [point for point in report.pareto if not point.on_front]
    unit = report.memory_unit
    peaks = [point.cost_bytes / unit.factor for point in report.pareto]
    axis = number_axis(f"peak memory of a training step ({unit.name})", peaks)
    traces = [_steps(best, report, max(peaks))]
    if rest:
        traces.append(_points(rest, report, "another is as good for less", "@muted"))
    on_front = _points(best, report, "on the front", "@0")
    if len(best) <= MOST_LABELS:
        spots, others = ([_spot(point, report, axis) for point in points] for points in (best, rest))
        on_front = named(on_front, [spot.name for spot in spots], place_names(spots, others, sides=BESIDE_STEPS))
    traces.append(on_front)
    return Figure(
        name="pareto",
        title="Pareto front of mAP and memory",
        caption=_caption(report),
        traces=tuple(traces),
        layout={
            "xaxis": axis,
            "yaxis": {"title": {"text": "average mAP (%)"}},
            "showlegend": True,
        },
    )


def _caption(report: Report) -> str:
    parts = ["The line is the highest mean mAP that was reached within a given peak."]
    if len(report.pareto) <= MOST_BARS:
        parts.append("Bars are the spread over seeds.")
    if any(point.probability_dominated is not None for point in report.pareto):
        parts.append(
            "Hovering tells how likely it is, by the spread over seeds, that another setting is better for less."
        )
    return " ".join(parts)


def _spot(point: ParetoPoint, report: Report, axis: Mapping[str, Any]) -> Spot:
    assert point.group.map_avg is not None
    place = along(axis, point.cost_bytes / report.memory_unit.factor)
    return Spot(place, point.group.map_avg.mean, 5, setting_name(point.group.values))


def _steps(best: Sequence[ParetoPoint], report: Report, largest: float) -> Trace:
    xs = [report.memory_unit.of(point.cost_bytes) for point in best]
    ys = [100 * point.group.map_avg.mean for point in best if point.group.map_avg]
    return {
        "type": "scatter",
        "mode": "lines",
        "line": {"shape": "hv", "color": "@0/0.6", "width": 2},
        "x": [*xs, largest],
        "y": [*ys, ys[-1]],
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _points(points: Sequence[ParetoPoint], report: Report, name: str, colour: str) -> Trace:
    groups = [point.group for point in points]
    strong = colour == "@0"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [report.memory_unit.of(point.cost_bytes) for point in points],
        "y": [100 * group.map_avg.mean for group in groups if group.map_avg],
        "error_y": bars(groups, f"{colour}/{0.6 if strong else 0.35}", width=3),
        "hovertext": [hover([*about(point.group, report), *_chance(point)]) for point in points],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {"color": colour if strong else f"{colour}/0.6", "size": 9 if strong else 7},
    }


def _chance(point: ParetoPoint) -> list[str]:
    chance = point.probability_dominated
    return [] if chance is None else [f"another is better for less with probability {chance:.2f}"]
