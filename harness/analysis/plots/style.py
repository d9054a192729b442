"""What the pictures share: the size of a paper's column, colours for any eye, axes, legend, and files written whole.

Matplotlib's object interface alone draws them, within a context of settings: no window, so any process may draw.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.names import value_name
from harness.analysis.report.axes import is_size
from harness.analysis.summary import Group
from harness.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B5538D", "#B07D00", "#3A9BD9", "#333333")
"""Okabe and Ito's palette, its light colours darkened for thin lines: told apart with any kind of colour vision."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#555555"
SIZE_IN, LEGEND_ROW_IN = (3.4, 2.35), 0.16
"""A column of a two-column paper; twice as wide when printed across the page, the letters are large enough for both."""
LETTERS_PER_LINE = 38
"""Letters of the title that fit across."""
LEGEND_LETTERS = 64
"""Letters of a row of the legend, the handles counted as seven."""
FORMATS = ("png", "svg", "pdf")
SETTINGS: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "savefig.dpi": 300,
    # The same picture gives the same file.
    "svg.hashsalt": "tadscale",
    "pdf.fonttype": 42,
}


@contextmanager
def picture(path: Path | str, title: str) -> Iterator[tuple["Figure", "Axes"]]:
    """Give an empty figure and its axes; when the block ends the picture is in `path`, as the format of its ending.

    Raises:
        ValueError: the ending is none of png, svg and pdf.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.removeprefix(".") not in FORMATS:
        raise ValueError(f"the picture is {path}, expected a name that ends in {', '.join(FORMATS)}")
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE_IN, dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if title:
            # Set at the figure's left edge, and of the axes rather than the figure so that room is made for it.
            wrapped = textwrap.fill(title, LETTERS_PER_LINE)
            axes.set_title(wrapped, loc="left", fontweight="bold", parse_math=False)
        yield figure, axes
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix.removeprefix("."), metadata=undated)


def legend_below(figure: "Figure", handles: Sequence[Any], *, row_spacing: float = 0.5) -> None:
    """Put the legend below the axes, in as many columns as fit, and make the picture higher by its rows."""
    labels = [str(handle.get_label()).split("\n") for handle in handles]
    longest = max(len(line) for lines in labels for line in lines)
    columns = max(1, min(4, LEGEND_LETTERS // (longest + 7), len(handles)))
    rows = -(-sum(map(len, labels)) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + rows * LEGEND_ROW_IN * (0.5 + row_spacing))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.6,
        labelspacing=row_spacing,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def labelled(axes: "Axes") -> list[Any]:
    """Return what was drawn with a label."""
    return axes.get_legend_handles_labels()[0]


def positions(values: Sequence[Any], sizes: Sequence[int | None]) -> dict[Any, float]:
    """Return where values stand along an axis: sizes by their logarithm, kinds side by side, small networks first."""
    if all(is_size(value) for value in values):
        return {value: float(np.log2(value)) for value in sorted(set(values))}
    largest: dict[Any, int] = {}
    for value, size in zip(values, sizes, strict=True):
        largest[value] = max(largest.get(value, 0), size or 0)
    ordered = sorted(largest, key=lambda value: (largest[value], str(value)))
    return {value: float(index) for index, value in enumerate(ordered)}


def ticks(axes: "Axes", path: str, place: dict[Any, float]) -> None:
    """Mark the values that were run, thinned where they are many, slanted where their names are long."""
    shown = list(place)
    while len(shown) > 8 and all(map(is_size, shown)):
        shown = shown[::2]
    names = [value_name(path, value) for value in shown]
    slanted = len(names) * (max(map(len, names)) + 2) > LETTERS_PER_LINE
    axes.set_xticks(
        [place[value] for value in shown],
        names,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
        parse_math=False,
    )
    span = max(place.values()) - min(place.values()) or 1.0
    axes.set_xlim(min(place.values()) - 0.08 * span, max(place.values()) + 0.08 * span)


def logarithmic(axes: "Axes", values: Sequence[float], *, which: str = "x", over: float = 6.0) -> str:
    """Make an axis logarithmic with round ticks where values span more than `over`; return what to add to its label."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    if min(values) <= 0 or max(values) <= over * min(values):
        return ""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    return ", logarithmic"


def with_result(groups: Sequence[Group]) -> list[Group]:
    """Return the settings with a mAP.

    Raises:
        ValueError: there is none.
    """
    scored = [group for group in groups if group.map_avg]
    if not scored:
        raise ValueError("there is nothing to plot: no trial has a result")
    return scored
