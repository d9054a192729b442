"""What the pictures share: letters, colours for any eye, and files as PNG and SVG, written whole.

Matplotlib's object interface alone draws them, within a context of settings: no window, so any process may draw.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B5538D", "#B07D00", "#3A9BD9")
"""Okabe and Ito's palette, its light colours darkened: told apart with any kind of colour vision."""
INK, FAINT = "#222222", "#DDDDDD"
PAGE_WIDTH_IN = 7.0
FORMATS = ("png", "svg")
SETTINGS: Any = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "savefig.dpi": 300,
    # Names of classes and videos may hold dollars.
    "text.parse_math": False,
    # The same picture gives the same file.
    "svg.hashsalt": "tadscale",
}


@contextmanager
def picture(stem: Path, *, height_in: float, width_in: float = PAGE_WIDTH_IN) -> "Iterator[Figure]":
    """Give an empty figure; when the block ends it is in `stem`.png and `stem`.svg."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width_in, height_in), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        for form in FORMATS:
            # Not with_suffix: a video's name may hold dots.
            with whole_file(stem.with_name(f"{stem.name}.{form}")) as temporary:
                figure.savefig(temporary, format=form, metadata={"Date": None} if form == "svg" else None)


def value_axis(axes: "Axes", highest: float) -> None:
    """Begin the vertical axis at 0, with room above the highest value for its number."""
    axes.grid(axis="y")
    axes.set_ylim(0, 1.12 * highest if highest > 0 else 1.0)
    axes.tick_params(axis="x", length=0)
