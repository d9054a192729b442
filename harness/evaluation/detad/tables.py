"""The error analysis as tables for the terminal."""

from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.detad.diagnosis import Diagnosis
from harness.evaluation.detad.false_positives import KINDS

if TYPE_CHECKING:
    from rich.table import Table


def false_positive_table(diagnosis: Diagnosis) -> "Table":
    """Return each kind's share of the best detections and what its removal would gain."""
    errors = diagnosis.false_positives
    table = _table(f"False positives, mAP_N {100 * errors.map_n:.2f} %")
    table.add_column("% of the best")
    for group in range(len(errors.profile)):
        table.add_column(f"{group + 1}G", justify="right", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    for kind, shares in zip(KINDS, 100 * errors.profile.T, strict=True):
        gain = f"{100 * errors.gain[kind]:+.2f}" if kind in errors.gain else ""
        table.add_row(kind, *(f"{share:.0f}" for share in shares), gain)
    return table


def bin_table(diagnosis: Diagnosis) -> "Table":
    """Return what is missed, and mAP_N, by what the actions are like."""
    table = _table("Actions by characteristic")
    for head in ("characteristic", "bin"):
        table.add_column(head, no_wrap=True)
    for head in ("actions", "missed %", "mAP_N %", "over all"):
        table.add_column(head, justify="right", no_wrap=True)
    base = diagnosis.sensitivity.overall
    table.add_row("all", "", f"{diagnosis.num_actions:,}", _percent(diagnosis.missed.overall), _percent(base), "")
    for one in diagnosis.characteristics:
        table.add_section()
        for (name, edge), count in zip(one.bins, one.counts, strict=True):
            value = diagnosis.sensitivity.bins[one.name][name]
            ratio = "" if value is None or not base else f"{value / base:.2f}"
            missed = _percent(diagnosis.missed.bins[one.name][name])
            until = name if np.isinf(edge) else f"{name}, up to {edge:g}"
            table.add_row(one.name, until, f"{count:,}", missed, _percent(value), ratio)
    return table


def notes(diagnosis: Diagnosis) -> list[str]:
    """Return what belongs below the tables: how to read them, and what was analysed."""
    tious = ", ".join(f"{tiou:g}" for tiou in diagnosis.tious)
    lines = [
        "G: as many detections of each class as it has actions; gain: mAP_N without that kind, in points",
        f"subset {diagnosis.subset}: {len(diagnosis.videos):,} videos, {diagnosis.num_classes} classes, tIoU {tious}",
    ]
    if diagnosis.num_flawed:
        lines.append(f"actions left out since no positive length or longer than their video: {diagnosis.num_flawed:,}")
    if diagnosis.compat:
        lines.append("with the errors of the original (--compat)")
    return lines


def _table(title: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
