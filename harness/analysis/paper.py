"""The paper's own numbers (AdaTAD, CVPR 2024), with table and row, to stand beside ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a table of the paper."""

    table: str
    at: Mapping[str, Any]
    """Config values that identify the row."""
    map_avg: float
    """Average mAP in percent."""
    memory_gib: float
    """Peak of one GPU with one video, as the paper's code reports it."""


FRAMES, RESOLUTION = "data.window.frames", "data.window.resolution"

PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "scale_frames": tuple(
        Published(table="Table 5", at={FRAMES: frames, RESOLUTION: resolution}, map_avg=map_avg, memory_gib=gib)
        for frames, resolution, map_avg, gib in (
            (768, 160, 68.8, 2.5),
            (1536, 160, 69.7, 3.8),
            (3072, 160, 70.6, 6.5),
            (768, 224, 70.7, 3.8),
            (1536, 224, 71.0, 6.4),
            (3072, 224, 71.5, 11.6),
        )
    ),
}
"""VideoMAE-S, AdaTAD, ActionFormer on THUMOS14."""


def published(study: str, values: Mapping[str, Any]) -> Published | None:
    """Return the paper's row for a setting of a study, if it has one."""
    for row in PUBLISHED.get(study, ()):
        if all(values.get(path) == value for path, value in row.at.items()):
            return row
    return None
