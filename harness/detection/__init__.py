"""From what a head says about each window to one sorted list of detections per video."""

from harness.detection.nms import Detections, soft_nms
from harness.detection.stitch import (
    MalformedDetections,
    Rows,
    merge_windows,
    read_detections,
    select_candidates,
    to_rows,
    write_detections,
)

__all__ = [
    "Detections",
    "MalformedDetections",
    "Rows",
    "merge_windows",
    "read_detections",
    "select_candidates",
    "soft_nms",
    "to_rows",
    "write_detections",
]
