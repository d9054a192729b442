"""Packing as laws: nothing is ever overbooked, everything comes back, and what fits alone is never refused for good.

Cards are also played the way Ray plays them: it takes whichever card it likes, and still none may overflow.
"""

import itertools
import random
from collections import Counter

import hypothesis.strategies as st
from hypothesis import given, settings

from harness.orchestrate.packing import APART, Need, Node, Packing, Spot, Spots, share_of

GIB = 2**30
NODES = st.lists(
    st.builds(
        lambda cpus, host, cards: (cpus, host, tuple(cards)),
        st.integers(1, 16),
        st.integers(1, 64),
        st.lists(st.sampled_from([16, 24, 40, 80]), max_size=4),
    ),
    min_size=1,
    max_size=4,
)
NEEDS = st.builds(
    lambda cpus, host, card, exclusive, ranks: Need(
        cpus=cpus, host_bytes=host * GIB, card_bytes=int(card * GIB), exclusive=exclusive, ranks=ranks
    ),
    st.integers(1, 8),
    st.integers(0, 32),
    st.one_of(st.just(0), st.floats(0.1, 90)),
    st.booleans(),
    st.sampled_from([1, 1, 1, 2, 3]),
)


def nodes(drawn: list[tuple[int, int, tuple[int, ...]]]) -> list[Node]:
    return [
        Node(name=f"n{number}", cpus=cpus, host_bytes=host * GIB, cards=tuple(card * GIB for card in cards))
        for number, (cpus, host, cards) in enumerate(drawn)
    ]


class Cards:
    """The cards of one node as Ray hands them out: for a part any card with room, for whole ones any free ones."""

    def __init__(self, node: Node, chance: random.Random) -> None:
        self.sizes = node.cards
        self.free = [1.0] * len(node.cards)
        self._chance = chance

    def take(self, share: float) -> tuple[int, ...]:
        number, part = (round(share), 1.0) if share >= 1 else (1, share)
        able = [card for card, free in enumerate(self.free) if free >= part - 1e-6]
        # Ray fills the fullest card first, as the account does; which of the equally full ones is up to it.
        self._chance.shuffle(able)
        got = tuple(sorted(able, key=lambda card: self.free[card])[:number])
        assert len(got) == number, "the account promised room that the node does not have"
        for card in got:
            self.free[card] -= part
        return got


@settings(deadline=None)
@given(NODES, st.lists(NEEDS, max_size=40), st.integers(0, 1000))
def test_no_card_core_or_byte_is_given_away_twice_whichever_cards_ray_takes(drawn, needs, seed: int) -> None:
    machines = {node.name: node for node in nodes(drawn)}
    packing = Packing(machines.values())
    cards = {name: Cards(node, random.Random(seed)) for name, node in machines.items()}
    on_card: Counter[tuple[str, int]] = Counter()
    alone: set[tuple[str, int]] = set()
    used: dict[str, list[Need]] = {name: [] for name in machines}
    for number, need in enumerate(needs):
        spots = packing.place(str(number), need)
        if spots is None:
            continue
        assert len(spots) == need.ranks
        assert len({spot.share for spot in spots}) == 1, "Ray Train asks for the same of every worker"
        theirs: set[tuple[str, int]] = set()
        for spot in spots:
            used[spot.node].append(need)
            if not need.card_bytes:
                continue
            assert spot.card_bytes >= need.card_bytes
            got = cards[spot.node].take(spot.share)
            largest = max(got, key=lambda card: machines[spot.node].cards[card])
            assert not theirs & {(spot.node, card) for card in got}, "two ranks of a trial share a card"
            theirs |= {(spot.node, card) for card in got}
            assert not alone & theirs
            on_card[spot.node, largest] += spot.card_bytes
            assert on_card[spot.node, largest] <= machines[spot.node].cards[largest]
            assert spot.share >= 1 or not need.exclusive
        alone |= theirs if spots[0].share >= 1 else set()
    for name, node in machines.items():
        assert sum(need.cpus for need in used[name]) <= node.cpus
        assert sum(need.host_bytes for need in used[name]) <= node.host_bytes


