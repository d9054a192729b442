"""Every picture of a study at once."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from harness.analysis.paper.law import LAW_STUDY, Law, fit_law
from harness.analysis.plots.bubbles import plot_bubbles
from harness.analysis.plots.curve import plot_curve
from harness.analysis.plots.front import plot_front
from harness.analysis.plots.law import plot_law
from harness.analysis.plots.learning import plot_learning
from harness.analysis.plots.memory import plot_predictions
from harness.analysis.report.gather import Report

FORMATS = ("png", "svg")
MOST_LEARNING = 8
"""Learning curves in one picture."""


class _Draw(Protocol):
    def __call__(self, *, path: Path) -> Path: ...


def plot_report(report: Report, folder: Path | str) -> list[Path]:
    """Draw every figure that the study's rows allow, as PNG and SVG without titles; return the files."""
    return [draw(path=Path(folder) / f"{name}.{form}") for name, draw in _drawings(report) for form in FORMATS]


def _drawings(report: Report) -> Iterator[tuple[str, _Draw]]:
    if report.scored and report.x is not None:
        yield "curves", partial(plot_curve, report.groups, x=report.x, fits=report.fits)
    if report.pareto:
        yield "bubbles", partial(plot_bubbles, report.groups, colour_by=report.by)
        yield "pareto", partial(plot_front, report.groups)
    if any(row["peak_bytes"] and row["predicted_peak_bytes"] for row in report.rows):
        yield "predictions", partial(plot_predictions, report.rows)
    law = fit_law(report.rows) if report.study == LAW_STUDY else None
    if isinstance(law, Law) and law.paths:
        yield "law", partial(plot_law, report.rows)
    losses = {
        row["trial"]: report.curves[row["digest"]]["loss"]
        for row in report.rows
        if "loss" in report.curves.get(row["digest"], {})
    }
    if losses:
        yield "learning", partial(plot_learning, dict(list(losses.items())[:MOST_LEARNING]))
