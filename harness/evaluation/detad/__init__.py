"""Error analysis of a detector: what its false positives are, what it misses, and how that depends on the action."""

from harness.evaluation.detad.by_bin import ByBin
from harness.evaluation.detad.characteristics import Characteristic
from harness.evaluation.detad.diagnosis import Diagnosis, diagnose
from harness.evaluation.detad.false_positives import KINDS, FalsePositives

__all__ = ["KINDS", "ByBin", "Characteristic", "Diagnosis", "FalsePositives", "diagnose"]
