"""Names beside points, where they cover neither another name nor a point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES = 14
"""More names than this cover each other."""
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
SIDES = {1: "left", 0: "center", -1: "right"}
HEIGHTS = {1: "bottom", 0: "center", -1: "top"}


class Spot(NamedTuple):
    """A point with a name."""

    x: float
    y: float
    radius: float
    """Of its marker, in points."""
    name: str


def write_names(
    figure: "Figure",
    axes: "Axes",
    spots: Sequence[Spot],
    others: Sequence[Spot] = (),
    *,
    directions: Sequence[tuple[int, int]] = DIRECTIONS,
) -> None:
    """Write each name on a side where it is free; a name that finds no such side is left out.

    `others` are points without a name that are not to be covered.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = axes.get_window_extent(renderer)
    taken = []
    for spot in (*spots, *others):
        x, y = axes.transData.transform((spot.x, spot.y))
        reach = spot.radius * figure.dpi / 72
        taken.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))
    for spot in spots:
        for right, up in directions:
            text = axes.annotate(
                spot.name,
                (spot.x, spot.y),
                ((spot.radius * (0.7 if up else 1) + 2) * right, (spot.radius * (0.7 if right else 1) + 2) * up),
                textcoords="offset points",
                ha=SIDES[right],
                va=HEIGHTS[up],
                fontsize=6.5,
                color="#222222",
                parse_math=False,
            )
            box = text.get_window_extent(renderer)
            if not any(map(box.overlaps, taken)) and inside.x0 <= box.x0 <= box.x1 <= inside.x1 and inside.y0 <= box.y0:
                text.set_in_layout(False)
                taken.append(box)
                break
            text.remove()
