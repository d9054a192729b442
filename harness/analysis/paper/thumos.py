"""The paper's tables on THUMOS14: representation, tuning, frames, placement, adapters, kernels, heads.

The numbers are those of the paper (arXiv 2311.17241) as adatad-facts 10.1 and 10.2 restate them; its full text could
not be had where this was written, so what the facts lack is None here, and `absent` says what that is.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from harness.analysis.paper.other_methods import HEADS_ON_FEATURES
from harness.analysis.paper.rows import (
    ADAPTER,
    BACKBONE,
    DATA,
    FRAMES,
    HEAD,
    KERNEL,
    PLACEMENT,
    REPRESENTATION,
    RESOLUTION,
    SPATIAL_KERNEL,
    TUNING,
    PaperTable,
    Published,
)

SAME_SETTING = "the same setting as in another table"
DEFAULT: Mapping[str, Any] = {
    DATA: "thumos14",
    BACKBONE: "videomae-s",
    REPRESENTATION: "frame",
    TUNING: "adapter",
    ADAPTER: "tia",
    PLACEMENT: "inside",
    KERNEL: 3,
    SPATIAL_KERNEL: 1,
    HEAD: "actionformer",
    FRAMES: 768,
    RESOLUTION: 160,
}
"""The paper's setting where a table says nothing else."""

FEATURES: Mapping[str, Any] = {REPRESENTATION: "snippet", TUNING: "features", ADAPTER: None}
SNIPPET_FULL: Mapping[str, Any] = {REPRESENTATION: "snippet", TUNING: "full", ADAPTER: None}
SNIPPET_FROZEN: Mapping[str, Any] = {REPRESENTATION: "snippet", TUNING: "frozen", ADAPTER: None}
FRAME_FROZEN: Mapping[str, Any] = {REPRESENTATION: "frame", TUNING: "frozen", ADAPTER: None}
FRAME_FULL: Mapping[str, Any] = {REPRESENTATION: "frame", TUNING: "full", ADAPTER: None}
ADATAD: Mapping[str, Any] = {REPRESENTATION: "frame", TUNING: "adapter", ADAPTER: "tia"}


def but(*free: str, **fixed: Any) -> dict[str, Any]:
    """Return the default setting without what a table varies, and with what it has otherwise."""
    return {path: value for path, value in {**DEFAULT, **fixed}.items() if path not in free}


def _rows(table: str, rows: Iterable[tuple[Mapping[str, Any], Any, Any, Any]]) -> tuple[Published, ...]:
    return tuple(
        Published(table=table, at=dict(at), map_avg=map_avg, memory_gib=gib, params_m=params)
        for at, map_avg, gib, params in rows
    )


def _placed(table: str, rows: Iterable[tuple[str, str, int, int, float | None, float | None]]) -> tuple[Published, ...]:
    return tuple(
        Published(
            table=table,
            at={BACKBONE: f"videomae-{size}", PLACEMENT: placement, FRAMES: frames, RESOLUTION: resolution},
            map_avg=map_avg,
            memory_gib=gib,
            out_of_memory=map_avg is None and size == "g",
        )
        for size, placement, frames, resolution, map_avg, gib in rows
    )


_S, _B, _L = ({BACKBONE: f"videomae-{size}"} for size in "sbl")
_R101, _R50, _SWIN = {BACKBONE: "slowfast-r101"}, {BACKBONE: "slowfast-r50"}, {BACKBONE: "videoswin-b"}

TABLE_1 = PaperTable(
    number="Table 1",
    study="compare_representation",
    title="Snippets against frames, frozen and fully fine-tuned",
    setting=but(BACKBONE, REPRESENTATION, TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL),
    down=(BACKBONE, REPRESENTATION),
    across=TUNING,
    rows=_rows(
        "Table 1",
        (
            ({**_R101, **SNIPPET_FROZEN}, None, None, None),
            ({**_R101, **SNIPPET_FULL}, None, None, None),
            ({**_R101, **FRAME_FROZEN}, None, None, None),
            ({**_R101, **FRAME_FULL}, None, None, None),
            ({**_S, **SNIPPET_FROZEN}, 57.6, None, None),
            ({**_S, **SNIPPET_FULL}, 68.4, 24.6, None),
            ({**_S, **FRAME_FROZEN}, None, None, None),
            ({**_S, **FRAME_FULL}, 67.1, 2.8, None),
        ),
    ),
    absent="everything of SlowFast-R101, the frozen frame setting, memory of the frozen settings",
)

