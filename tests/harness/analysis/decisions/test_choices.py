"""What to take at a budget, what a knob buys, what to run next, which arm is better."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis import iso_memory, marginal_gains, next_trial, paired_comparison, summarise
from harness.analysis.paper import FRAMES, RESOLUTION
from harness.units import GIB


def test_settings_at_a_budget_are_compared_with_the_best(simulate):
    _, groups = simulate(seeds=3, noise=0.002)
    found = iso_memory(groups, 3.8 * GIB)
    (gap,) = found.comparisons
    assert gap.better.values == {FRAMES: 768, RESOLUTION: 224}
    assert gap.mean == pytest.approx(0.010, abs=0.004)
    assert gap.distinguishable
    assert found.in_words().startswith("at 3.80 GiB: 768 frames, 224² px beats 1,536 frames, 160² px by ")
    assert found.in_words().endswith("points (90 % intervals)")
    assert found.best_within is found.contenders[0]


def test_what_seeds_do_not_tell_apart_is_said(simulate):
    _, groups = simulate(seeds=2, noise=0.02, run=1)
    found = iso_memory(groups, 3.8 * GIB)
    assert found.comparisons[0].distinguishable is False
    assert "are not distinguishable (difference" in found.in_words()
    _, single = simulate(seeds=1)
    assert iso_memory(single, 3.8 * GIB).comparisons[0].distinguishable is None
    assert "every setting has one seed" in iso_memory(single, 3.8 * GIB).in_words()


def test_a_budget_without_settings_names_the_best_that_fits(simulate):
    _, groups = simulate()
    assert "no setting costs 5.00 GiB within 5 %; best within the budget is 768 frames, 224² px" in (
        iso_memory(groups, 5 * GIB).in_words()
    )
    assert "there is only 768 frames, 160² px" in iso_memory(groups, 2.5 * GIB).in_words()
    assert iso_memory(groups, GIB).best_within is None
    with pytest.raises(ValueError, match="the budget is 0"):
        iso_memory(groups, 0)


def test_the_interval_of_a_difference_covers(simulate):
    """Over studies the truth, 1.0 points, lies in the 90 % interval about nine times in ten."""
    held = 0
    for run in range(300):
        gap = iso_memory(simulate(seeds=2, noise=0.003, run=run)[1], 3.8 * GIB).comparisons[0]
        signed = gap.mean if gap.better.values[RESOLUTION] == 224 else -gap.mean
        held += abs(signed - 0.010) <= gap.half_width
    assert 0.85 <= held / 300 <= 0.95


def test_knobs_are_priced_per_gib_from_the_best_within_a_budget(simulate):
    _, groups = simulate(seeds=3, noise=0.001)
    found = marginal_gains(groups, budget_bytes=3 * GIB)
    assert found.start.values == {FRAMES: 768, RESOLUTION: 160}
    assert [step.knob for step in found.steps] == [RESOLUTION, FRAMES]
    assert found.steps[0].gain_per_gib == pytest.approx(0.019 / 1.3, abs=0.002)
    assert found.distinguishable
    assert found.in_words().endswith("resolution buys most")
    low, high = found.steps[0].interval_per_gib
    assert low < found.steps[0].gain_per_gib < high


def test_every_single_step_is_listed_without_a_budget(simulate):
    _, groups = simulate()
    found = marginal_gains(groups)
    assert sorted(step.knob for step in found.steps) == [FRAMES] * 4 + [RESOLUTION] * 3
    assert all(step.end.values[step.knob] > step.start.values[step.knob] for step in found.steps)
    assert found.distinguishable is None
    assert "frames 0.1" in found.in_words() or "frames 0.0" in found.in_words()


def test_the_verdict_on_knobs_is_that_of_the_rates_difference(simulate):
    """The rates share the start, so their difference is surer than their intervals look: checked by simulation."""
    rates = []
    for run in range(400):
        _, groups = simulate(seeds=2, noise=0.003, run=run)
        steps = marginal_gains(groups, budget_bytes=3 * GIB).steps
        by_knob = {step.knob: step.gain_per_gib for step in steps}
        rates.append(by_knob[RESOLUTION] - by_knob[FRAMES])
    from harness.analysis.decisions.marginal import _uncertainty

    assert np.std(rates) == pytest.approx(0.003 * _uncertainty(*steps), rel=0.1)


def test_a_step_that_costs_nothing_has_no_rate():
    rows = [
        {"kernel": kernel, "seed": seed, "state": "finished", "map_avg": score + seed / 1000, "peak_bytes": 2 * GIB}
        for kernel, score in ((3, 0.50), (7, 0.52))
        for seed in (0, 1)
    ]
    found = marginal_gains(summarise(rows, ["kernel"]), budget_bytes=3 * GIB)
    assert found.steps == ()  # the best setting has no step upwards
    found = marginal_gains(summarise(rows, ["kernel"]))
    assert found.steps[0].gain_per_gib is None
    assert "kernel 3 → 7: +2.0" in found.steps[0].in_words()
    assert "no two settings differ in one knob only" in marginal_gains(()).in_words()


def test_a_budget_below_the_cheapest_is_a_mistake(simulate):
    with pytest.raises(ValueError, match="expected at least what the cheapest setting costs"):
        marginal_gains(simulate()[1], budget_bytes=GIB)


def test_the_next_trial_narrows_the_closest_race_most_per_hour(simulate):
    _, groups = simulate(seeds=2, noise=0.02, run=1)
    found = next_trial(groups)
    assert found.question.startswith("which setting is best, ")
    assert len(found.candidates) == 2
    best, other = found.candidates
    assert best.narrowing == pytest.approx(other.narrowing)
    assert best.seconds < other.seconds  # as much narrower for less
    from harness.analysis.decisions.spread import pooled_spread

    assert best.half_width == pytest.approx(pooled_spread(groups).half_width([3, 2], 0.9))
    assert "with another seed; it narrows the answer from" in found.in_words()


def test_a_settled_question_asks_for_nothing(simulate):
    _, groups = simulate(seeds=5, noise=0.0002)
    assert next_trial(groups).candidates == ()
    assert "settled, 3,072 frames, 224² px beats 1,536 frames, 224² px by 0.5" in next_trial(groups).in_words()
    assert "run a second seed anywhere" in next_trial(simulate(seeds=1)[1]).in_words()
    assert "one setting has a result" in next_trial(groups, budget_bytes=2.6 * GIB).in_words()


def test_the_next_trial_for_a_curve_is_where_least_squares_says(simulate):
    """Half of the band from the normal matrix, written out for a log-log line."""
    _, groups = simulate(seeds=2, run=3)
    found = next_trial(groups, x=FRAMES, at=6144)
    assert {candidate.values[RESOLUTION] for candidate in found.candidates} == {224}
    assert sorted(candidate.values[FRAMES] for candidate in found.candidates) == [768, 1536, 3072, 6144]
    x = np.log(np.repeat([768.0, 1536, 3072], 2))
    errors = np.concatenate([1 - np.array(group.maps) for group in groups if group.values[RESOLUTION] == 224])
    line = stats.linregress(x, np.log(errors))
    residuals = np.log(errors) - line.intercept - line.slope * x
    error_there = math.exp(line.intercept + line.slope * math.log(6144))
    spread = math.sqrt(residuals @ residuals / 4) * error_there * stats.t.ppf(0.95, 4)

    def half(x):
        return spread * math.sqrt(1 / len(x) + (math.log(6144) - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))

    assert found.half_width == pytest.approx(half(x))
    for candidate in found.candidates:
        assert candidate.half_width == pytest.approx(half(np.append(x, math.log(candidate.values[FRAMES]))))
        assert candidate.known == (candidate.values[FRAMES] < 6144)
        assert candidate.seconds == pytest.approx(candidate.values[FRAMES] * 224**2 / 1e5)


def test_half_a_question_about_a_curve_is_a_mistake(simulate):
    with pytest.raises(ValueError, match="x is frames and at is None"):
        next_trial(simulate()[1], x="frames")


def test_arms_are_compared_pair_by_pair_with_students_interval():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 0.05, 6)  # what a seed does to both arms
    rows = []
    for arm, gain in (("tia", 0.02), ("plain", 0.0)):
        for seed, shared in enumerate(seeds):
            score = 0.5 + gain + shared + rng.normal(0, 0.004)
            rows.append({"model.adapter": arm, "seed": seed, "state": "finished", "map_avg": score})
    found = paired_comparison(rows, {"model.adapter": "tia"}, {"model.adapter": "plain"})
    expected = stats.ttest_1samp(found.differences, 0).confidence_interval(0.9)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(expected)
    assert found.distinguishable  # although a seed moves mAP by more than the arms differ
    assert "adapter tia beats adapter plain by" in found.in_words()
    swapped = paired_comparison(rows, {"model.adapter": "plain"}, {"model.adapter": "tia"})
    assert (swapped.mean, swapped.wins) == (-found.mean, 6 - found.wins)
    assert swapped.in_words() == found.in_words()


def test_arms_over_several_settings_pool_what_is_within_settings(simulate):
    """The gain differs from setting to setting; the interval is of the mean over these three."""
    rows, _ = simulate(seeds=4, noise=0.003)
    found = paired_comparison(rows, {RESOLUTION: 224}, {RESOLUTION: 160}, over=[FRAMES])
    by_frames = np.array(found.differences).reshape(4, 3)  # pairs are ordered by seed, then frames
    within = by_frames - by_frames.mean(axis=0)
    half = stats.t.ppf(0.95, 9) * math.sqrt(np.sum(within**2) / 9 / 12)
    assert (found.mean, found.half_width) == (pytest.approx(by_frames.mean()), pytest.approx(half))
    assert found.mean == pytest.approx((1.9 + 1.3 + 0.9) / 300, abs=0.003)
    assert found.distinguishable


def test_pairs_that_are_not_told_apart_are_a_mistake(simulate):
    rows, _ = simulate(seeds=1)
    with pytest.raises(ValueError, match=r"224² px has several trials with seed 0, expected one"):
        paired_comparison(rows, {RESOLUTION: 224}, {RESOLUTION: 160})
    assert paired_comparison(rows, {RESOLUTION: 99}, {RESOLUTION: 160}, over=[FRAMES]) is None
    one = paired_comparison(rows[:1] + rows[3:4], {RESOLUTION: 224}, {RESOLUTION: 160}, over=[FRAMES])
    assert one.half_width is None
    assert "one pair, so no interval" in one.in_words()
