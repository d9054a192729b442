"""The margin on predicted memory: learnt from pairs of predicted and measured bytes."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from harness.orchestrate.margin import DEFAULT_MARGIN, LARGEST_MARGIN, learnt_margin


def test_the_margin_is_learnt_from_what_trials_needed() -> None:
    assert learnt_margin([(100, 150)] * 4) == DEFAULT_MARGIN
    assert learnt_margin([(100, 104)] * 5) == pytest.approx(1.04 * 1.02)
    assert learnt_margin([(100, 90)] * 5) == pytest.approx(1.02), "predictions that were too high lower it to 2 %"
    assert learnt_margin([(100, 300)] * 9) == LARGEST_MARGIN
    assert learnt_margin([(100, 105)] * 99 + [(100, 149)]) == pytest.approx(1.05 * 1.02)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 5000)), max_size=30))
def test_the_margin_never_shrinks_a_prediction(pairs) -> None:
    assert 1.0 <= learnt_margin(pairs) <= LARGEST_MARGIN
