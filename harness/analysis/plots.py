"""The study's pictures, as PNG files: mAP against a size, and memory x mAP x parameters.

Drawn with matplotlib's object interface alone: no global state, no window, so any process may draw.
"""

import os
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.analysis.fits import PowerLaw, Refused
from harness.analysis.names import axis_label, setting_name, value_name
from harness.analysis.summary import Group, lines
from harness.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: told apart with any kind of colour vision."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#555555"
DODGE = 0.012
"""Distance between the lines' points at one x, as a share of the axis, so that error bars do not hide each other."""
LARGEST_BUBBLE, ONLY_BUBBLE = 900.0, 350.0
"""Areas in square points: of the most parameters, and where all settings have as many."""


def plot_curve(
    groups: Sequence[Group],
    path: Path | str,
    *,
    x: str,
    title: str,
    fits: Mapping[str, PowerLaw | Refused] | None = None,
) -> Path:
    """Draw mAP against config path `x`, one line for each setting of the other axes; return the file.

    Args:
        groups: From `summarise`.
        path: PNG file to write.
        x: Numbers get a logarithmic axis with the values that were run as ticks, other values stand side by side.
        title: Of the picture.
        fits: From `fit_lines`, drawn as dashed curves with 95 % bands; refused ones are left out.

    Raises:
        ValueError: no group has a result.
    """
    scored = _scored(groups)
    values = list(dict.fromkeys(group.values[x] for group in scored))
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in values)
    if not numeric:  # backbones by size, not by name
        values.sort(key=lambda value: max(group.params_total or 0 for group in scored if group.values[x] == value))
    place = {value: (np.log2(value) if numeric else index) for index, value in enumerate(values)}
    span = max(place.values()) - min(place.values()) or 1.0
    figure, axes = _figure(title)
    named = lines(scored, x)
    for index, (name, members) in enumerate(named.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        shift = DODGE * span * (index - (len(named) - 1) / 2)
        members = sorted(members, key=lambda group: place[group.values[x]])
        centres = [place[group.values[x]] + shift for group in members]
        fit = (fits or {}).get(name)
        label = name
        if numeric and isinstance(fit, PowerLaw):
            _draw_fit(axes, fit, colour)
            label = f"{name}\nerror ∝ {fit.x_name}$^{{{fit.c:.2f}}}$"
        for centre, group in zip(centres, members, strict=True):
            if len(group.maps) < 2:
                continue
            beside = [centre + 2 * DODGE * span] * len(group.maps)
            axes.plot(beside, [100 * m for m in group.maps], "o", mfc="white", mec=colour, ms=3.5, mew=0.9, zorder=4)
        axes.errorbar(
            centres,
            [100 * group.map_avg.mean for group in members if group.map_avg],
            yerr=[100 * (group.map_avg.spread or 0.0) for group in members if group.map_avg],
            color=colour,
            marker=marker,
            ms=6.5,
            lw=0 if numeric and isinstance(fit, PowerLaw) else 1.6,
            elinewidth=1.4,
            capsize=4,
            label=label,
            zorder=3,
        )
    axes.set_xticks([place[value] for value in values], [value_name(x, value) for value in values])
    axes.set_xlim(min(place.values()) - 0.12 * span, max(place.values()) + 0.12 * span)
    axes.set_xlabel(axis_label(x) + (", logarithmic" if numeric and len(values) > 1 else ""))
    axes.set_ylabel("average mAP (%)")
    if named.keys() != {"all trials"} or fits:
        figure.legend(loc="outside right upper", frameon=False, labelspacing=0.9)
    drawn = [fit for fit in (fits or {}).values() if numeric and isinstance(fit, PowerLaw)]
    _note(figure, _curve_note(scored, drawn))
    return _save(figure, path)


def plot_bubbles(
    groups: Sequence[Group],
    path: Path | str,
    *,
    title: str,
    colour_by: str | None = None,
    area: Literal["params_total", "params_trainable"] = "params_total",
) -> Path:
    """Draw mAP against measured peak memory, the area of a bubble as the number of parameters; return the file.

    A cross marks the predicted peak of the same setting, joined to its bubble by a line.

    Raises:
        ValueError: no group has both a result and a measured peak.
    """
    shown = [group for group in _scored(groups) if group.peak_bytes]
    if not shown:
        raise ValueError("there is nothing to plot: no setting has a measured peak of memory")
    largest = max(max(group.peak_bytes or 0, group.predicted_peak_bytes or 0) for group in shown)
    unit, factor = ("GiB", GIB) if largest >= GIB else ("MiB", 2**20)
    counts = [getattr(group, area) or 1 for group in shown]
    area_of_one = (LARGEST_BUBBLE if min(counts) < max(counts) else ONLY_BUBBLE) / max(counts)
    colour_values = list(dict.fromkeys(group.values.get(colour_by) for group in shown)) if colour_by else [None]
    figure, axes = _figure(title)
    spots: list[tuple[float, float, float, str]] = []
    for group in shown:
        assert group.map_avg is not None
        assert group.peak_bytes is not None
        index = colour_values.index(group.values.get(colour_by) if colour_by else None)
        colour = COLOURS[index % len(COLOURS)]
        measured, height = group.peak_bytes / factor, 100 * group.map_avg.mean
        size = area_of_one * (getattr(group, area) or 1)
        axes.scatter(
            [measured], [height], s=size, color=colour, alpha=0.55, edgecolors=colour, linewidths=1.2, zorder=2
        )
        if group.predicted_peak_bytes:
            predicted = group.predicted_peak_bytes / factor
            axes.plot([measured, predicted], [height, height], color="black", lw=0.9, zorder=3)
            axes.plot([predicted], [height], "x", color="black", ms=6, mew=1.3, zorder=4)
        rest = {axis: value for axis, value in group.values.items() if axis != colour_by}
        spots.append((measured, height, float(np.sqrt(size) / 2), setting_name(rest)))
    axes.margins(x=0.16, y=0.18)
    axes.set_xlim(left=max(axes.get_xlim()[0], 0.0))
    axes.set_xlabel(f"peak memory of a training step ({unit})")
    axes.set_ylabel("average mAP (%)")
    _bubble_legend(figure, axes, colour_by, colour_values, shown, area, area_of_one)
    _note(figure, "Bubble: measured peak and mean over seeds. Cross: peak predicted before the trial was run.")
    _label(figure, axes, spots)
    return _save(figure, path)


def _scored(groups: Sequence[Group]) -> list[Group]:
    scored = [group for group in groups if group.map_avg]
    if not scored:
        raise ValueError("there is nothing to plot: no trial has a result")
    return scored


def _figure(title: str) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 4.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # A title of the axes, not of the figure: the legend stands beside the axes and would meet it.
    axes.set_title(textwrap.fill(title, 50), loc="left", fontsize=11, fontweight="bold", parse_math=False)
    axes.grid(visible=True, color="#DDDDDD", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _draw_fit(axes: "Axes", fit: PowerLaw, colour: str) -> None:
    sizes = np.geomspace(fit.x_min, fit.x_max, 100)
    places = np.log2(sizes)
    axes.plot(places, 100 * fit.map_at(sizes), "--", color=colour, lw=1.5, zorder=2)
    band = fit.map_band(sizes)
    if band is not None:
        axes.fill_between(places, 100 * band[0], 100 * band[1], color=colour, alpha=0.13, lw=0)


def _curve_note(groups: Sequence[Group], fits: Sequence[PowerLaw]) -> str:
    kinds = sorted({group.map_avg.explained() for group in groups if group.map_avg and group.map_avg.n > 1})
    parts = (
        [f"Rings: single seeds; bars: {' or '.join(kinds)}."]
        if kinds
        else ["One seed at every point, so no error bars."]
    )
    if fits:
        band = " with its 95 % band." if any(fit.c_interval for fit in fits) else "."
        parts.append(f"Dashed: power law of the error 1 - mAP{band}")
    return " ".join(parts)


def _bubble_legend(
    figure: "Figure",
    axes: "Axes",
    colour_by: str | None,
    colour_values: Sequence[Any],
    groups: Sequence[Group],
    area: str,
    area_of_one: float,
) -> None:
    from matplotlib.lines import Line2D

    def dot(colour: str, diameter: float, label: str, alpha: float = 0.55) -> Line2D:
        return Line2D([], [], marker="o", ls="", color=colour, ms=diameter, alpha=alpha, mew=0, label=label)

    handles = []
    if colour_by:
        for index, value in enumerate(colour_values):
            handles.append(dot(COLOURS[index % len(COLOURS)], 9.0, setting_name({colour_by: value})))
    counts = sorted({getattr(group, area) for group in groups if getattr(group, area)})
    kind = "parameters" if area == "params_total" else "trained\nparameters"
    for count in dict.fromkeys([counts[0], counts[-1]] if counts else []):
        handles.append(dot(GREY, float(np.sqrt(area_of_one * count)), f"{_count(count)} {kind}", alpha=0.3))
    handles.append(Line2D([], [], marker="x", ls="", color="black", ms=6, mew=1.3, label="predicted peak"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, labelspacing=1.4, handletextpad=1.2)


def _count(number: int) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return str(number)


def _note(figure: "Figure", text: str) -> None:
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color=GREY)


def _label(figure: "Figure", axes: "Axes", spots: Sequence[tuple[float, float, float, str]]) -> None:
    """Write each bubble's name where it covers neither another name nor a bubble, if there is such a place."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    points = figure.dpi / 72
    taken = []
    for x, y, radius, _ in spots:
        centre_x, centre_y = axes.transData.transform((x, y))
        reach = radius * points
        taken.append(Bbox.from_extents(centre_x - reach, centre_y - reach, centre_x + reach, centre_y + reach))
    for x, y, radius, name in spots:
        away = radius + 4
        places = [
            (0, away, "center", "bottom"),
            (0, -away, "center", "top"),
            (away, 0, "left", "center"),
            (-away, 0, "right", "center"),
            (away, away, "left", "bottom"),
            (-away, away, "right", "bottom"),
            (away, -away, "left", "top"),
            (-away, -away, "right", "top"),
        ]
        tried = []
        for right, up, horizontal, vertical in places:
            text = axes.annotate(
                name,
                (x, y),
                (right, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                color="#222222",
            )
            box = text.get_window_extent(renderer)
            inside = axes.get_window_extent(renderer)
            clashes = sum(box.overlaps(other) for other in taken)
            clashes += not (inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1)
            tried.append((clashes, text, box))
            if not clashes:
                break
        best = min(range(len(tried)), key=lambda index: tried[index][0])
        for index, (_, text, _) in enumerate(tried):
            if index != best:
                text.remove()
        tried[best][1].set_in_layout(False)
        taken.append(tried[best][2])


def _save(figure: "Figure", path: Path | str) -> Path:
    """Write the picture under another name first: whoever looks at `path` sees the old one or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        figure.savefig(temporary, format="png")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
