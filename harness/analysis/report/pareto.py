"""Which settings are on the front of mean mAP and measured memory, for studies of any size."""

from collections.abc import Sequence

from harness.analysis.decisions import ParetoPoint, pareto_front
from harness.analysis.summary import Group

MOST_DRAWN = 200
"""Settings up to which the chance of being dominated is drawn; that takes memory with their square."""


def against_front(groups: Sequence[Group]) -> tuple[ParetoPoint, ...]:
    """Return the settings with a result and a measured peak, the cheapest first, and whether another beats them."""
    known = [group for group in groups if group.map_avg and group.peak_bytes]
    if len(known) <= MOST_DRAWN:
        return tuple(pareto_front(known))
    points, best = [], float("-inf")
    for group in sorted(known, key=lambda group: (group.peak_bytes or 0, -_score(group))):
        points.append(_undrawn(group, on_front=_score(group) > best))
        best = max(best, _score(group))
    return tuple(points)


def _undrawn(group: Group, *, on_front: bool) -> ParetoPoint:
    assert group.peak_bytes is not None
    return ParetoPoint(group=group, cost_bytes=group.peak_bytes, on_front=on_front, probability_dominated=None)


def _score(group: Group) -> float:
    return group.map_avg.mean if group.map_avg else float("-inf")
