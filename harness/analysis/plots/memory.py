"""Predicted against measured peak memory of single trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.analysis.amounts import memory_unit
from harness.analysis.plots.style import COLOURS, GREY, labelled, legend_below, logarithmic, picture


def plot_predictions(rows: Sequence[Mapping[str, Any]], path: Path | str, *, title: str = "") -> Path:
    """Draw each trial's measured peak over its predicted one, and the line where both are equal; return the file.

    Args:
        rows: Of the trials table.
        path: File to write: png, svg or pdf.
        title: Of the picture; none for a paper, which has a caption.

    Raises:
        ValueError: no trial has both peaks.
    """
    known = [row for row in rows if row["peak_bytes"] and row["predicted_peak_bytes"]]
    if not known:
        raise ValueError("there is nothing to plot: no trial has a predicted and a measured peak of memory")
    unit = memory_unit(row["peak_bytes"] for row in known)
    predicted = [row["predicted_peak_bytes"] / unit.factor for row in known]
    measured = [row["peak_bytes"] / unit.factor for row in known]
    largest = 100 * max(abs(row["peak_bytes"] / row["predicted_peak_bytes"] - 1) for row in known)
    both = [*predicted, *measured]
    with picture(path, title) as (figure, axes):
        axes.axline((min(both), min(both)), (max(both) * 1.001, max(both) * 1.001), color=GREY, lw=0.8, ls="--")
        deviation = f"largest deviation {largest:.2f} %" if largest else "equal to the byte"
        label = f"{len(known):,} trials, {deviation}"
        axes.plot(predicted, measured, "o", color=COLOURS[0], ms=3.5, alpha=0.7, mew=0, label=label)
        words = logarithmic(axes, both), logarithmic(axes, both, which="y")
        axes.set_xlabel(f"predicted peak ({unit.name}{words[0]})")
        axes.set_ylabel(f"measured peak ({unit.name}{words[1]})")
        legend_below(figure, labelled(axes))
    return Path(path)
