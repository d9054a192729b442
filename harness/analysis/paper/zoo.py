"""OpenTAD's zoo: what its released checkpoints reach, from its `configs/adatad/README.md` (December 2024).

These are other runs than the paper's, with the settings of `--preset opentad`; no memory is given. Reruns stay within
half a point, says their author.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from harness.analysis.paper.other_methods import ACTIVITYNET_TIOUS, THUMOS_TIOUS
from harness.analysis.paper.rows import BACKBONE, DATA, FRAMES, PLACEMENT, RESOLUTION, PaperTable, Published
from harness.analysis.paper.thumos import but

LAST_LAYERS = "model.adapter.last_layers"
EGOCENTRIC_TIOUS = ("0.1", "0.2", "0.3", "0.4", "0.5")
WHERE = (BACKBONE, PLACEMENT, FRAMES, RESOLUTION)


def _run(
    at: Mapping[str, Any], tious: tuple[str, ...], values: tuple[float, ...], average: float, note: str = ""
) -> Published:
    return Published(table="zoo", at=at, map_avg=average, map_at=dict(zip(tious, values, strict=True)), note=note)


def _small(size: str) -> dict[str, Any]:
    return {BACKBONE: f"videomae-{size}", PLACEMENT: "inside", FRAMES: 768, RESOLUTION: 160, LAST_LAYERS: None}


def _large(placement: str, frames: int = 1536) -> dict[str, Any]:
    return {BACKBONE: "videomae-g", PLACEMENT: placement, FRAMES: frames, RESOLUTION: 224, LAST_LAYERS: 20}


def _zoo(study: str, data: str, title: str, rows: Iterable[Published], **fixed: Any) -> PaperTable:
    return PaperTable(
        number="zoo",
        study=study,
        title=title,
        setting=but(*WHERE, **{DATA: data, **fixed}),
        down=(*WHERE, LAST_LAYERS),
        measures=("map",),
        rows=tuple(rows),
    )


THUMOS_ROWS = (
    _run(_small("s"), THUMOS_TIOUS, (83.90, 79.01, 72.38, 61.57, 48.27), 69.03),
    _run(_small("b"), THUMOS_TIOUS, (85.95, 81.86, 75.02, 63.29, 49.56), 71.14),
    _run(_small("l"), THUMOS_TIOUS, (87.17, 83.58, 76.88, 66.81, 53.13), 73.51),
    _run(_small("h"), THUMOS_TIOUS, (88.42, 84.63, 78.72, 69.04, 53.95), 74.95),
    _run(_small("g"), THUMOS_TIOUS, (88.63, 85.39, 79.17, 68.34, 53.79), 75.06),
    _run(_large("inside"), THUMOS_TIOUS, (89.93, 86.83, 81.24, 69.97, 57.36), 77.07),
    _run(_large("outside"), THUMOS_TIOUS, (88.43, 84.72, 77.88, 68.51, 53.72), 74.65),
)
ACTIVITYNET_ROWS = (
    _run(_small("s"), ACTIVITYNET_TIOUS, (56.23, 38.90, 8.88), 37.81),
    _run(_small("b"), ACTIVITYNET_TIOUS, (56.72, 39.44, 9.54), 38.35),
    _run(_small("l"), ACTIVITYNET_TIOUS, (57.73, 40.53, 9.96), 39.21),
    _run(_small("h"), ACTIVITYNET_TIOUS, (57.77, 40.60, 9.78), 39.31),
    _run(_small("g"), ACTIVITYNET_TIOUS, (58.42, 40.89, 10.01), 39.77),
    _run(_large("inside", 768), ACTIVITYNET_TIOUS, (58.57, 41.19, 10.27), 39.86),
)

ZOO: tuple[PaperTable, ...] = (
    _zoo("scale_backbone", "thumos14", "THUMOS14", THUMOS_ROWS),
    _zoo("scale_to_giant", "thumos14", "THUMOS14, the giant backbone", THUMOS_ROWS[-3:]),
    _zoo("scale_backbone", "activitynet", "ActivityNet-1.3 with CUHK's class scores", ACTIVITYNET_ROWS),
    _zoo(
        "epic_kitchens",
        "epic_verb",
        "EPIC-Kitchens-100, verbs",
        [_run({**_small("l"), FRAMES: 6144}, EGOCENTRIC_TIOUS, (33.02, 32.43, 30.51, 27.80, 24.69), 29.69)],
    ),
    _zoo(
        "epic_kitchens",
        "epic_noun",
        "EPIC-Kitchens-100, nouns",
        [_run({**_small("l"), FRAMES: 6144}, EGOCENTRIC_TIOUS, (33.88, 32.41, 30.58, 27.66, 22.67), 29.44)],
    ),
    _zoo(
        "ego4d_moment_queries",
        "ego4d",
        "Ego4D Moment Queries",
        [
            _run(
                {**_small("l"), FRAMES: 7200, RESOLUTION: 192, LAST_LAYERS: 12},
                EGOCENTRIC_TIOUS,
                (33.69, 31.19, 28.37, 26.12, 22.67),
                28.41,
            )
        ],
        **{"data.window.features": 1800},
    ),
)
"""A table for each study that `--preset opentad`, or the released settings' data set, makes comparable."""
