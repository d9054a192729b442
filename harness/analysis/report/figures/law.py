"""What a budget is best spent on, by the joint law of frames, pixels and parameters: the figures of `scale_law`."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.decisions.allocation import Allocation
from harness.analysis.fits import Refused
from harness.analysis.names import setting_name
from harness.analysis.paper.law import LAW_STUDY, MEMORY, OPERATIONS, Law, cost_of, fit_law
from harness.analysis.report.figures.style import Figure, Trace, hover, number_axis
from harness.analysis.report.gather import Report
from harness.analysis.summary import has_result, settings

TERA = 1e12
CAPTION = (
    "Points: settings that were run, means over seeds. The line is the best mAP that the fitted law foretells for a "
    "budget; touching it tells which sizes it takes, and its band is the law's level. It is dotted where a size lies "
    "more than a factor of two outside what was measured."
)


def law_of_operations(report: Report) -> Figure | None:
    """Return the figure over operations of a step, or None where the study asks no such thing or its rows tell none."""
    return _law(report, OPERATIONS, TERA, "operations of a training step (10¹²)")


def law_of_memory(report: Report) -> Figure | None:
    """Return the figure over peak memory, or None likewise."""
    unit = report.memory_unit
    return _law(report, MEMORY, unit.factor, f"peak memory of a training step ({unit.name})")


def _law(report: Report, cost: str, factor: float, label: str) -> Figure | None:
    law = fit_law(report.rows) if report.study == LAW_STUDY else Refused(reason="another question")
    found = law.paths.get(cost, ()) if isinstance(law, Law) else ()
    if not found:
        return None
    cloud = _cloud(report, cost, factor)
    near = [None if each.far else each for each in found]
    traces = [*_band(found, factor), cloud]
    if None in near:
        traces.append(_best(found, factor, "the same, far from what was measured", "dot"))
    if any(near):
        traces.append(_best(near, factor, "best use of the budget, foretold", "solid"))
    return Figure(
        name=f"law-{'memory' if cost == MEMORY else 'operations'}",
        title=f"The best mAP for a budget of {cost}",
        caption=CAPTION,
        traces=tuple(traces),
        layout={
            "xaxis": number_axis(label, [*cloud["x"], *(each.budget / factor for each in found)]),
            "yaxis": {"title": {"text": "average mAP (%)"}},
            "showlegend": True,
        },
    )


def _cloud(report: Report, cost: str, factor: float) -> Trace:
    paths = report.axes.paths
    points = []
    for values, rows in settings(report.rows, paths).items():
        known = [(amount, row) for row in rows if has_result(row) and (amount := cost_of(row, cost))]
        if known:
            name = setting_name(dict(zip(paths, values, strict=True)))
            amount, score = fmean(amount for amount, _ in known), fmean(row["map_avg"] for _, row in known)
            points.append((amount / factor, 100 * score, name))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "settings that were run",
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "marker": {"color": "@muted/0.7", "size": 7},
        "hovertext": [hover([name, f"mAP {y:.1f} %"]) for _, y, name in points],
        "hoverinfo": "text",
    }


def _best(found: Sequence[Allocation | None], factor: float, name: str, dash: str) -> Trace:
    """Return a line through the budgets, broken where one is None."""
    told = [
        (None, None, "") if each is None else (each.budget / factor, 100 * (1 - each.y), _foretold(each))
        for each in found
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [x for x, _, _ in told],
        "y": [y for _, y, _ in told],
        "line": {"color": "@0", "width": 1.5, "dash": dash},
        "marker": {"color": "@0", "size": 5},
        "hovertext": [text for _, _, text in told],
        "hoverinfo": "text",
    }


def _foretold(each: Allocation) -> str:
    return hover([f"mAP {100 * (1 - each.y):.1f} %, foretold", *map(_said, each.sizes.items())])


def _said(size: tuple[str, Any]) -> str:
    name, value = size
    if name == "pixels":
        return f"{value**0.5:.0f}² pixels"
    return f"{count_text(round(value))} {name}"


def _band(found: Sequence[Allocation], factor: float) -> list[Trace]:
    known = [(each.budget / factor, *each.y_interval) for each in found if each.y_interval]
    if not known:
        return []
    xs, low, high = zip(*known, strict=True)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "fill": "toself",
            "showlegend": False,
            "x": [*xs, *xs[::-1]],
            "y": [100 * (1 - error) for error in (*low, *high[::-1])],
            "line": {"width": 0, "color": "@0"},
            "fillcolor": "@0/0.15",
            "hoverinfo": "skip",
        }
    ]
