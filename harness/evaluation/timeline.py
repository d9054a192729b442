"""A video at a glance: detections beside the annotated actions, or alone as a timeline with a row for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.columns import ActionRow, DetectionRow
from harness.evaluation.pictures import FAINT, INK, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOP = 20
ROW_IN, LETTERS = 0.13, 24
MANY_SECONDS = 300.0
"""From here on a time axis is easier to read in minutes."""


def plot_video(
    stem: Path,
    video_id: str,
    actions: Sequence[ActionRow],
    detections: Sequence[DetectionRow],
    *,
    duration_s: float | None = None,
    top: int = TOP,
) -> Path:
    """Draw a video's actions, one row a class, and its `top` best detections, best first (the paper's Figure 7).

    A detection's colour is its largest IoU with an action of its class. Equal scores go by start and end.

    Returns:
        The PNG file; an SVG file is beside it.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    best = sorted(detections, key=lambda row: (-row[3], row[0], row[1]))[:top]
    classes = sorted({row[2] for row in actions})
    ends = [row[1] for row in (*actions, *best)]
    with picture(stem, height_in=0.9 + ROW_IN * (len(classes) + len(best))) as figure:
        axes = figure.subplots()
        colours = ScalarMappable(Normalize(0, 1), "viridis")
        for place, label in enumerate(reversed(classes), start=1):
            _strips(axes, place, [row for row in actions if row[2] == label], INK)
        for start, end, _ in actions:
            axes.axvspan(start, end, color=FAINT, alpha=0.5, linewidth=0, zorder=0)
        for rank, row in enumerate(best, start=1):
            _strips(axes, -rank, [row], colours.to_rgba(np.array(best_overlap(row, actions))))
        axes.axhline(0, color=INK, linewidth=1.0)
        named = len({row[2] for row in (*actions, *best)}) > 1
        places = [*range(len(classes), 0, -1), *(-rank for rank in range(1, len(best) + 1))]
        ranks = [f"{rank} {_short(row[2])}" if named else str(rank) for rank, row in enumerate(best, start=1)]
        axes.set_yticks(places, [*map(_short, classes), *ranks], fontsize=6.5)
        axes.set_ylim(-len(best) - 0.7, len(classes) + 0.7)
        axes.set_xlim(0, duration_s or max(ends, default=1.0))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("seconds")
        axes.set_title(f"{video_id}: annotated above the line, the best {len(best)} detections below")
        figure.colorbar(colours, ax=axes, label="best tIoU", pad=0.01, aspect=25)
    return stem.with_name(f"{stem.name}.png")


def plot_detections(stem: Path, title: str, detections: Sequence[DetectionRow], duration_s: float) -> Path:
    """Draw a timeline of detections, one row a class in the order of their first appearance, coloured by score.

    Where they overlap, the best lies on top. There is a picture even where nothing was detected.

    Returns:
        The PNG file; an SVG file is beside it.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows = sorted(detections, key=lambda row: row[0])
    classes = list(dict.fromkeys(row[2] for row in rows))
    with picture(stem, height_in=1.1 + 2 * ROW_IN * max(1, len(classes))) as figure:
        axes = figure.subplots()
        colours = ScalarMappable(Normalize(0, 1), "viridis_r")
        for row in sorted(rows, key=lambda row: row[3]):
            _strips(axes, -classes.index(row[2]), [row], colours.to_rgba(np.array(row[3])))
        axes.set_yticks([-place for place in range(len(classes))], [_short(label) for label in classes], fontsize=7)
        axes.set_ylim(-max(1, len(classes)) + 0.4, 0.6)
        axes.set_xlim(0, duration_s)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlabel("seconds" if duration_s < MANY_SECONDS else "minutes:seconds")
        if duration_s >= MANY_SECONDS:
            axes.xaxis.set_major_formatter(lambda seconds, _: f"{int(seconds // 60)}:{int(seconds % 60):02d}")
        axes.set_title(f"{title}: {len(rows)} detection{'' if len(rows) == 1 else 's'}")
        figure.colorbar(colours, ax=axes, label="score", pad=0.01, aspect=25)
    return stem.with_name(f"{stem.name}.png")


def best_overlap(detection: DetectionRow, actions: Sequence[ActionRow]) -> float:
    """Return a detection's largest IoU with an action of its class."""
    start, end, label, _ = detection
    overlaps = [0.0]
    for other_start, other_end, other_label in actions:
        inter = min(end, other_end) - max(start, other_start)
        if other_label == label and inter > 0:
            overlaps.append(inter / (max(end, other_end) - min(start, other_start)))
    return max(overlaps)


def _strips(axes: "Axes", place: int, rows: Sequence[ActionRow | DetectionRow], colour: object) -> None:
    spans = [(row[0], row[1] - row[0]) for row in rows]
    axes.broken_barh(spans, (place - 0.36, 0.72), facecolors=colour, edgecolors="white", linewidth=0.3)


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