TABLE_4 = PaperTable(
    number="Table 4",
    study="compare_tuning",
    title="Ways to tune VideoMAE",
    setting=but(BACKBONE, REPRESENTATION, TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL),
    down=(BACKBONE, REPRESENTATION, TUNING),
    measures=("map", "memory", "params"),
    rows=_rows(
        "Table 4",
        (
            ({**_S, **FEATURES}, 57.6, None, None),
            ({**_S, **SNIPPET_FULL}, 68.4, 24.6, None),
            ({**_S, **FRAME_FULL}, 67.1, 2.8, None),
            ({**_S, **ADATAD}, 68.8, 2.5, 1),
            ({**_B, **FEATURES}, 64.7, None, None),
            ({**_B, **SNIPPET_FULL}, None, None, None),
            ({**_B, **FRAME_FULL}, 70.1, 5.6, None),
            ({**_B, **ADATAD}, 71.5, 4.9, 4),
            ({**_L, **FEATURES}, 66.5, None, None),
            ({**_L, **SNIPPET_FULL}, None, None, None),
            ({**_L, **FRAME_FULL}, 73.0, 13.1, None),
            ({**_L, **ADATAD}, 73.5, 11.0, 14),
        ),
    ),
    absent="snippet fine-tuning of B and L, memory of the feature settings, parameters other than the adapters'",
)

TABLE_12 = PaperTable(
    number="Table 12",
    study="compare_tuning",
    title="Ways to tune other backbones",
    setting=but(BACKBONE, REPRESENTATION, TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL),
    down=(BACKBONE, REPRESENTATION, TUNING),
    measures=("map", "memory", "params"),
    rows=_rows(
        "Table 12",
        (
            ({**_SWIN, **FEATURES}, 55.1, None, None),
            ({**_SWIN, **SNIPPET_FULL}, None, None, None),
            ({**_SWIN, **FRAME_FULL}, None, None, None),
            ({**_SWIN, **ADATAD}, 63.7, 16.1, 3.9),
            ({**_R50, **FEATURES}, 62.3, None, None),
            ({**_R50, **SNIPPET_FULL}, None, None, None),
            ({**_R50, **FRAME_FULL}, None, None, None),
            ({**_R50, **ADATAD}, 66.0, 4.3, 11.4),
        ),
    ),
    absent="full fine-tuning of both, memory of the feature settings",
)

# VideoMAE-S with adapters inside.
TABLE_5 = PaperTable(
    number="Table 5",
    study="scale_frames",
    title="Frames per window and resolution",
    setting=but(FRAMES, RESOLUTION),
    down=(FRAMES,),
    across=RESOLUTION,
    rows=_rows(
        "Table 5",
        (
            ({FRAMES: 768, RESOLUTION: 160}, 68.8, 2.5, None),
            ({FRAMES: 1536, RESOLUTION: 160}, 69.7, 3.8, None),
            ({FRAMES: 3072, RESOLUTION: 160}, 70.6, 6.5, None),
            ({FRAMES: 768, RESOLUTION: 224}, 70.7, 3.8, None),
            ({FRAMES: 1536, RESOLUTION: 224}, 71.0, 6.4, None),
            ({FRAMES: 3072, RESOLUTION: 224}, 71.5, 11.6, None),
        ),
    ),
)

TABLE_6 = PaperTable(
    number="Table 6",
    study="scale_to_giant",
    title="To the giant backbone, inside and beside it",
    setting=but(BACKBONE, PLACEMENT, FRAMES, RESOLUTION),
    down=(BACKBONE, PLACEMENT, FRAMES, RESOLUTION),
    rows=_placed(
        "Table 6",
        (
            ("l", "inside", 768, 160, 73.5, 11.0),
            ("l", "outside", 768, 160, 73.1, 8.1),
            ("l", "outside", 768, 224, 73.7, 10.8),
            ("g", "inside", 768, 160, 74.8, 29.9),
            ("g", "outside", 768, 160, 73.7, 22.8),
            ("g", "outside", 768, 224, 74.6, 30.0),
            ("g", "inside", 1536, 224, None, None),
            ("g", "outside", 1536, 224, 75.4, 43.6),
        ),
    ),
    absent="L inside at 224 x 224",
)

