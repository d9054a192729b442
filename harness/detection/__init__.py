"""From what a head says about each window to one sorted list of detections per video."""

from harness.detection.class_scores import ClassScores, read_class_scores
from harness.detection.files import (
    MalformedDetections,
    Rows,
    detections_of,
    document_of,
    read_detections,
    read_document,
    write_detections,
)
from harness.detection.fusion import fuse, pair_verbs_with_nouns
from harness.detection.nms import Detections, soft_nms, suppress
from harness.detection.stitch import Pool, merge_windows, name_segments, select_candidates, to_rows
from harness.detection.voting import vote

__all__ = [
    "ClassScores",
    "Detections",
    "MalformedDetections",
    "Pool",
    "Rows",
    "detections_of",
    "document_of",
    "fuse",
    "merge_windows",
    "name_segments",
    "pair_verbs_with_nouns",
    "read_class_scores",
    "read_detections",
    "read_document",
    "select_candidates",
    "soft_nms",
    "suppress",
    "to_rows",
    "vote",
    "write_detections",
]
