"""What a budget of operations or of memory is best spent on, by the joint law of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.amounts import MIB
from harness.analysis.decisions.allocation import Allocation
from harness.analysis.fits import Refused
from harness.analysis.paper.law import MEMORY, cost_of, fit_law, sizes_of
from harness.analysis.plots.style import COLOURS, GREY, labelled, legend_below, logarithmic, picture
from harness.analysis.summary import has_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
PANEL_IN = (2.3, 1.35)
UNITS = {True: (MIB, "peak memory (MiB, logarithmic)"), False: (1e9, "operations of a step (10⁹, logarithmic)")}


def plot_law(rows: Sequence[Row], path: Path | str) -> Path:
    """Draw, over each kind of budget, the best foretold mAP with all settings that were run, and the sizes it takes.

    Dashed lines are the measured range of a size; past twice of it the optimum is dotted. Bands are the law's level.

    Args:
        rows: Of the trials table.
        path: File to write: png, svg or pdf.

    Raises:
        ValueError: the trials hold no law, or no law of what they cost.
    """
    law = fit_law(rows)
    if isinstance(law, Refused):
        raise ValueError(f"there is nothing to plot: {law.reason}")
    paths = law.paths
    if not paths:
        raise ValueError("there is nothing to plot: no law of what the trials cost")
    names = law.surface.x_names
    with picture(path, "") as (figure, axes):
        axes.remove()
        figure.set_size_inches(PANEL_IN[0] * len(paths), PANEL_IN[1] * (1 + len(names)))
        grid: Any = figure.subplots(1 + len(names), len(paths), sharex="col", sharey="row", squeeze=False)
        for column, (cost, found) in enumerate(paths.items()):
            factor, label = UNITS[cost == MEMORY]
            budgets = np.array([each.budget for each in found]) / factor
            _scores(grid[0, column], rows, cost, factor, found, budgets)
            for place, name in enumerate(names):
                _sizes(
                    grid[1 + place, column], name, found, budgets, (law.surface.x_min[place], law.surface.x_max[place])
                )
            grid[-1, column].set_xlabel(label)
        for panel, name in zip(grid[:, 0], ("mAP (%)", *map(_label, names)), strict=True):
            panel.set_ylabel(name)
        legend_below(figure, labelled(grid[0, 0]))
    return Path(path)


def _scores(
    axes: "Axes", rows: Sequence[Row], cost: str, factor: float, found: Sequence[Allocation], budgets: np.ndarray
) -> None:
    members: dict[tuple[float, ...], list[Row]] = {}
    for row in rows:
        if has_result(row) and cost_of(row, cost):
            members.setdefault(sizes_of(row), []).append(row)
    costs = [np.mean([cost_of(row, cost) or 0.0 for row in each]) / factor for each in members.values()]
    means = [100 * np.mean([row["map_avg"] for row in each]) for each in members.values()]
    axes.plot(costs, means, "o", color=GREY, ms=2.5, mew=0, alpha=0.7, label="settings that were run")
    intervals = [each.y_interval for each in found]
    bands = [(100 * (1 - each[1]), 100 * (1 - each[0])) for each in intervals if each]
    best = np.array([100 * (1 - each.y) for each in found])
    _line(axes, budgets, best, bands, [bool(each.far) for each in found], "best use of the budget, foretold")
    logarithmic(axes, budgets.tolist(), over=1.0)


def _sizes(
    axes: "Axes", name: str, found: Sequence[Allocation], budgets: np.ndarray, measured: tuple[float, float]
) -> None:
    for end in map(_shown(name), measured):
        axes.axhline(end, color=GREY, lw=0.7, ls="--")
    shown = _shown(name)
    best = np.array([shown(each.sizes[name]) for each in found])
    bands = [(shown(low), shown(high)) for low, high in (each.intervals[name] for each in found if each.intervals)]
    _line(axes, budgets, best, bands, [name in each.far for each in found], None)
    axes.set_yscale("log", base=2 if name in ("frames", "pixels") else 10)
    if name in ("frames", "pixels"):
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _line(
    axes: "Axes",
    budgets: np.ndarray,
    best: np.ndarray,
    bands: Sequence[tuple[float, float]],
    far: Sequence[bool],
    label: str | None,
) -> None:
    if len(bands) == len(budgets):
        low, high = np.array(bands).T
        axes.fill_between(budgets, low, high, color=COLOURS[0], alpha=0.2, lw=0)
    near = ~np.array(far)
    axes.plot(budgets, np.where(near, best, np.nan), "-", color=COLOURS[0], lw=1.2, label=label)
    axes.plot(budgets, best, ":", color=COLOURS[0], lw=1.2)


def _shown(name: str) -> Any:
    return np.sqrt if name == "pixels" else float


def _label(name: str) -> str:
    return "resolution" if name == "pixels" else name.replace(" of a window", "\nof a window")
