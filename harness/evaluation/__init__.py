"""Scores of detections against annotations."""

from harness.evaluation.average_precision import MapResult, evaluate, interpolated_precision

__all__ = ["MapResult", "evaluate", "interpolated_precision"]
