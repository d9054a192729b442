"""The paper's tables on several data sets, or on others than THUMOS14: backbones, EPIC-Kitchens, Ego4D, ActivityNet.

Numbers and what is absent: as in `thumos`. Where one table of the paper has several data sets, each is a table here.
"""

from collections.abc import Iterable
from typing import Any

from harness.analysis.paper.other_methods import (
    ON_ACTIVITYNET,
    ON_EGO4D,
    ON_EPIC_NOUN,
    ON_EPIC_VERB,
    ON_THUMOS,
)
from harness.analysis.paper.rows import (
    ADAPTER,
    BACKBONE,
    DATA,
    FRAMES,
    KERNEL,
    PLACEMENT,
    REPRESENTATION,
    RESOLUTION,
    SPATIAL_KERNEL,
    TUNING,
    PaperTable,
    Published,
)
from harness.analysis.paper.thumos import ADATAD, FEATURES, FRAME_FULL, but

ABSTRACT = "the paper's abstract and its entry on paperswithcode.com"
ARMS = (REPRESENTATION, TUNING, ADAPTER, PLACEMENT, KERNEL, SPATIAL_KERNEL)


def _sizes(data: str, rows: Iterable[tuple[str, float | None, float | None, float | None]]) -> tuple[Published, ...]:
    return tuple(
        Published(
            table="Table 2",
            at={
                DATA: data,
                BACKBONE: backbone,
                PLACEMENT: "inside",
                FRAMES: 768,
                RESOLUTION: 160,
            },
            map_avg=map_avg,
            memory_gib=gib,
            params_m=params,
        )
        for backbone, map_avg, gib, params in rows
    )


def _largest(data: str, map_avg: float, gib: float | None, map_at: dict[str, float], note: str = "") -> Published:
    return Published(
        table="Table 2",
        at={DATA: data, BACKBONE: "videomae-g", PLACEMENT: "outside", FRAMES: 1536, RESOLUTION: 224},
        map_avg=map_avg,
        memory_gib=gib,
        map_at=map_at,
        note=note,
    )


TABLE_2_THUMOS = PaperTable(
    number="Table 2",
    study="scale_backbone",
    title="Backbones on THUMOS14",
    setting=but(BACKBONE, PLACEMENT, FRAMES, RESOLUTION, **{DATA: "thumos14"}),
    down=(BACKBONE, PLACEMENT, FRAMES, RESOLUTION),
    rows=(
        *_sizes(
            "thumos14",
            (
                ("slowfast-r50", 66.0, 4.3, 11.4),
                ("videomae-s", 68.8, 2.5, 1),
                ("videomae-b", 71.5, 4.9, 4),
                ("videomae-l", 73.5, 11.0, 14),
                ("videomae-h", 74.4, 19.2, None),
                ("videomae-g", 74.8, 29.9, None),
            ),
        ),
        _largest(
            "thumos14", 75.4, 43.6, {"0.3": 90.1, "0.4": 85.9, "0.5": 79.4, "0.6": 67.6, "0.7": 53.8}, note=ABSTRACT
        ),
    ),
    others=ON_THUMOS,
    absent="mAP per threshold of all but the largest, other methods' memory",
)

# Other class scores than the rest of the table: a setting of its own, that no trial of the study has.
WITH_INTERNVIDEO = Published(
    table="Table 2",
    at={},
    method="AdaTAD beside VideoMAE-g, 1,536 frames of 224², InternVideo's class scores",
    map_avg=41.93,
    map_at={"0.5": 61.72, "0.75": 43.35, "0.95": 10.85},
    note=ABSTRACT,
)

TABLE_2_ACTIVITYNET = PaperTable(
    number="Table 2",
    study="scale_backbone",
    title="Backbones on ActivityNet-1.3",
    setting=but(BACKBONE, PLACEMENT, FRAMES, RESOLUTION, **{DATA: "activitynet"}),
    down=(BACKBONE, PLACEMENT, FRAMES, RESOLUTION),
    rows=(
        *_sizes(
            "activitynet",
            (
                ("slowfast-r50", None, None, None),
                ("videomae-s", 37.85, None, None),
                ("videomae-b", 38.39, None, None),
                ("videomae-l", 39.22, None, None),
                ("videomae-h", 39.37, None, None),
                ("videomae-g", 39.79, None, None),
            ),
        ),
        _largest("activitynet", 40.00, None, {}, note="with CUHK's class scores"),
    ),
    others=(*ON_ACTIVITYNET, WITH_INTERNVIDEO),
    absent="SlowFast-R50, memory, mAP per threshold of all but AdaTAD with InternVideo's scores",
)


def _egocentric(table: str, rows: Iterable[tuple[dict[str, Any], float | None, float | None]]) -> tuple[Published, ...]:
    return tuple(Published(table=table, at=at, map_avg=map_avg, memory_gib=gib) for at, map_avg, gib in rows)


