"""Which trial fits where: bytes of cards, cores and host memory of nodes. Arithmetic only; no Ray, no clock.

A trial has one or more ranks, and each takes part of one card (or all of it), cores and host memory of the same node.
All ranks get their place, or none does. Of the places where a trial fits it gets the tightest, so that large cards stay
free for large trials, and all of it on one node where that can be. On a machine without cards only cores and host
memory count.

Ray hands out the cards of a node as it likes, so nothing here may depend on which of them a trial gets:
    a part of a card    is one of the smallest card of the node
    a large trial       that not every card can hold takes one whole card more than there are too small ones, so that at
                        least one of its cards is large enough; the worker looks for it
    ranks of one trial  that share a node take more than half a card each, so that Ray gives them different ones
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHARE_STEP = 0.001
"""Ray counts parts of a GPU in ten-thousandths; a coarser step keeps sums of rounded parts below one."""
APART = 0.5 + SHARE_STEP
EPSILON = 1e-9


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
    """What each rank of a trial takes while it runs, margins included."""

    cpus: float = 1.0
    host_bytes: int = 0
    card_bytes: int = 0
    """Bytes on one GPU; 0: none."""
    exclusive: bool = False
    """Whether a rank wants the card for itself."""
    ranks: int = 1


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a rank runs."""

    node: str
    share: float = 0.0
    """GPUs to ask Ray for, the same for every rank of a trial: part of one, or whole ones."""
    card_bytes: int = 0
    """What the rank may fill, whichever cards it gets."""
    cards: tuple[int, ...] = field(default=(), compare=False)
    """The account's numbers of what is taken; Ray's may be others."""


Spots = tuple[Spot, ...]
"""The places of a trial, one per rank."""


class Packing:
    """Keeps account of what is taken."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Begin with everything free."""
        self._rooms = {node.name: _Room(node) for node in nodes}
        self._taken: dict[str, tuple[Need, list[_Place]]] = {}

    @property
    def nodes(self) -> list[Node]:
        """The machines there are."""
        return [room.node for room in self._rooms.values()]

    @property
    def largest_card(self) -> int:
        """Bytes of the largest card; 0 where there is none."""
        return max((card for node in self.nodes for card in node.cards), default=0)

    def follow(self, nodes: Iterable[Node]) -> None:
        """Know what machines there are now; what trials have taken on those that are gone is gone too."""
        self._rooms = {node.name: self._rooms.get(node.name) or _Room(node) for node in nodes}

    def could_fit(self, need: Need) -> bool:
        """Whether the trial fits somewhere while nothing else runs."""
        return Packing(self.nodes).place("", need) is not None

    def place(self, key: str, need: Need, *, nodes: Sequence[str] | None = None) -> Spots | None:
        """Take the tightest spots (one on each of these nodes, if given); None when there is no room now.

        A trial that has spots keeps them.
        """
        if key not in self._taken:
            found = self._on(need, nodes) if nodes is not None else self._anywhere(need)
            if found is None:
                return None
            for place in found:
                place.room.take(need, place)
            self._taken[key] = need, found
        return self.spots(key)

    def spots(self, key: str) -> Spots | None:
        """Return the spots that a trial has taken, if it has."""
        return tuple(place.spot for place in self._taken[key][1]) if key in self._taken else None

    def free(self, key: str) -> None:
        """Give back what a trial took; nothing if it took nothing."""
        need, places = self._taken.pop(key, (Need(), []))
        for place in places:
            place.room.give_back(need, place)

    def most_at_once(self, needs: Iterable[Need]) -> int:
        """Return how many of the trials could run at the same time: the smallest ones."""
        empty = Packing(self.nodes)
        ordered = sorted(
            needs, key=lambda need: (need.exclusive, need.ranks, need.card_bytes, need.host_bytes, need.cpus)
        )
        return sum(empty.place(str(number), need) is not None for number, need in enumerate(ordered))

    def _levels(self, need: Need) -> list[float]:
        """Return the numbers of GPUs that a rank may ask for: Ray wants the same number from all."""
        asked = {room.asks(need) for room in self._rooms.values()}
        return sorted(level for level in asked if level is not None)

    def _anywhere(self, need: Need) -> "list[_Place] | None":
        found: list[tuple[tuple[float, ...], list[_Place]]] = []
        for level in self._levels(need):
            offers = [room.places(need, level) for room in self._rooms.values()]
            whole = [offer for offer in offers if len(offer) == need.ranks]
            # Without a node for all of them, as few nodes as it takes.
            spread = sorted(offers, key=len, reverse=True)
            joined = [place for offer in spread for place in offer][: need.ranks]
            for places in whole or [joined]:
                if len(places) == need.ranks:
                    found.append(((*_left(places), level), places))
        return min(found, key=lambda one: one[0])[1] if found else None

    def _on(self, need: Need, nodes: Sequence[str]) -> "list[_Place] | None":
        for level in self._levels(need):
            places: list[_Place] = []
            for name, ranks in Counter(nodes).items():
                places += self._rooms[name].places(need, level)[:ranks] if name in self._rooms else []
            if len(places) == len(nodes):
                return places
        return None


