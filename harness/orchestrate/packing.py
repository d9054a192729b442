"""Which trial fits where: bytes of cards, cores and host memory of nodes. Arithmetic only; no Ray, no clock.

A trial takes part of one card (or all of it), cores and host memory of the same node. Of the places where it fits it
gets the tightest, so that large cards stay free for large trials. On a machine without cards only cores and host
memory count.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHARE_STEP = 0.001
"""Ray counts parts of a GPU in ten-thousandths; a coarser step keeps sums of rounded parts below one."""
DEFAULT_MARGIN = 1.1
"""Predicted bytes are multiplied by this until there are measurements to learn from."""
FEWEST_PAIRS = 5
LARGEST_MARGIN = 1.5


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one machine has."""

    name: str
    cpus: float
    host_bytes: int
    cards: tuple[int, ...] = ()
    """Usable bytes of each GPU."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one trial takes while it runs, margins included."""

    cpus: float = 1.0
    host_bytes: int = 0
    card_bytes: int = 0
    """Bytes on one GPU; 0: none."""
    exclusive: bool = False
    """Whether the trial wants the card for itself."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a trial runs."""

    node: str
    card: int | None = None
    share: float = 0.0
    """Part of the card, rounded up."""
    card_bytes: int = 0
    """The same part in bytes: what the trial may fill."""


@dataclass
class _Room:
    node: Node
    cpus: float
    host_bytes: int
    shares: list[float] = field(default_factory=list)
    """Free part of each card."""


class Packing:
    """Keeps account of what is taken."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Begin with everything free."""
        self._rooms = {node.name: _Room(node, node.cpus, node.host_bytes, [1.0] * len(node.cards)) for node in nodes}
        self._taken: dict[str, tuple[Need, Spot]] = {}

    @property
    def largest_card(self) -> int:
        """Bytes of the largest card; 0 where there is none."""
        return max((card for room in self._rooms.values() for card in room.node.cards), default=0)

    def could_fit(self, need: Need) -> bool:
        """Whether the trial fits somewhere while nothing else runs."""
        return Packing(room.node for room in self._rooms.values()).place("", need) is not None

    def place(self, key: str, need: Need, *, node: str | None = None) -> Spot | None:
        """Take the tightest spot (of one node, if given); None when there is no room now.

        A trial that has a spot keeps it.
        """
        if key in self._taken:
            return self._taken[key][1]
        rooms = [room for name, room in self._rooms.items() if node in (None, name)]
        spots = [found for room in rooms for found in self._spots(room, need)]
        if not spots:
            return None
        _, spot = min(spots, key=lambda found: found[0])
        self._book(need, spot, -1)
        self._taken[key] = need, spot
        return spot

    def spot(self, key: str) -> Spot | None:
        """Return the spot that a trial has taken, if it has one."""
        return self._taken[key][1] if key in self._taken else None

    def free(self, key: str) -> None:
        """Give back what a trial took; nothing if it took nothing."""
        if key in self._taken:
            need, spot = self._taken.pop(key)
            self._book(need, spot, 1)

    def most_at_once(self, needs: Iterable[Need]) -> int:
        """Return how many of the trials could run at the same time: the smallest ones."""
        empty = Packing(room.node for room in self._rooms.values())
        ordered = sorted(needs, key=lambda need: (need.exclusive, need.card_bytes, need.host_bytes, need.cpus))
        return sum(empty.place(str(number), need) is not None for number, need in enumerate(ordered))

    def _spots(self, room: _Room, need: Need) -> list[tuple[tuple[float, ...], Spot]]:
        """Return the spots of one node, each with what is left there afterwards: less is better."""
        host_left = room.host_bytes - need.host_bytes
        if room.cpus < need.cpus or host_left < 0:
            return []
        if not need.card_bytes:
            return [((host_left, room.cpus), Spot(node=room.node.name))]
        found = []
        for card, capacity in enumerate(room.node.cards):
            share = share_of(need, capacity)
            if share is not None and share <= room.shares[card] + 1e-9:
                left = (room.shares[card] - share) * capacity
                found.append(
                    (
                        (left, host_left, card),
                        Spot(node=room.node.name, card=card, share=share, card_bytes=int(share * capacity)),
                    )
                )
        return found

    def _book(self, need: Need, spot: Spot, sign: int) -> None:
        room = self._rooms[spot.node]
        room.cpus += sign * need.cpus
        room.host_bytes += sign * need.host_bytes
        if spot.card is not None:
            room.shares[spot.card] = round(room.shares[spot.card] + sign * spot.share, 6)


def share_of(need: Need, capacity: int) -> float | None:
    """Return which part of a card the trial takes, rounded up; None where it does not fit."""
    if need.card_bytes > capacity:
        return None
    if need.exclusive:
        return 1.0
    return min(1.0, math.ceil(round(need.card_bytes / capacity / SHARE_STEP, 6)) * SHARE_STEP)


def learnt_margin(pairs: Sequence[tuple[int, int]]) -> float:
    """Return the factor on predicted bytes that would have covered nearly all measured ones.

    Args:
        pairs: predicted and measured bytes of finished trials; measured are those that the allocator reserved.
    """
    ratios = sorted(measured / predicted for predicted, measured in pairs if predicted > 0)
    if len(ratios) < FEWEST_PAIRS:
        return DEFAULT_MARGIN
    # The highest of few is kept; of many the odd one out is not allowed to waste everybody's memory.
    worst = ratios[min(len(ratios) - 1, math.ceil(0.98 * len(ratios)) - 1)]
    return min(max(1.0, worst) * 1.02, LARGEST_MARGIN)
