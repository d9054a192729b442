"""Scores of detections against annotations."""

from harness.evaluation.average_precision import MapResult, evaluate, interpolated_precision
from harness.evaluation.ground_truth import GroundTruth, ground_truth_of
from harness.evaluation.measure import Measured, measure
from harness.evaluation.recall import ProposalRecall, proposal_recall, recall_at_kx
from harness.evaluation.settings import SETTINGS, Setting, setting_of
from harness.evaluation.thumos14 import evaluate_thumos14

__all__ = [
    "SETTINGS",
    "GroundTruth",
    "MapResult",
    "Measured",
    "ProposalRecall",
    "Setting",
    "evaluate",
    "evaluate_thumos14",
    "ground_truth_of",
    "interpolated_precision",
    "measure",
    "proposal_recall",
    "recall_at_kx",
    "setting_of",
]