@dataclass(frozen=True)
class _Place:
    """A spot, with what it takes in its room."""

    room: "_Room"
    spot: Spot
    card_bytes_left: float
    """What would be left of the cards beyond the trial's bytes: less is better."""


class _Room:
    """What is free on one node. Its cards are numbered here; which one Ray takes for a number does not matter."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cpus = node.cpus
        self.host_bytes = node.host_bytes
        self.sizes = sorted(node.cards)
        self.shares = [1.0] * len(node.cards)

    def asks(self, need: Need) -> float | None:
        """Return how many GPUs a rank takes here; None where its bytes fit on no card."""
        if not need.card_bytes:
            return 0.0
        too_small = sum(size < need.card_bytes for size in self.sizes)
        if too_small == len(self.sizes):
            return None
        if too_small or need.exclusive:
            return 1.0 + too_small
        return max(share_of(need, self.sizes[0]), APART if need.ranks > 1 else 0.0)

    def places(self, need: Need, level: float) -> list[_Place]:
        """Return places for as many ranks as there is room for, at most all of them, each with `level` GPUs."""
        asks = self.asks(need)
        if asks is None or asks > level + EPSILON:
            return []
        by_cpus = (self.cpus + EPSILON) // need.cpus if need.cpus else need.ranks
        by_host = self.host_bytes // need.host_bytes if need.host_bytes else need.ranks
        number = int(min(need.ranks, by_cpus, by_host))
        if not level:
            return [_Place(self, Spot(node=self.node.name), 0.0)] * number
        return [self._place(need, level, cards) for cards in self._cards(level)][:number]

    def take(self, need: Need, place: _Place, sign: int = -1) -> None:
        self.cpus += sign * need.cpus
        self.host_bytes += sign * need.host_bytes
        for card in place.spot.cards:
            self.shares[card] = round(self.shares[card] + sign * min(1.0, place.spot.share), 6)

    def give_back(self, need: Need, place: _Place) -> None:
        self.take(need, place, sign=1)

    def _cards(self, level: float) -> list[tuple[int, ...]]:
        """Return groups of cards that could each hold a rank, fullest first."""
        least = min(1.0, level)
        free = [card for card in range(len(self.shares)) if self.shares[card] >= least - EPSILON]
        free.sort(key=lambda card: self.shares[card])
        step = math.ceil(level)
        return [tuple(free[first : first + step]) for first in range(0, len(free) - step + 1, step)]

    def _place(self, need: Need, level: float, cards: tuple[int, ...]) -> _Place:
        if level < 1:
            fill = int(level * self.sizes[0])
            left = self.shares[cards[0]] * self.sizes[0] - need.card_bytes
        else:
            # Among any so many cards there is one as large as the last of so many from below.
            fill = self.sizes[len(cards) - 1]
            left = sum(self.sizes[-len(cards) :]) - need.card_bytes
        return _Place(self, Spot(node=self.node.name, share=level, card_bytes=fill, cards=cards), left)


def share_of(need: Need, capacity: int) -> float:
    """Return which part of a card that can hold it a rank takes, rounded up."""
    return min(1.0, math.ceil(round(need.card_bytes / capacity / SHARE_STEP, 6)) * SHARE_STEP)


def _left(places: Sequence[_Place]) -> tuple[float, float, float]:
    """Return what would be left where the places are: less is better."""
    rooms = {place.room.node.name: place.room for place in places}.values()
    host = sum(room.host_bytes for room in rooms)
    return sum(place.card_bytes_left for place in places), host, sum(room.cpus for room in rooms)
