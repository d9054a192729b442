"""DETAD's figures, the paper's Figures 4 and 6: error profile, sensitivity, and what is missed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.detad.by_bin import ByBin
from harness.evaluation.detad.characteristics import Characteristic
from harness.evaluation.detad.diagnosis import Diagnosis
from harness.evaluation.detad.false_positives import KINDS
from harness.evaluation.pictures import COLOURS, INK, picture, value_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KIND_COLOURS = ("#009E73", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#BBBBBB")
LINE = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1.5}
NAMES = {
    "coverage": "coverage",
    "length": "length (s)",
    "num-instances": "instances in video",
    "context-size": "context size",
    "context-distance": "context distance",
    "agreement": "agreement",
}
NUMBERED = ("coverage", "length", "num-instances", "agreement")
"""Characteristics whose bins are ranges of numbers; those of the others say themselves what they are."""


def plot_diagnosis(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Draw all figures into a folder, as PNG and SVG; return the PNG files."""
    stems = [folder / name for name in ("false_positives", "sensitivity", "false_negatives")]
    _plot_false_positives(diagnosis, stems[0])
    _plot_sensitivity(diagnosis, stems[1])
    _plot_missed(diagnosis, stems[2])
    return [stem.with_suffix(".png") for stem in stems]


def _plot_false_positives(diagnosis: Diagnosis, stem: Path) -> None:
    errors = diagnosis.false_positives
    with picture(stem, height_in=2.9) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        places = np.arange(len(errors.profile))
        below = np.zeros(len(places))
        for shares, kind, colour in zip(100 * errors.profile.T, KINDS, KIND_COLOURS, strict=True):
            left.bar(
                places, shares, bottom=below, width=0.85, color=colour, label=kind, edgecolor="white", linewidth=0.4
            )
            below += shares
        left.set_title("False-positive profile")
        left.set_xticks(places, [f"{place + 1}G" for place in places])
        left.set_xlabel("best detections of each class, G = its number of actions")
        left.set_ylabel("share of detections (%)")
        left.set_ylim(0, 100)
        left.tick_params(axis="x", length=0)
        left.margins(x=0.01)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False,
                      handlelength=1.0, columnspacing=1.2)  # fmt: skip
        _gains(right, errors.gain)


def _gains(axes: "Axes", gain: Mapping[str, float]) -> None:
    values = [100 * value for value in gain.values()]
    places = np.arange(len(values))[::-1]
    axes.barh(places, values, height=0.7, color=KIND_COLOURS[1:])
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:+.1f}", (max(value, 0.0), place), xytext=(3, 0), textcoords="offset points", va="center",
                      fontsize=7.5, color=INK)  # fmt: skip
    axes.set_yticks(places, list(gain))
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(min(0.0, *values), 1.2 * max(*values, 0.01))
    axes.grid(axis="x")
    axes.set_xlabel("gain in mAP$_N$ (points)", parse_math=True)
    axes.set_title("Without the errors of one kind")


def _plot_sensitivity(diagnosis: Diagnosis, stem: Path) -> None:
    with picture(stem, height_in=2.7) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(7, 2))
        _bars(left, diagnosis.sensitivity, diagnosis.characteristics)
        left.set_title("Sensitivity to what an action is like")
        left.set_ylabel("mAP$_N$ (%)", parse_math=True)
        _ranges(right, diagnosis)


def _ranges(axes: "Axes", diagnosis: Diagnosis) -> None:
    axes.axhline(1.0, **LINE)
    highest = 1.0
    for place, one in enumerate(diagnosis.characteristics):
        span = diagnosis.sensitivity.relative(one.name)
        if span is None:
            continue
        axes.plot([place, place], span, color=COLOURS[place], linewidth=4, marker="_", markersize=11, markeredgewidth=2)
        for value, up in zip(span, (-1, 1), strict=True):
            axes.annotate(f"{value:.2f}", (place, value), xytext=(0, 4 * up), textcoords="offset points", ha="center",
                          va="bottom" if up > 0 else "top", fontsize=7)  # fmt: skip
        highest = max(highest, span[1])
    axes.set_xlim(-0.6, len(diagnosis.characteristics) - 0.4)
    axes.set_ylim(0, 1.15 * highest)
    axes.grid(axis="y")
    names = [NAMES[one.name].split(" (")[0].split(" in ")[0] for one in diagnosis.characteristics]
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("bin over all")
    axes.set_title("Range")


def _plot_missed(diagnosis: Diagnosis, stem: Path) -> None:
    with picture(stem, height_in=2.5) as figure:
        axes = figure.subplots()
        _bars(axes, diagnosis.missed, diagnosis.characteristics)
        axes.set_title("Actions that are missed")
        axes.set_ylabel("missed (%)")


def _bars(axes: "Axes", by_bin: ByBin, characteristics: Sequence[Characteristic]) -> None:
    """Draw a bar for each bin, with its value on top, and a line at the value of all actions."""
    ticks: dict[float, str] = {}
    place = 0
    for one, colour in zip(characteristics, COLOURS, strict=False):
        middle = place + (len(one.bins) - 1) / 2
        axes.annotate(NAMES[one.name], (middle, 1), xycoords=("data", "axes fraction"), xytext=(0, -2),
                      textcoords="offset points", ha="center", va="top", color=colour, fontweight="bold")  # fmt: skip
        for (name, edge), value in zip(one.bins, by_bin.bins[one.name].values(), strict=True):
            _bar(axes, place, value, colour)
            ticks[place] = f"{name}\n{_range(one, edge)}" if one.name in NUMBERED else name
            place += 1
        place += 1
    axes.set_xticks(list(ticks), list(ticks.values()), fontsize=6.5)
    # Room on the right for what the line is.
    axes.set_xlim(-0.7, place - 0.1)
    known = [value for bins in by_bin.bins.values() for value in bins.values() if value is not None]
    value_axis(axes, 112 * max(known, default=0.0))
    overall = 100 * by_bin.overall
    axes.axhline(overall, **LINE)
    axes.annotate(f"all: {overall:.1f}", (1, overall), xycoords=("axes fraction", "data"), xytext=(0, 2),
                  textcoords="offset points", ha="right", fontsize=7.5)  # fmt: skip


def _bar(axes: "Axes", place: int, value: float | None, colour: str) -> None:
    height = 100 * (value or 0.0)
    axes.bar(place, height, width=0.8, color=colour)
    text = "none" if value is None else f"{height:.1f}"
    axes.annotate(text, (place, height), xytext=(0, 2.5), textcoords="offset points", ha="center", fontsize=7,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.1})  # fmt: skip


def _range(one: Characteristic, edge: float) -> str:
    if not np.isinf(edge):
        return f"≤{edge:g}".replace("≤0.", "≤.")
    below = [other for _, other in one.bins if not np.isinf(other)]
    return f">{below[-1]:g}" if below else "all"
