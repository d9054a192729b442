"""The paper's own numbers (AdaTAD, CVPR 2024), with table and row, to stand beside ours.

All on THUMOS14 with ActionFormer; memory is the peak of one GPU with one video, as the paper's code reports it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.summary import Group, summarise
from harness.units import GIB


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
BACKBONE, PLACEMENT = "model.backbone.name", "model.adapter.placement"
RERUN_SPREAD = 0.0025
"""Standard deviation of mAP (0 to 1): the author says that reruns stay within 0.5 points, taken as two of them."""


def _placed(table: str, rows: Sequence[tuple[str, str, int, int, float, float]]) -> tuple[Published, ...]:
    return tuple(
        Published(
            table=table,
            at={BACKBONE: f"videomae-{size}", PLACEMENT: placement, FRAMES: frames, RESOLUTION: resolution},
            map_avg=map_avg,
            memory_gib=gib,
        )
        for size, placement, frames, resolution, map_avg, gib in rows
    )


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    # VideoMAE-S with adapters inside.
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
    # The giant backbone with adapters inside and 1,536 frames of 224² does not fit on 80 GiB, so it has no row.
    "scale_to_giant": _placed(
        "Table 6",
        (
            ("l", "inside", 768, 160, 73.5, 11.0),
            ("l", "outside", 768, 160, 73.1, 8.1),
            ("l", "outside", 768, 224, 73.7, 10.8),
            ("g", "inside", 768, 160, 74.8, 29.9),
            ("g", "outside", 768, 160, 73.7, 22.8),
            ("g", "outside", 768, 224, 74.6, 30.0),
            ("g", "outside", 1536, 224, 75.4, 43.6),
        ),
    ),
    "compare_placement": _placed(
        "Table 11",
        (
            ("s", "inside", 768, 160, 68.8, 2.5),
            ("s", "outside", 768, 160, 68.0, 1.8),
            ("s", "inside", 768, 224, 70.7, 3.8),
            ("s", "outside", 768, 224, 68.9, 2.7),
            ("b", "inside", 768, 160, 71.5, 4.9),
            ("b", "outside", 768, 160, 70.2, 4.0),
            ("b", "outside", 768, 224, 71.9, 4.9),
            ("l", "inside", 768, 160, 73.5, 11.0),
            ("l", "outside", 768, 160, 73.1, 8.1),
            ("l", "outside", 768, 224, 73.7, 10.8),
        ),
    ),
}
"""By the study that asks the same."""


def published(study: str, values: Mapping[str, Any]) -> Published | None:
    """Return the paper's row for a setting of a study, if it has one."""
    for row in PUBLISHED.get(study, ()):
        if all(values.get(path) == value for path, value in row.at.items()):
            return row
    return None


def paper_rows(rows: Sequence[Published]) -> list[dict[str, Any]]:
    """Return the paper's rows as rows of the trials table, one seed each."""
    return [
        {
            **row.at,
            "seed": 0,
            "state": "finished",
            "map_avg": row.map_avg / 100,
            "peak_bytes": round(row.memory_gib * GIB),
        }
        for row in rows
    ]


def paper_groups(rows: Sequence[Published]) -> tuple[Group, ...]:
    """Return the paper's rows as settings, so that curves and decisions take them as they take ours."""
    return summarise(paper_rows(rows), list(rows[0].at))
