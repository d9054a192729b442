"""Figures as files for papers and READMEs: PNG, SVG or PDF, readable at the width of a column."""

from harness.analysis.plots.bubbles import plot_bubbles
from harness.analysis.plots.curve import plot_curve
from harness.analysis.plots.everything import plot_report
from harness.analysis.plots.front import plot_front
from harness.analysis.plots.learning import plot_learning
from harness.analysis.plots.memory import plot_predictions

__all__ = ["plot_bubbles", "plot_curve", "plot_front", "plot_learning", "plot_predictions", "plot_report"]
