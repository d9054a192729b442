"""Decisions from a study's settings: what is worth its memory, what to turn, what to run next."""

from harness.analysis.decisions.arms import PairedComparison, paired_comparison
from harness.analysis.decisions.iso_memory import IsoMemory, iso_memory
from harness.analysis.decisions.marginal import MarginalGains, marginal_gains
from harness.analysis.decisions.next_trial import NextTrial, next_trial
from harness.analysis.decisions.pareto import ParetoPoint, pareto_front

__all__ = [
    "IsoMemory",
    "MarginalGains",
    "NextTrial",
    "PairedComparison",
    "ParetoPoint",
    "iso_memory",
    "marginal_gains",
    "next_trial",
    "paired_comparison",
    "pareto_front",
]
