"""Finished trials correct predictions: medians of ratios, whatever the order, and nothing from too few."""

from hypothesis import given
from hypothesis import strategies as st

from harness.memory.calibration import FEWEST, calibrate

PAIRS = st.lists(st.tuples(st.integers(1, 2**36), st.integers(1, 2**36)), min_size=FEWEST, max_size=30)


def test_trials_that_need_a_tenth_more_than_predicted_raise_the_next_prediction_by_a_tenth() -> None:
    learnt = calibrate([(1000 * size, 1100 * size) for size in range(1, 8)])
    assert learnt is not None
    assert learnt.on(2000) == 2200
    assert learnt.as_json(2000)["peak_bytes"] == 2200


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter_and_the_median_lies_between_the_ends(pairs, random) -> None:
    learnt = calibrate(pairs)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert learnt is not None
    assert learnt == calibrate(shuffled)
    assert learnt.lowest <= learnt.ratio <= learnt.highest


def test_few_trials_and_trials_without_a_prediction_say_nothing() -> None:
    assert calibrate([(10, 11)] * (FEWEST - 1)) is None
    assert calibrate([(0, 11)] * 20) is None
