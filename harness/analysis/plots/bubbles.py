"""mAP against peak memory, the area of a bubble as the number of parameters: the paper's Figure 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.analysis.amounts import Unit, count_text, memory_unit
from harness.analysis.names import setting_name
from harness.analysis.plots.labels import MOST_NAMES, Spot, write_names
from harness.analysis.plots.style import COLOURS, GREY, legend_below, logarithmic, picture, with_result
from harness.analysis.summary import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

LARGEST, ONLY, MANY = 300.0, 90.0, 12.0
"""Areas in square points: of the most parameters, where all have as many, and where bubbles would be a blot."""
MOST_BUBBLES = 80
Counted = Literal["params_total", "params_trainable"]


def plot_bubbles(
    groups: Sequence[Group],
    path: Path | str,
    *,
    title: str = "",
    colour_by: str | None = None,
    area: Counted = "params_total",
) -> Path:
    """Draw mAP against measured peak memory, the area of a bubble as the number of parameters; return the file.

    A cross marks the predicted peak of the same setting, joined to its bubble by a line.

    Args:
        groups: From `summarise`.
        path: File to write: png, svg or pdf.
        title: Of the picture; none for a paper, which has a caption.
        colour_by: Config path that colours tell apart.
        area: What the area counts.

    Raises:
        ValueError: no group has both a result and a measured peak.
    """
    shown = [group for group in with_result(groups) if group.peak_bytes]
    if not shown:
        raise ValueError("there is nothing to plot: no setting has a measured peak of memory")
    unit = memory_unit(amount for group in shown for amount in (group.peak_bytes, group.predicted_peak_bytes))
    kinds = list(dict.fromkeys(group.values.get(colour_by) for group in shown)) if colour_by else [None]
    areas = _areas(shown, area)
    with picture(path, title) as (figure, axes):
        spots = []
        # The largest lie at the back, so that none is hidden.
        for place in sorted(range(len(shown)), key=lambda place: -areas[place]):
            group, size = shown[place], areas[place]
            colour = COLOURS[kinds.index(group.values.get(colour_by) if colour_by else None) % len(COLOURS)]
            spots.append(_draw(axes, group, unit, colour, size, colour_by, crossed=len(shown) <= MOST_BUBBLES))
        axes.margins(x=0.14, y=0.16)
        peaks = [group.peak_bytes / unit.factor for group in shown if group.peak_bytes]
        axes.set_xlabel(f"peak memory of a training step ({unit.name}{logarithmic(axes, peaks)})")
        axes.set_ylabel("average mAP (%)")
        handles = [*_colour_handles(kinds, colour_by), *_area_handles(shown, areas, area)]
        if any(group.predicted_peak_bytes for group in shown) and len(shown) <= MOST_BUBBLES:
            handles.append(_handle(marker="x", colour="black", size=4, label="predicted peak"))
        if handles:
            legend_below(figure, handles, row_spacing=1.1 if len(set(areas)) > 1 else 0.5)
        if len(shown) <= MOST_NAMES:
            write_names(figure, axes, spots)
    return Path(path)


def _draw(
    axes: "Axes", group: Group, unit: Unit, colour: str, size: float, colour_by: str | None, *, crossed: bool
) -> Spot:
    assert group.map_avg is not None
    assert group.peak_bytes is not None
    measured, height = group.peak_bytes / unit.factor, 100 * group.map_avg.mean
    axes.scatter([measured], [height], s=size, color=colour, alpha=0.5, edgecolors=colour, linewidths=0.8, zorder=2)
    if crossed and group.predicted_peak_bytes:
        predicted = group.predicted_peak_bytes / unit.factor
        axes.plot([measured, predicted], [height, height], color="black", lw=0.6, zorder=3)
        axes.plot([predicted], [height], "x", color="black", ms=3.5, mew=0.8, zorder=4)
    rest = {axis: value for axis, value in group.values.items() if axis != colour_by}
    return Spot(measured, height, float(np.sqrt(size) / 2), setting_name(rest))


def _areas(shown: Sequence[Group], area: Counted) -> list[float]:
    counts = [getattr(group, area) or 1 for group in shown]
    if len(shown) > MOST_BUBBLES:
        return [MANY] * len(shown)
    return [(LARGEST if min(counts) < max(counts) else ONLY) * count / max(counts) for count in counts]


def _colour_handles(kinds: Sequence[Any], colour_by: str | None) -> "list[Line2D]":
    if colour_by is None or len(kinds) < 2:
        return []
    return [
        _handle(
            marker="o", colour=COLOURS[index % len(COLOURS)], size=5, label=setting_name({colour_by: kind}), alpha=0.6
        )
        for index, kind in enumerate(kinds)
    ]


def _area_handles(shown: Sequence[Group], areas: Sequence[float], area: Counted) -> "list[Line2D]":
    """Return the smallest and the largest bubble with what they stand for."""
    known = sorted(
        (getattr(group, area), size) for group, size in zip(shown, areas, strict=True) if getattr(group, area)
    )
    if not known or len(shown) > MOST_BUBBLES:
        return []
    word = "parameters" if area == "params_total" else "trained"
    return [
        _handle(marker="o", colour=GREY, size=float(np.sqrt(size)), label=f"{count_text(count)} {word}", alpha=0.3)
        for count, size in dict.fromkeys([known[0], known[-1]])
    ]


def _handle(*, marker: str, colour: str, size: float, label: str, alpha: float = 1.0) -> "Line2D":
    from matplotlib.lines import Line2D

    edge = 0.8 if marker == "x" else 0
    return Line2D([], [], marker=marker, ls="", color=colour, ms=size, alpha=alpha, mew=edge, label=label)
