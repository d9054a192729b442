"""Packing as laws: nothing is ever overbooked, everything comes back, and what fits alone is never refused for good."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from harness.orchestrate.packing import (
    DEFAULT_MARGIN,
    LARGEST_MARGIN,
    Need,
    Node,
    Packing,
    Spot,
    learnt_margin,
    share_of,
)

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
    lambda cpus, host, card, exclusive: Need(
        cpus=cpus, host_bytes=host * GIB, card_bytes=int(card * GIB), exclusive=exclusive
    ),
    st.integers(1, 8),
    st.integers(0, 32),
    st.one_of(st.just(0), st.floats(0.1, 90)),
    st.booleans(),
)


def nodes(drawn: list[tuple[int, int, tuple[int, ...]]]) -> list[Node]:
    return [
        Node(name=f"n{number}", cpus=cpus, host_bytes=host * GIB, cards=tuple(card * GIB for card in cards))
        for number, (cpus, host, cards) in enumerate(drawn)
    ]


@given(NODES, st.lists(st.tuples(NEEDS, st.booleans()), max_size=40))
def test_no_card_core_or_byte_is_given_away_twice(drawn, moves) -> None:
    machines = {node.name: node for node in nodes(drawn)}
    packing = Packing(machines.values())
    running: dict[str, tuple[Need, Spot]] = {}
    for number, (need, ends_one) in enumerate(moves):
        if ends_one and running:
            oldest = next(iter(running))
            packing.free(oldest)
            del running[oldest]
        spot = packing.place(str(number), need)
        if spot is None:
            continue
        running[str(number)] = need, spot
        for name, node in machines.items():
            here = [(need, spot) for need, spot in running.values() if spot.node == name]
            assert sum(need.cpus for need, _ in here) <= node.cpus
            assert sum(need.host_bytes for need, _ in here) <= node.host_bytes
            for card, capacity in enumerate(node.cards):
                on_card = [(need, spot) for need, spot in here if spot.card == card]
                assert sum(need.card_bytes for need, _ in on_card) <= capacity
                assert sum(spot.share for _, spot in on_card) <= 1 + 1e-6
                assert len(on_card) == 1 or not any(need.exclusive for need, _ in on_card)


@given(NODES, st.lists(NEEDS, max_size=20))
def test_what_fits_alone_fits_again_once_all_others_have_ended(drawn, needs) -> None:
    packing = Packing(nodes(drawn))
    placed = [str(number) for number, need in enumerate(needs) if packing.place(str(number), need)]
    for key in placed:
        packing.free(key)
        packing.free(key)
    for need in needs:
        spot = packing.place("again", need)
        assert (spot is not None) == packing.could_fit(need)
        packing.free("again")


@given(NODES, NEEDS)
def test_a_trial_that_asks_twice_keeps_its_spot(drawn, need: Need) -> None:
    packing = Packing(nodes(drawn))
    assert packing.place("a", need) == packing.place("a", need)


def test_large_cards_are_left_for_large_trials() -> None:
    packing = Packing([Node(name="a", cpus=8, host_bytes=0, cards=(80 * GIB, 24 * GIB))])
    small = packing.place("small", Need(card_bytes=10 * GIB))
    large = packing.place("large", Need(card_bytes=75 * GIB))
    assert small is not None
    assert large is not None
    assert (small.card, large.card) == (1, 0)


def test_a_card_is_shared_by_bytes_unless_a_trial_wants_it_whole() -> None:
    packing = Packing([Node(name="a", cpus=8, host_bytes=0, cards=(80 * GIB,))])
    assert [packing.place(key, Need(card_bytes=25 * GIB)) is not None for key in "abcd"] == [True, True, True, False]
    assert share_of(Need(card_bytes=25 * GIB, exclusive=True), 80 * GIB) == 1.0
    assert not packing.could_fit(Need(card_bytes=81 * GIB))


def test_without_cards_cores_and_host_memory_decide() -> None:
    packing = Packing([Node(name="a", cpus=4, host_bytes=10 * GIB), Node(name="b", cpus=1, host_bytes=40 * GIB)])
    needs = [Need(host_bytes=4 * GIB)] * 9
    assert packing.most_at_once(needs) == 3
    assert packing.place("x", Need(host_bytes=20 * GIB), node="a") is None
    spot = packing.place("x", Need(host_bytes=20 * GIB))
    assert spot == Spot(node="b")


def test_the_margin_is_learnt_from_what_trials_needed() -> None:
    assert learnt_margin([(100, 150)] * 4) == DEFAULT_MARGIN
    assert learnt_margin([(100, 104)] * 5) == pytest.approx(1.04 * 1.02)
    assert learnt_margin([(100, 90)] * 5) == pytest.approx(1.02), "predictions that were too high lower it to 2 %"
    assert learnt_margin([(100, 300)] * 9) == LARGEST_MARGIN
    assert learnt_margin([(100, 105)] * 99 + [(100, 149)]) == pytest.approx(1.05 * 1.02)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 5000)), max_size=30))
def test_the_margin_never_shrinks_a_prediction(pairs) -> None:
    assert 1.0 <= learnt_margin(pairs) <= LARGEST_MARGIN
