"""mAP against the size that a study scales, with the fitted laws and their bands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.fits import Curve, PowerLaw, Refused
from harness.analysis.names import axis_label
from harness.analysis.plots.style import (
    COLOURS,
    MARKERS,
    labelled,
    legend_below,
    picture,
    positions,
    ticks,
    with_result,
)
from harness.analysis.report.axes import is_size
from harness.analysis.report.lines import map_band, map_line
from harness.analysis.summary import Group, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Fit = PowerLaw | Curve | Refused
APART = 0.014
"""Distance between the lines' points at one x, as a share of the axis, so that error bars do not hide each other."""
MOST_LINES = 12
"""More lines than this are a tangle; then points alone are drawn, in one colour."""


def plot_curve(
    groups: Sequence[Group],
    path: Path | str,
    *,
    x: str,
    title: str = "",
    fits: Mapping[str, Fit] | None = None,
) -> Path:
    """Draw mAP against config path `x`, one line for each setting of the other axes; return the file.

    Bars are the spread over seeds, rings the single seeds; a fitted law is dashed within the band of its mean.

    Args:
        groups: From `summarise`.
        path: File to write: png, svg or pdf.
        x: Sizes get a logarithmic axis with the values that were run as ticks, kinds stand side by side.
        title: Of the picture; none for a paper, which has a caption.
        fits: By the name of the line, from `fit_lines` or of `fit_curve`; refused ones are left out.

    Raises:
        ValueError: no group has a result.
    """
    scored = with_result(groups)
    place = positions([group.values[x] for group in scored], [group.params_total for group in scored])
    span = max(place.values()) - min(place.values()) or 1.0
    named = lines(sorted(scored, key=lambda group: place[group.values[x]]), x)
    with picture(path, title) as (figure, axes):
        if len(named) > MOST_LINES:
            named = {}
            at = [place[group.values[x]] for group in scored]
            axes.plot(at, [100 * g.map_avg.mean for g in scored if g.map_avg], "o", ms=2.5, color=COLOURS[0], alpha=0.5)
        for index, (name, members) in enumerate(named.items()):
            # With more lines than colours, the colours come again with other markers.
            turn = index // len(COLOURS)
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[(index + turn) % len(MARKERS)]
            shift = APART * span * (index - (len(named) - 1) / 2)
            fit = (fits or {}).get(name)
            fitted = all(map(is_size, place)) and isinstance(fit, PowerLaw | Curve)
            if fitted and isinstance(fit, PowerLaw | Curve):
                _draw_law(axes, fit, colour)
            at = [place[group.values[x]] + shift for group in members]
            # A line between kinds would say that there is something between them.
            joined = all(map(is_size, place)) and not fitted
            _draw_points(axes, members, at, colour, marker, name, joined=joined)
        ticks(axes, x, place)
        axes.set_xlabel(axis_label(x) + (", logarithmic" if all(map(is_size, place)) and len(place) > 1 else ""))
        axes.set_ylabel("average mAP (%)")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], 0.0))
        if len(named) > 1:
            legend_below(figure, labelled(axes))
    return Path(path)


def _draw_points(
    axes: "Axes", members: Sequence[Group], at: Sequence[float], colour: str, marker: str, name: str, *, joined: bool
) -> None:
    for centre, group in zip(at, members, strict=True):
        if len(group.maps) > 1:
            axes.plot(
                [centre] * len(group.maps),
                [100 * score for score in group.maps],
                "o",
                mfc="none",
                mec=colour,
                ms=2.6,
                mew=0.6,
                zorder=4,
            )
    axes.errorbar(
        at,
        [100 * group.map_avg.mean for group in members if group.map_avg],
        yerr=[100 * (group.map_avg.spread or 0.0) for group in members if group.map_avg],
        color=colour,
        marker=marker,
        ms=4,
        lw=1.0 if joined else 0,
        elinewidth=0.9,
        capsize=2,
        label=name,
        zorder=3,
    )


def _draw_law(axes: "Axes", fit: PowerLaw | Curve, colour: str) -> None:
    sizes, heights, band = _law(fit)
    axes.plot(np.log2(sizes), heights, "--", color=colour, lw=1.0, zorder=2)
    if band is not None:
        axes.fill_between(np.log2(sizes), *band, color=colour, alpha=0.15, lw=0)


def _law(fit: PowerLaw | Curve) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Return sizes, mAP in percent, and the band of its mean."""
    if isinstance(fit, Curve):
        sizes, heights = map_line(fit)
        return sizes, heights, map_band(fit, sizes, of="mean")
    sizes = np.geomspace(fit.x_min, fit.x_max, 60)
    band = fit.map_band(sizes)
    return sizes, 100 * fit.map_at(sizes), None if band is None else (100 * band[0], 100 * band[1])
