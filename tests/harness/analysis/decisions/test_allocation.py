"""What to spend a budget on: the optimum of a known law at a known cost, its limits, and how sure it is."""

import numpy as np
import pytest
from scipy.optimize import minimize

from harness.analysis.decisions.allocation import allocate
from harness.analysis.fits import fit_sizes
from harness.analysis.fits.cost import fit_cost

TERMS = ((1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0))
NAMES = ("frames", "pixels", "parameters")
GRID = tuple(s.ravel() for s in np.meshgrid((32, 64, 128), (32**2, 48**2, 64**2), (1.6e5, 6e5, 1.7e6)))


def error(frames, pixels, parameters):
    return 0.35 + 2.2 / frames**0.7 + 30 / pixels**0.7 + 300 / parameters**0.65


def operations(frames, pixels, parameters):
    return 3e8 + 0.015 * frames * pixels * parameters + 80 * parameters + 500 * frames * pixels


def laws(noise=0.0, seeds=1, resamples=0, seed=0, level=0.9):
    sizes = {name: np.repeat(values, seeds) for name, values in zip(NAMES, GRID, strict=True)}
    rng = np.random.default_rng(seed)
    y = np.repeat(error(*GRID), seeds) * np.exp(rng.normal(0, noise, seeds * len(GRID[0])))
    law = fit_sizes(sizes, y, y_name="error", resamples=resamples, seed=seed, level=level)
    return law, fit_cost("operations", sizes, operations(*sizes.values()), TERMS)


def best(budget):
    """Return the optimum by another method, over logarithms."""
    found = minimize(
        lambda logs: error(*np.exp(logs)),
        np.log([60.0, 2000.0, 3e5]),
        constraints={"type": "ineq", "fun": lambda logs: np.log(budget) - np.log(operations(*np.exp(logs)))},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return np.exp(found.x)


@pytest.mark.parametrize("budget", [2e9, 8e9, 1.5e10])
def test_the_optimum_is_that_of_another_method_and_spends_the_budget(budget):
    law, cost = laws()
    found = allocate(law, cost, budget)
    sizes = list(found.sizes.values())
    assert found.y == pytest.approx(error(*best(budget)), rel=1e-4)
    assert sizes == pytest.approx(best(budget).tolist(), rel=0.03)
    assert operations(*sizes) == pytest.approx(budget, rel=1e-3)
    assert found.at_limit == ()
    assert found.intervals == {}


def test_past_the_measured_range_it_warns_and_at_four_times_it_stops():
    law, cost = laws()
    assert allocate(law, cost, 1.5e10).far == ("pixels",)
    found = allocate(law, cost, 1e13)
    assert found.at_limit == found.far == NAMES
    assert list(found.sizes.values()) == pytest.approx([4 * 128, 4 * 64**2, 4 * 1.7e6])
    assert allocate(law, cost, 1e8) is None


def test_intervals_hold_the_optimum_and_narrow_with_the_noise():
    budget = 6e9
    wide, narrow = (allocate(*laws(noise, 3, resamples=300, level=0.998), budget) for noise in (0.02, 0.004))
    for found in (wide, narrow):
        for (low, high), truth in zip(found.intervals.values(), best(budget), strict=True):
            assert low < truth < high
        low, high = found.y_interval
        assert low < error(*best(budget)) < high
    assert all(np.ptp(narrow.intervals[name]) < np.ptp(wide.intervals[name]) for name in NAMES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_intervals_of_the_optimum_cover_it_between_80_and_98_of_a_hundred():
    """Wider bounds than for parameters: 100 runs, and optima that lie on a grid."""
    budget, truth, hits = 6e9, best(6e9), []
    for run in range(100):
        found = allocate(*laws(0.01, 3, resamples=200, seed=run), budget)
        hits.append([low <= size <= high for (low, high), size in zip(found.intervals.values(), truth, strict=True)])
        hits[-1].append(found.y_interval[0] <= error(*truth) <= found.y_interval[1])
    shares = np.mean(np.array(hits, dtype=float), axis=0)
    assert (shares >= 0.80).all(), shares
    assert (shares <= 0.98).all(), shares