@settings(deadline=None)
@given(NODES, st.lists(st.tuples(NEEDS, st.booleans()), max_size=40))
def test_the_account_holds_while_trials_come_and_go(drawn, moves) -> None:
    machines = {node.name: node for node in nodes(drawn)}
    packing = Packing(machines.values())
    running: dict[str, tuple[Need, Spots]] = {}
    for number, (need, ends_one) in enumerate(moves):
        if ends_one and running:
            oldest = next(iter(running))
            packing.free(oldest)
            del running[oldest]
        spots = packing.place(str(number), need)
        if spots is not None:
            running[str(number)] = need, spots
        for name, node in machines.items():
            here = [(need, spot) for need, spots in running.values() for spot in spots if spot.node == name]
            assert sum(need.cpus for need, _ in here) <= node.cpus
            assert sum(need.host_bytes for need, _ in here) <= node.host_bytes
            assert sum(spot.share for _, spot in here) <= len(node.cards) + 1e-6
            assert sum(round(spot.share) for _, spot in here if spot.share >= 1) <= len(node.cards)


@settings(deadline=None)
@given(NODES, st.lists(NEEDS, max_size=20))
def test_what_fits_alone_fits_again_once_all_others_have_ended(drawn, needs) -> None:
    packing = Packing(nodes(drawn))
    placed = [str(number) for number, need in enumerate(needs) if packing.place(str(number), need)]
    for key in placed:
        packing.free(key)
        packing.free(key)
    for need in needs:
        spots = packing.place("again", need)
        assert (spots is not None) == packing.could_fit(need)
        packing.free("again")


@settings(deadline=None)
@given(NODES, NEEDS)
def test_a_trial_fits_exactly_if_some_choice_of_nodes_holds_all_its_ranks(drawn, need: Need) -> None:
    def holds(node: Node, ranks: int, level: int | None) -> bool:
        """Whether a node has room for so many ranks, by counting; `level`: whole cards for each, None: a part."""
        if ranks * need.cpus > node.cpus or ranks * need.host_bytes > node.host_bytes:
            return False
        if not need.card_bytes or not ranks:
            return True
        too_small = sum(card < need.card_bytes for card in node.cards)
        if level is None:
            return not too_small and not need.exclusive and ranks <= len(node.cards)
        return too_small < level and ranks * level <= len(node.cards)

    machines = nodes(drawn)
    splits = [split for split in itertools.product(range(need.ranks + 1), repeat=len(machines))
              if sum(split) == need.ranks]  # fmt: skip
    possible = any(
        all(holds(node, ranks, level) for node, ranks in zip(machines, split, strict=True))
        for split in splits
        for level in (None, 1, 2, 3, 4)
    )
    assert Packing(machines).could_fit(need) == possible


@settings(deadline=None)
@given(NODES, NEEDS)
def test_a_trial_that_asks_twice_keeps_its_spots(drawn, need: Need) -> None:
    packing = Packing(nodes(drawn))
    assert packing.place("a", need) == packing.place("a", need)


def machine(*cards: int, name: str = "a", cpus: int = 8, host: int = 0) -> Node:
    return Node(name=name, cpus=cpus, host_bytes=host * GIB, cards=tuple(card * GIB for card in cards))


def test_large_cards_are_left_for_large_trials() -> None:
    packing = Packing([machine(80), machine(24, name="b")])
    small = packing.place("small", Need(card_bytes=10 * GIB))
    large = packing.place("large", Need(card_bytes=75 * GIB))
    assert small is not None
    assert large is not None
    assert (small[0].node, large[0].node) == ("b", "a")


def test_a_card_is_shared_by_bytes_unless_a_trial_wants_it_whole() -> None:
    packing = Packing([machine(80)])
    assert [packing.place(key, Need(card_bytes=25 * GIB)) is not None for key in "abcd"] == [True, True, True, False]
    assert share_of(Need(card_bytes=25 * GIB), 80 * GIB) == 0.313
    alone = Packing([machine(80)]).place("a", Need(card_bytes=25 * GIB, exclusive=True))
    assert alone == (Spot(node="a", share=1.0, card_bytes=80 * GIB),)
    assert not packing.could_fit(Need(card_bytes=81 * GIB))