TABLE_7 = PaperTable(
    number="Table 7",
    study="compare_adapters",
    title="Adapters of VideoMAE-B",
    setting=but(TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL, **{BACKBONE: "videomae-b"}),
    down=(TUNING, ADAPTER),
    measures=("map", "params", "memory"),
    rows=_rows(
        "Table 7",
        (
            ({TUNING: "full", ADAPTER: None}, 70.1, 5.6, None),
            ({TUNING: "adapter", ADAPTER: "longlora"}, 71.1, 6.2, 28),
            ({TUNING: "adapter", ADAPTER: "plain"}, 70.2, 4.8, 3.6),
            ({TUNING: "adapter", ADAPTER: "tia_no_residual"}, 70.8, 4.9, 4.0),
            ({TUNING: "adapter", ADAPTER: "tia"}, 71.5, 4.9, 4.0),
            ({TUNING: "full", ADAPTER: "tia"}, None, None, None),
        ),
    ),
    absent="full fine-tuning with TIA",
)

TABLE_11 = PaperTable(
    number="Table 11",
    study="compare_placement",
    title="Adapters inside and beside the backbone",
    setting=but(BACKBONE, PLACEMENT, FRAMES, RESOLUTION),
    down=(BACKBONE, PLACEMENT),
    across=RESOLUTION,
    rows=_placed(
        "Table 11",
        (
            ("s", "inside", 768, 160, 68.8, 2.5),
            ("s", "outside", 768, 160, 68.0, 1.8),
            ("s", "inside", 768, 224, 70.7, 3.8),
            ("s", "outside", 768, 224, 68.9, 2.7),
            ("b", "inside", 768, 160, 71.5, 4.9),
            ("b", "outside", 768, 160, 70.2, 4.0),
            ("b", "inside", 768, 224, None, None),
            ("b", "outside", 768, 224, 71.9, 4.9),
            ("l", "inside", 768, 160, 73.5, 11.0),
            ("l", "outside", 768, 160, 73.1, 8.1),
            ("l", "inside", 768, 224, None, None),
            ("l", "outside", 768, 224, 73.7, 10.8),
        ),
    ),
    absent="B and L inside at 224 x 224",
)

TABLE_13 = PaperTable(
    number="Table 13",
    study="scale_kernel",
    title="Kernels of the adapters' convolution",
    setting=but(KERNEL, SPATIAL_KERNEL, **{BACKBONE: "videomae-b"}),
    down=(KERNEL, SPATIAL_KERNEL),
    measures=("map",),
    rows=_rows(
        "Table 13",
        (
            ({KERNEL: 3, SPATIAL_KERNEL: 1}, 71.5, 4.9, 4.0),
            ({KERNEL: 1, SPATIAL_KERNEL: 1}, 71.06, None, None),
            ({KERNEL: 3, SPATIAL_KERNEL: 3}, 70.63, None, None),
            ({KERNEL: 7, SPATIAL_KERNEL: 1}, 71.02, None, None),
            ({KERNEL: 13, SPATIAL_KERNEL: 1}, 69.96, None, None),
            ({KERNEL: 21, SPATIAL_KERNEL: 1}, 69.03, None, None),
        ),
    ),
    absent="the second decimal of (3, 1, 1), whose number is that of Table 7",
)

TABLE_15 = PaperTable(
    number="Table 15",
    study="compare_heads",
    title="Detection heads on VideoMAE-L",
    setting=but(HEAD, REPRESENTATION, TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL, **{BACKBONE: "videomae-l"}),
    down=(HEAD,),
    across=TUNING,
    measures=("map",),
    rows=_rows(
        "Table 15",
        (
            ({HEAD: "gtad", **FEATURES}, 50.8, None, None),
            ({HEAD: "gtad", **ADATAD}, 55.5, None, None),
            ({HEAD: "actionformer", **FEATURES}, 66.5, None, None),
            ({HEAD: "actionformer", **ADATAD}, 73.5, 11.0, 14),
            ({HEAD: "tridet", **FEATURES}, 68.8, None, None),
            ({HEAD: "tridet", **ADATAD}, 74.1, None, None),
        ),
    ),
    others=HEADS_ON_FEATURES,
)

THUMOS_TABLES = (TABLE_1, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_11, TABLE_12, TABLE_13, TABLE_15)
