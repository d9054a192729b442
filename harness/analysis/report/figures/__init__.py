"""The report's figures, as values that plotly.js draws."""

from harness.analysis.report.figures.bubbles import bubbles
from harness.analysis.report.figures.curves import curves
from harness.analysis.report.figures.law import law_of_memory, law_of_operations
from harness.analysis.report.figures.memory import deviations, predictions
from harness.analysis.report.figures.pareto import front
from harness.analysis.report.figures.style import Figure

__all__ = [
    "Figure",
    "bubbles",
    "curves",
    "deviations",
    "front",
    "law_of_memory",
    "law_of_operations",
    "predictions",
]
