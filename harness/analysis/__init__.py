"""From rows of the results tables to means over seeds, fitted curves, pictures and a table on the terminal."""

from harness.analysis.console import trial_table
from harness.analysis.decisions import (
    IsoMemory,
    MarginalGains,
    NextTrial,
    PairedComparison,
    ParetoPoint,
    iso_memory,
    marginal_gains,
    next_trial,
    paired_comparison,
    pareto_front,
)
from harness.analysis.fits import (
    Curve,
    LinearMemory,
    MemoryLaw,
    PowerLaw,
    Refused,
    Surface,
    fit_curve,
    fit_error,
    fit_linear_memory,
    fit_lines,
    fit_memory,
    fit_surface,
)
from harness.analysis.names import axis_label
from harness.analysis.plots import plot_bubbles, plot_curve
from harness.analysis.summary import Comparison, Group, Spread, compare, extremes, lines, summarise

__all__ = [
    "Comparison",
    "Curve",
    "Group",
    "IsoMemory",
    "LinearMemory",
    "MarginalGains",
    "MemoryLaw",
    "NextTrial",
    "PairedComparison",
    "ParetoPoint",
    "PowerLaw",
    "Refused",
    "Spread",
    "Surface",
    "axis_label",
    "compare",
    "extremes",
    "fit_curve",
    "fit_error",
    "fit_linear_memory",
    "fit_lines",
    "fit_memory",
    "fit_surface",
    "iso_memory",
    "lines",
    "marginal_gains",
    "next_trial",
    "paired_comparison",
    "pareto_front",
    "plot_bubbles",
    "plot_curve",
    "summarise",
    "trial_table",
]
