"""From rows of the results tables to means over seeds, fitted curves, pictures and a table on the terminal."""

from harness.analysis.console import trial_table
from harness.analysis.fits import LinearMemory, PowerLaw, Refused, fit_error, fit_linear_memory, fit_lines
from harness.analysis.names import axis_label
from harness.analysis.plots import plot_bubbles, plot_curve
from harness.analysis.summary import Comparison, Group, Spread, compare, extremes, lines, summarise

__all__ = [
    "Comparison",
    "Group",
    "LinearMemory",
    "PowerLaw",
    "Refused",
    "Spread",
    "axis_label",
    "compare",
    "extremes",
    "fit_error",
    "fit_linear_memory",
    "fit_lines",
    "lines",
    "plot_bubbles",
    "plot_curve",
    "summarise",
    "trial_table",
]
