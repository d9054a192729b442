"""The pooled spread against an analysis of variance and Student's t; its draws against both."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.decisions.spread import pooled_spread, resampled_means
from harness.analysis.paper import FRAMES, RESOLUTION
from harness.analysis.summary import summarise


def test_the_spread_is_that_within_settings(simulate):
    _, groups = simulate(seeds=4)
    pooled = pooled_spread(groups)
    within = np.sqrt(np.mean([np.var(group.maps, ddof=1) for group in groups]))
    assert (pooled.std, pooled.freedom) == (pytest.approx(within), 18)
    assert pooled.quantile(0.9) == pytest.approx(stats.t.ppf(0.95, 18))


def test_two_settings_have_students_two_sample_interval(simulate):
    rows, _ = simulate(seeds=5)
    groups = summarise([row for row in rows if row[FRAMES] == 768], [RESOLUTION])
    expected = stats.ttest_ind(groups[1].maps, groups[0].maps).confidence_interval(0.9)
    half = pooled_spread(groups).half_width([5, 5], 0.9)
    assert half == pytest.approx((expected.high - expected.low) / 2)


def test_draws_have_the_means_and_their_spread(simulate):
    _, groups = simulate(seeds=3)
    draws = resampled_means(groups, resamples=20_000)
    pooled = pooled_spread(groups)
    np.testing.assert_allclose(draws.mean(axis=0), [np.mean(group.maps) for group in groups], atol=2e-4)
    expected = pooled.std / math.sqrt(3) * math.sqrt(pooled.freedom / (pooled.freedom - 2))  # of Student's t
    np.testing.assert_allclose(draws.std(axis=0), expected, rtol=0.05)


def test_one_seed_everywhere_needs_a_spread_from_elsewhere(simulate):
    _, groups = simulate(seeds=1)
    assert pooled_spread(groups) is None
    assert resampled_means(groups) is None
    assert pooled_spread(groups, 0.0025).freedom == math.inf
    assert resampled_means(groups, run_spread=0.0025, resamples=5000).std(axis=0) == pytest.approx(0.0025, rel=0.05)
    with pytest.raises(ValueError, match="run_spread is -1, expected a standard deviation"):
        pooled_spread(groups, -1)
