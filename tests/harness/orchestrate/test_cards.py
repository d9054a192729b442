"""Which of its cards a worker takes."""

from harness.orchestrate.cards import largest


def test_each_rank_takes_its_own_card_of_those_that_all_ranks_see() -> None:
    assert [largest([name], "2,5", [80, 80]) for name in ("2", "5")] == [0, 1]


def test_of_several_cards_the_largest_is_taken() -> None:
    assert largest(["0", "3"], "0,3", [24, 80]) == 1
    assert largest(["0", "3"], "3,0", [80, 24]) == 0
    assert largest(["1", "2"], "0,1,2", [80, 24, 40]) == 2, "the first one is another rank's"


def test_cards_without_names_are_counted() -> None:
    assert largest(["1"], None, [80, 24]) == 1
    assert largest(["GPU-7f"], "GPU-aa,GPU-7f", [80, 24]) == 1
    assert largest(["0"], "GPU-aa", [80]) == 0, "names that Ray does not know are those of the only card"
