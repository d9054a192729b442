"""The Pareto front of mAP and memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.amounts import Unit, memory_unit
from harness.analysis.decisions import ParetoPoint
from harness.analysis.plots.labels import MOST_NAMES, Spot, write_names
from harness.analysis.plots.style import COLOURS, GREY, labelled, legend_below, logarithmic, picture
from harness.analysis.report.pareto import against_front
from harness.analysis.summary import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 150
"""More error bars than this are a hedge."""


def plot_front(groups: Sequence[Group], path: Path | str, *, title: str = "") -> Path:
    """Draw the highest mean mAP within any peak memory, the settings on that line named; return the file.

    Bars are the spread over seeds.

    Args:
        groups: From `summarise`.
        path: File to write: png, svg or pdf.
        title: Of the picture; none for a paper, which has a caption.

    Raises:
        ValueError: no group has both a result and a measured peak.
    """
    points = against_front(groups)
    if not points:
        raise ValueError("there is nothing to plot: no setting has a result and a measured peak of memory")
    unit = memory_unit(point.cost_bytes for point in points)
    best, rest = ([point for point in points if point.on_front == on] for on in (True, False))
    with picture(path, title) as (figure, axes):
        spots = _spots(best, unit)
        ends = [*(spot.x for spot in spots), max(point.cost_bytes for point in points) / unit.factor]
        heights = [spot.y for spot in spots]
        axes.step(ends, [*heights, heights[-1]], where="post", color=COLOURS[0], lw=1.0, alpha=0.7)
        if rest:
            _draw(axes, rest, unit, GREY, "another is as good for less", bars=len(points) <= MOST_BARS)
        _draw(axes, best, unit, COLOURS[0], "on the front", bars=len(points) <= MOST_BARS)
        axes.margins(x=0.08, y=0.1)
        label = logarithmic(axes, [point.cost_bytes / unit.factor for point in points])
        axes.set_xlabel(f"peak memory of a training step ({unit.name}{label})")
        axes.set_ylabel("average mAP (%)")
        legend_below(figure, labelled(axes))
        if len(best) <= MOST_NAMES:
            # The line runs to the right of its point, and up to it from below.
            write_names(figure, axes, spots, _spots(rest, unit), directions=((1, -1), (-1, 1)))
    return Path(path)


def _spots(points: Sequence[ParetoPoint], unit: Unit) -> list[Spot]:
    return [
        Spot(point.cost_bytes / unit.factor, 100 * point.group.map_avg.mean, 2.5, point.group.name)
        for point in points
        if point.group.map_avg
    ]


def _draw(axes: "Axes", points: Sequence[ParetoPoint], unit: Unit, colour: str, label: str, *, bars: bool) -> None:
    spots = _spots(points, unit)
    spreads = [100 * (point.group.map_avg.spread or 0.0) for point in points if point.group.map_avg]
    axes.errorbar(
        [spot.x for spot in spots],
        [spot.y for spot in spots],
        yerr=spreads if bars else None,
        fmt="o",
        ms=4 if colour != GREY else 3,
        color=colour,
        alpha=1.0 if colour != GREY else 0.5,
        elinewidth=0.7,
        capsize=1.5,
        label=label,
    )
