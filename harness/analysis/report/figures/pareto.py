"""The Pareto front: which settings no other beats in both mAP and memory."""

from collections.abc import Sequence

from harness.analysis.names import setting_name
from harness.analysis.report.figures.style import MOST_LABELS, Figure, Trace, about, hover, number_axis, plain
from harness.analysis.report.gather import Report
from harness.analysis.report.pareto import on_front
from harness.analysis.summary import Group


def front(report: Report) -> Figure | None:
    """Return the figure, or None when no setting has both a result and a measured peak."""
    shown = [group for group in report.scored if group.peak_bytes]
    if not shown:
        return None
    best = on_front(shown)
    rest = [group for group in shown if group not in best]
    unit = report.memory_unit
    peaks = [group.peak_bytes / unit.factor for group in shown if group.peak_bytes]
    traces = [_steps(best, report, max(peaks))]
    if rest:
        traces.append(_points(rest, report, "beaten in both by another", "@muted", label=False))
    traces.append(_points(best, report, "on the front", "@0", label=len(best) <= MOST_LABELS))
    return Figure(
        name="pareto",
        title="Pareto front of mAP and memory",
        caption="The line is the highest mean mAP that was reached within a given peak. Bars are the spread over "
        "seeds: where they overlap, the order of two settings is not established.",
        traces=tuple(traces),
        layout={
            "xaxis": number_axis(f"peak memory of a training step ({unit.name})", peaks),
            "yaxis": {"title": {"text": "average mAP (%)"}},
            "showlegend": True,
        },
    )


def _steps(best: Sequence[Group], report: Report, largest: float) -> Trace:
    unit = report.memory_unit
    xs = [unit.of(group.peak_bytes) for group in best]
    ys = [100 * group.map_avg.mean for group in best if group.map_avg]
    return {
        "type": "scatter",
        "mode": "lines",
        "line": {"shape": "hv", "color": "@0/0.6", "width": 2},
        "x": [*xs, largest],
        "y": [*ys, ys[-1]],
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _points(groups: Sequence[Group], report: Report, name: str, colour: str, *, label: bool) -> Trace:
    unit = report.memory_unit
    return {
        "type": "scatter",
        "mode": "markers+text" if label else "markers",
        "name": name,
        "x": [unit.of(group.peak_bytes) for group in groups],
        "y": [100 * group.map_avg.mean for group in groups if group.map_avg],
        "error_y": {
            "type": "data",
            "array": [100 * (group.map_avg.spread or 0) for group in groups if group.map_avg],
            "color": f"{colour}/0.6" if label else f"{colour}/0.35",
            "thickness": 1.2,
            "width": 3,
        },
        "text": [plain(setting_name(group.values)) for group in groups] if label else None,
        "textposition": "bottom right",
        "textfont": {"size": 11, "color": "@ink"},
        "hovertext": [hover(about(group, report)) for group in groups],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {"color": colour, "size": 9 if colour == "@0" else 7, "opacity": 1 if colour == "@0" else 0.6},
    }
