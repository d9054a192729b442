"""The measures as tables for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.evaluation.measure import PROPOSALS_SHOWN, Measured

if TYPE_CHECKING:
    from rich.table import Table

MOST_CLASSES = 30
"""More classes than this are shown by their best and worst only."""
MOST_COLUMNS = 6
"""More thresholds than this do not fit beside the names of classes."""


def map_table(measured: Measured, title: str) -> "Table":
    """Return mAP, recall where there is one, and AP per class, all in percent, one column for each threshold.

    Of many thresholds the columns are the first, middle and last; mAP at the others is in the notes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    result = measured.result
    tious = _columns(list(result.map_at))
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("%", overflow="fold")
    for tiou in tious:
        table.add_column(f"{tiou:g}", justify="right", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_row(
        *map(Text, ["mAP", *_percents([*(result.map_at[tiou] for tiou in tious), result.map_avg])]), style="bold"
    )
    for k, at in (measured.recall or {}).items():
        mean = sum(at.values()) / len(at)
        table.add_row(*map(Text, [f"recall@{k}x", *_percents([*(at[tiou] for tiou in tious), mean])]))
    table.add_section()
    for label in _shown(list(result.ap), result.ap_mean):
        values = [*(result.ap[label][tiou] for tiou in tious), result.ap_mean[label]] if label else []
        cells = [label or "...", *_percents(values)]
        # Text, not markup: a class may be called [bold].
        table.add_row(*map(Text, cells))
    return table


def notes(measured: Measured) -> list[str]:
    """Return what belongs below the table: other thresholds, proposals, what was evaluated and what was not."""
    result = measured.result
    shown = _columns(list(result.map_at))
    others = [f"{100 * value:.2f} at {tiou:g}" for tiou, value in result.map_at.items() if tiou not in shown]
    lines = [f"mAP also {', '.join(others)}"] if others else []
    if measured.proposals is not None:
        recalls = (f"AR@{number} {100 * measured.proposals.at[number - 1]:.2f}" for number in PROPOSALS_SHOWN)
        lines.append(f"proposals: {', '.join(recalls)}, area {100 * measured.proposals.area:.2f} %")
    lines.append(
        f"protocol {measured.protocol}, subset {measured.subset}: {result.num_videos:,} videos, "
        f"{result.num_instances:,} actions, {len(result.ap)} classes"
    )
    counts = {
        "actions dropped for having no positive length": result.num_non_positive,
        "actions dropped as duplicates": result.num_duplicates,
        "detections ignored since no action has their class": result.num_other_labels,
        "detections counted as wrong since their video is outside the subset": result.num_outside,
    }
    return lines + [f"{what}: {count:,}" for what, count in counts.items() if count]


def _columns(tious: Sequence[float]) -> list[float]:
    return list(tious) if len(tious) <= MOST_COLUMNS else [tious[0], tious[len(tious) // 2], tious[-1]]


def _shown(labels: Sequence[str], means: dict[str, float]) -> list[str]:
    """Return all classes, or the best and worst with an empty name between them."""
    if len(labels) <= MOST_CLASSES:
        return list(labels)
    ranked = sorted(labels, key=lambda label: -means[label])
    return [*ranked[: MOST_CLASSES // 2], "", *ranked[-MOST_CLASSES // 2 :]]


def _percents(values: Sequence[float]) -> list[str]:
    return [f"{100 * value:.2f}" for value in values]