def _epic(task: str, rows: tuple[Published, ...], others: tuple[Published, ...], title: str) -> PaperTable:
    return PaperTable(
        number="Table 3",
        study="epic_kitchens",
        title=title,
        setting=but(BACKBONE, *ARMS, **{DATA: task, FRAMES: 6144}),
        down=(BACKBONE, TUNING),
        rows=rows,
        others=others,
        absent="every feature setting, SlowFast-R50, memory of nouns, mAP per threshold of nouns",
    )


def _epic_rows(task: str, adatad: Published) -> tuple[Published, ...]:
    r50, large = {DATA: task, BACKBONE: "slowfast-r50"}, {DATA: task, BACKBONE: "videomae-l"}
    missing = ({**r50, **FEATURES}, {**r50, **ADATAD}, {**large, **FEATURES})
    return (*_egocentric("Table 3", ((at, None, None) for at in missing)), adatad)


TABLE_3_VERB = _epic(
    "epic_verb",
    _epic_rows(
        "epic_verb",
        Published(
            table="Table 3",
            at={DATA: "epic_verb", BACKBONE: "videomae-l", **ADATAD},
            map_avg=29.3,
            memory_gib=48.5,
            map_at={"0.1": 33.1, "0.2": 32.2, "0.3": 30.4, "0.4": 27.5, "0.5": 23.1},
            note=f"thresholds from {ABSTRACT}",
        ),
    ),
    ON_EPIC_VERB,
    "EPIC-Kitchens-100, verbs",
)

TABLE_3_NOUN = _epic(
    "epic_noun",
    _epic_rows(
        "epic_noun",
        Published(
            table="Table 3",
            at={DATA: "epic_noun", BACKBONE: "videomae-l", **ADATAD},
            map_avg=29.3,
            memory_gib=48.5,
            note="the facts give one memory for both tasks",
        ),
    ),
    ON_EPIC_NOUN,
    "EPIC-Kitchens-100, nouns",
)

TABLE_8 = PaperTable(
    number="Table 8",
    study="compare_pretraining",
    title="Pretraining of VideoMAE-L, EPIC-Kitchens-100 nouns",
    setting=but(BACKBONE, *ARMS, **{DATA: "epic_noun", FRAMES: 6144}),
    down=(BACKBONE,),
    across=TUNING,
    measures=("map",),
    rows=(
        *_egocentric(
            "Table 8",
            (
                ({BACKBONE: "videomae-l", **FEATURES}, None, None),
                ({BACKBONE: "videomae-l", **ADATAD}, None, None),
                ({BACKBONE: "videomae-l-epic", **FEATURES}, None, None),
            ),
        ),
        Published(
            table="Table 8",
            at={BACKBONE: "videomae-l-epic", **ADATAD},
            map_avg=29.3,
            note="inferred: Table 3's backbone was fine-tuned on EPIC-Kitchens (adatad-facts 2.4)",
        ),
    ),
    absent="everything but the largest",
)

TABLE_10 = PaperTable(
    number="Table 10",
    study="ego4d_moment_queries",
    title="Ego4D Moment Queries, VideoMAE-L",
    setting=but(*ARMS, **{DATA: "ego4d", BACKBONE: "videomae-l", FRAMES: 7200}),
    down=(REPRESENTATION, TUNING),
    rows=_egocentric(
        "Table 10", ((dict(FEATURES), None, None), (dict(FRAME_FULL), None, None), (dict(ADATAD), 28.08, 60.0))
    ),
    others=ON_EGO4D,
    absent="features and full fine-tuning, mAP per threshold, recall",
)

TABLE_14 = PaperTable(
    number="Table 14",
    study="compare_adapters",
    title="Adapters on ActivityNet-1.3",
    setting=but(*ARMS, **{DATA: "activitynet", BACKBONE: "videomae-b"}),
    down=(TUNING, ADAPTER),
    measures=("map", "params", "memory"),
    rows=tuple(
        Published(table="Table 14", at={DATA: "activitynet", **at}, map_avg=map_avg, note=note)
        for at, map_avg, note in (
            ({TUNING: "full", ADAPTER: None}, None, ""),
            ({TUNING: "adapter", ADAPTER: "longlora"}, None, ""),
            ({TUNING: "adapter", ADAPTER: "plain"}, None, ""),
            ({TUNING: "adapter", ADAPTER: "tia_no_residual"}, None, ""),
            ({TUNING: "adapter", ADAPTER: "tia"}, 38.39, "the number of Table 2"),
            ({TUNING: "full", ADAPTER: "tia"}, None, ""),
        )
    ),
    absent="all variants but TIA; that the backbone is B is inferred from Table 7",
)

OTHER_TABLES = (
    TABLE_2_THUMOS,
    TABLE_2_ACTIVITYNET,
    TABLE_3_VERB,
    TABLE_3_NOUN,
    TABLE_8,
    TABLE_10,
    TABLE_14,
)
