"""A picture of fitted lines: trials, curves, the band of the mean and that of a new trial, in the units of y."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.amounts import count_text
from harness.analysis.fits.curve import Band, Curve
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.surface import Surface
from harness.analysis.plots.style import COLOURS, MARKERS, labelled, legend_below, picture
from harness.analysis.table_lines import EVERYTHING, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Fits = Mapping[str, Curve | Surface | Refused]
MOST_SLICES = len(COLOURS)
"""Values of the second size that a surface is cut at."""
NUM_DRAWN = 120
MOST_TICKS = 7


def plot_fits(
    lines: Sequence[Line],
    fits: Fits,
    path: Path | str,
    *,
    x_label: str,
    y_label: str,
    reach: Sequence[float] = (),
    best: float | None = None,
) -> Path:
    """Draw lines with their fits; return the file.

    Dark bands hold the mean curve, light ones a new trial, both at the curve's level; past the measured x a curve is
    dotted. A surface is cut at the values of its second size.

    Args:
        lines: What was fitted.
        fits: By the name of the line.
        path: File to write: png, svg or pdf.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.
        reach: Further x that curves are drawn to.
        best: Best value of y where it is a score: `best - y` was fitted and y is drawn.
    """
    with picture(path, "") as (figure, axes):
        colours = _Colours()
        for line in lines:
            fit = fits[line.name]
            for name, chosen, curve in _parts(line, fit, reach):
                colour, marker = colours.next()
                axes.plot(line.sizes[0][chosen], _shown(line.y[chosen], best), marker, color=colour, ms=3, label=name)
                if curve is not None:
                    _draw(axes, curve, colour, best)
        xs = np.unique([*np.concatenate([line.sizes[0] for line in lines]).tolist(), *reach])
        _logarithmic(axes, xs)
        axes.set_xlabel(f"{x_label}, logarithmic")
        axes.set_ylabel(y_label)
        if best is not None:
            axes.set_ylim(bottom=max(axes.get_ylim()[0], 0.0))  # a law of the distance from the best knows no worst
        if len(labelled(axes)) > 1:
            legend_below(figure, labelled(axes))
    return Path(path)


def _logarithmic(axes: "Axes", xs: np.ndarray) -> None:
    """Mark the x that were run where they are few, else powers of ten, in letters that do not meet."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    few = len(xs) <= MOST_TICKS and np.all(np.diff(np.log(xs)) > np.ptp(np.log(xs)) / MOST_TICKS)
    axes.xaxis.set_major_locator(FixedLocator(xs.tolist()) if few else LogLocator(numticks=MOST_TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e5 else count_text(value)))


class _Colours:
    """One colour and marker after the other."""

    def __init__(self) -> None:
        self.used = 0

    def next(self) -> tuple[str, str]:
        self.used += 1
        return COLOURS[(self.used - 1) % len(COLOURS)], MARKERS[(self.used - 1) % len(MARKERS)]


class _Drawn:
    """A curve ready to be drawn: x, y and bands, and up to where it is measured."""

    def __init__(self, x: np.ndarray, y: np.ndarray, bands: Sequence[Band | None], measured: float) -> None:
        self.x, self.y, self.bands, self.measured = x, y, bands, measured


def _parts(
    line: Line, fit: Curve | Surface | Refused, reach: Sequence[float]
) -> list[tuple[str, np.ndarray, _Drawn | None]]:
    """Return the name, the trials and the curve of each part of a line: one for a curve, one a slice of a surface."""
    first = line.sizes[0]
    x = np.geomspace(first.min(), max([first.max(), *reach]), NUM_DRAWN)
    everything = np.ones(len(first), dtype=bool)
    if isinstance(fit, Curve):
        bands = [fit.confidence_band(x, far=True), fit.prediction_band(x, far=True)]
        return [(line.name, everything, _Drawn(x, fit.predict(x, far=True), bands, fit.x_max))]
    if isinstance(fit, Surface):
        found = []
        for value in _spread_out(np.unique(line.sizes[1])):
            bands = [fit.confidence_band(x, value, far=True)]
            drawn = _Drawn(x, fit.predict(x, value, far=True), bands, fit.x_max[0])
            name = "" if line.name == EVERYTHING else f"{line.name}, "
            found.append((f"{name}{fit.x_names[1]} {value:g}", line.sizes[1] == value, drawn))
        return found
    return [(f"{line.name} (no curve)", everything, None)]


def _spread_out(values: np.ndarray) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_SLICES)).round().astype(int))]


def _draw(axes: "Axes", curve: _Drawn, colour: str, best: float | None) -> None:
    inside = curve.x <= curve.measured * (1 + 1e-9)
    axes.plot(curve.x[inside], _shown(curve.y[inside], best), "-", color=colour, lw=1.0)
    axes.plot(curve.x[~inside], _shown(curve.y[~inside], best), ":", color=colour, lw=1.2)
    for band, alpha in zip(curve.bands, (0.25, 0.10), strict=False):
        if band is not None:
            axes.fill_between(curve.x, _shown(band[0], best), _shown(band[1], best), color=colour, alpha=alpha, lw=0)


def _shown(y: np.ndarray, best: float | None) -> np.ndarray:
    return y if best is None else best - y
