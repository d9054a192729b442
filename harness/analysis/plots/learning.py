"""Learning curves of several trials."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from harness.analysis.plots.style import COLOURS, labelled, legend_below, picture
from harness.analysis.report.gather import Curve

LETTERS = 50
"""Letters of a name that fit across the legend."""
STYLES = ("-", "--", ":", "-.")


def plot_learning(curves: Mapping[str, Curve], path: Path | str, *, measure: str = "loss", title: str = "") -> Path:
    """Draw one measure of several trials over epochs or steps; return the file.

    Args:
        curves: By the trial's name.
        path: File to write: png, svg or pdf.
        measure: What was measured, for the axis.
        title: Of the picture; none for a paper, which has a caption.

    Raises:
        ValueError: there is no curve.
    """
    if not curves:
        raise ValueError(f"there is nothing to plot: no trial has a curve of {measure}")
    with picture(path, title) as (figure, axes):
        for index, (name, curve) in enumerate(curves.items()):
            colour, style = COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)]
            axes.plot(curve["x"], curve["y"], style, color=colour, lw=1.0, label=textwrap.fill(name, LETTERS))
        axes.set_xlabel(next(iter(curves.values()))["per"])
        axes.set_ylabel(measure.replace("_", " "))
        legend_below(figure, labelled(axes))
    return Path(path)
