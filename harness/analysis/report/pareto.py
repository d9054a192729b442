"""Which settings are on the front of mean mAP and measured memory."""

from collections.abc import Sequence

from harness.analysis.summary import Group


def on_front(groups: Sequence[Group]) -> list[Group]:
    """Return the settings that no other beats in both, the cheapest first."""
    known = [group for group in groups if group.map_avg and group.peak_bytes]
    best: list[Group] = []
    for group in sorted(known, key=lambda g: (g.peak_bytes or 0, -g.map_avg.mean if g.map_avg else 0)):
        if not best or _score(group) > _score(best[-1]):
            best.append(group)
    return best


def _score(group: Group) -> float:
    return group.map_avg.mean if group.map_avg else float("-inf")