def test_on_mixed_cards_a_small_trial_takes_a_part_of_the_smallest_and_a_large_one_enough_cards_to_be_sure() -> None:
    packing = Packing([machine(80, 24, 80)])
    assert packing.place("large", Need(card_bytes=75 * GIB)) == (Spot(node="a", share=2.0, card_bytes=80 * GIB),)
    assert packing.place("small", Need(card_bytes=12 * GIB)) == (Spot(node="a", share=0.5, card_bytes=12 * GIB),)
    assert packing.place("second", Need(card_bytes=75 * GIB)) is None


def test_ranks_take_different_cards_of_one_node_where_that_can_be_and_share_them_with_small_trials() -> None:
    packing = Packing([machine(80), machine(80, 80, name="b")])
    two = packing.place("two", Need(card_bytes=10 * GIB, ranks=2))
    assert two is not None
    assert [(spot.node, spot.share) for spot in two] == [("b", APART), ("b", APART)]
    assert packing.place("beside", Need(card_bytes=35 * GIB)) is not None
    three = Packing([machine(80), machine(80, 80, name="b")]).place("three", Need(card_bytes=10 * GIB, ranks=3))
    assert three is not None
    assert sorted(spot.node for spot in three) == ["a", "b", "b"]
    assert not packing.could_fit(Need(card_bytes=10 * GIB, ranks=4))


def test_all_ranks_get_their_place_or_none_does() -> None:
    packing = Packing([machine(cpus=2, host=8), machine(cpus=2, host=8, name="b")])
    assert packing.place("first", Need(host_bytes=3 * GIB, ranks=3)) is not None
    assert packing.place("second", Need(host_bytes=3 * GIB, ranks=2)) is None
    assert packing.place("one", Need(host_bytes=3 * GIB)) is not None, "nothing of the second was kept"
    packing.free("first")
    assert packing.place("third", Need(host_bytes=3 * GIB, ranks=3)) is not None


def test_warm_workers_take_room_where_they_are() -> None:
    packing = Packing([machine(cpus=4, host=10), machine(cpus=4, host=40, name="b")])
    here = packing.place("x", Need(host_bytes=4 * GIB, ranks=3), nodes=["a", "b", "a"])
    assert here is not None
    assert sorted(spot.node for spot in here) == ["a", "a", "b"]
    assert packing.place("y", Need(host_bytes=4 * GIB, ranks=2), nodes=["a", "b"]) is None
    assert packing.place("z", Need(host_bytes=4 * GIB), nodes=["c"]) is None


def test_without_cards_cores_and_host_memory_decide() -> None:
    packing = Packing([machine(cpus=4, host=10), machine(name="b", cpus=1, host=40)])
    needs = [Need(host_bytes=4 * GIB)] * 9
    assert packing.most_at_once(needs) == 3
    assert packing.place("x", Need(host_bytes=20 * GIB), nodes=["a"]) is None
    assert packing.place("x", Need(host_bytes=20 * GIB)) == (Spot(node="b"),)


def test_a_node_that_comes_has_room_and_one_that_goes_takes_its_trials_room_along() -> None:
    packing = Packing([machine(host=10)])
    packing.place("x", Need(host_bytes=8 * GIB))
    assert packing.place("y", Need(host_bytes=8 * GIB)) is None
    packing.follow([machine(host=10), machine(name="b", host=10)])
    assert packing.place("y", Need(host_bytes=8 * GIB)) == (Spot(node="b"),)
    assert packing.place("z", Need(host_bytes=8 * GIB)) is None, "what x has on the node that stayed is still its"
    packing.follow([machine(name="b", host=10)])
    packing.free("x")
    assert packing.place("z", Need(host_bytes=8 * GIB)) is None
    packing.free("y")
    assert packing.place("z", Need(host_bytes=8 * GIB)) == (Spot(node="b"),)
