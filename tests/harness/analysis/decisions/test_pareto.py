"""The front against its definition, and its probabilities against repeated studies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import pareto_front, summarise
from harness.analysis.decisions.pareto import _dominated


def study(points):
    rows = [
        {"size": index, "seed": 0, "state": "finished", "map_avg": score / 10, "peak_bytes": cost}
        for index, (cost, score) in enumerate(points)
    ]
    return summarise(rows, ["size"])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 10)), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_the_front_is_what_nothing_beats(points):
    found = pareto_front(study(points))
    assert [point.cost_bytes for point in found] == sorted(cost for cost, _ in points)
    for point in found:
        cost, score = points[point.group.values["size"]]
        beaten = any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)
        assert point.on_front == (not beaten)
        assert point.probability_dominated is None


def test_probability_is_the_share_of_draws_in_which_something_is_better(simulate):
    """With seeds the draws are of the means; close contenders share the chance, clear ones have none."""
    _, groups = simulate(seeds=3, noise=0.003, run=4)
    chances = {point.group.name: point.probability_dominated for point in pareto_front(groups, resamples=4000)}
    assert chances["768 frames, 160² px"] == 0  # nothing is cheaper
    assert chances["1,536 frames, 160² px"] > 0.95  # 224² at the same memory is 1 point better
    assert 0.0 <= chances["3,072 frames, 224² px"] < 0.5


def test_a_probability_of_a_half_is_right_half_of_the_time(simulate):
    """Two equal settings at one price: over studies the mean chance of the one that looks better is below a half."""
    chances = []
    for run in range(60):
        rng = np.random.default_rng(run)
        rows = [
            {"arm": arm, "seed": seed, "state": "finished", "map_avg": 0.5 + rng.normal(0, 0.01), "peak_bytes": 100}
            for arm in (0, 1)
            for seed in range(3)
        ]
        first, second = pareto_front(summarise(rows, ["arm"]), resamples=400, seed=run)
        assert first.probability_dominated + second.probability_dominated == pytest.approx(1, abs=0.01)
        chances.append(next(p.probability_dominated for p in (first, second) if p.group.values["arm"] == 0))
    assert np.mean(chances) == pytest.approx(0.5, abs=0.12)
    assert np.std(chances) == pytest.approx(np.sqrt(1 / 12), abs=0.09)  # as a p-value is, even from 0 to 1


def test_settings_without_a_score_or_a_price_are_left_out():
    rows = [
        {"size": 1, "seed": 0, "state": "finished", "map_avg": 0.5, "peak_bytes": None, "predicted_peak_bytes": 7},
        {"size": 2, "seed": 0, "state": "finished", "map_avg": 0.6, "peak_bytes": None},
        {"size": 3, "seed": 0, "state": "failed", "map_avg": None, "peak_bytes": 5},
    ]
    (only,) = pareto_front(summarise(rows, ["size"]))
    assert (only.cost_bytes, only.on_front) == (7, True)
    assert pareto_front(()) == []


def test_words_say_place_price_and_chance(simulate):
    _, groups = simulate(seeds=2)
    words = pareto_front(groups)[0].in_words()
    assert words.startswith("768 frames, 160² px: 68.")
    assert words.endswith("mAP at 2.50 GiB, on the front (dominated with probability 0.00)")


def test_ties_in_both_dominate_neither():
    assert not _dominated(np.array([1, 1]), np.array([[0.5, 0.5]])).any()
