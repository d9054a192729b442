"""On which side of its point a name stands, so that it covers no other name and few points."""

from collections.abc import Sequence
from typing import NamedTuple

NOMINAL_PX = (660.0, 265.0)
"""Size of the plot area for which names are placed."""
LETTER_PX, LINE_PX = 6.2, 14.0
SIDES = {
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "bottom right": (1, -1),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
}
"""plotly's names for a text's place, and the direction."""


MOST_COVERED = 0.03
"""Share of a name that may lie over others; a name that finds no such place is left to hovering."""


class Spot(NamedTuple):
    """A point with a name."""

    x: float
    """Where it stands along the axis: the logarithm on a logarithmic one."""
    y: float
    radius_px: float
    name: str


class _Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "_Box") -> float:
        across = min(self.right, other.right) - max(self.left, other.left)
        along = min(self.top, other.top) - max(self.bottom, other.bottom)
        return across * along if across > 0 and along > 0 else 0.0

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


def place_names(
    spots: Sequence[Spot], others: Sequence[Spot] = (), *, sides: Sequence[str] = tuple(SIDES)
) -> list[str | None]:
    """Return plotly's `textposition` for each spot, None where its name has no place.

    `others` are points without a name that are not to be covered.
    Of sides that are as good as each other the first is taken.
    """
    points = _on_canvas([*spots, *others])
    taken = [_Box(x - r, y - r, x + r, y + r) for x, y, r in points]
    canvas = _Box(0, 0, *NOMINAL_PX)
    chosen: list[str | None] = []
    for spot, point in zip(spots, points, strict=False):
        boxes = {side: _box(side, point, LETTER_PX * len(spot.name)) for side in sides}
        # What leaves the canvas is cut off, which is worse than lying over a neighbour.
        costs = {
            side: sum(map(box.overlap, taken)) + 10 * (box.area - box.overlap(canvas)) for side, box in boxes.items()
        }
        best = min(costs, key=costs.__getitem__)
        fits = costs[best] <= MOST_COVERED * boxes[best].area
        chosen.append(best if fits else None)
        if fits:
            taken.append(boxes[best])
    return chosen


def _on_canvas(spots: Sequence[Spot]) -> list[tuple[float, float, float]]:
    xs = _scaled([spot.x for spot in spots], NOMINAL_PX[0], margin=0.06)
    ys = _scaled([spot.y for spot in spots], NOMINAL_PX[1], margin=0.1)
    return [(x, y, spot.radius_px) for x, y, spot in zip(xs, ys, spots, strict=True)]


def _scaled(values: Sequence[float], length: float, *, margin: float) -> list[float]:
    """Spread values over an axis about as plotly does by itself, with a margin at both ends."""
    low, high = min(values), max(values)
    return [
        length * (margin + (1 - 2 * margin) * ((value - low) / (high - low) if high > low else 0.5)) for value in values
    ]


def _box(side: str, point: tuple[float, float, float], width: float) -> _Box:
    x, y, radius = point
    right, up = SIDES[side]
    reach = radius * (0.7 if right and up else 1.0) + 3
    centre_x, centre_y = x + right * (width / 2 + reach), y + up * (LINE_PX / 2 + reach)
    half = LINE_PX / 2
    return _Box(centre_x - width / 2, centre_y - half, centre_x + width / 2, centre_y + half)
