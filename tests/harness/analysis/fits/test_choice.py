"""The choice of a form on held-out sizes, and what it makes of the bands."""

import numpy as np
import pytest

from harness.analysis import fit_curve
from harness.analysis.fits.choice import aicc


@pytest.mark.parametrize("law", ["m1", "m2", "exp"])
def test_the_law_that_made_the_points_is_mostly_chosen(simulated, law):
    """Three held-out points do not always tell a law from its neighbour: 18 to 25 of 25 runs as measured."""
    right = 0
    for run in range(8):
        x, y, _ = simulated.trials(law, sizes=tuple(np.geomspace(64, 2048, 12).round()), noise=0.005, run=run)
        fit = fit_curve(x, y, form="auto", resamples=0, ceiling=1.0)
        right += fit.form == law
        assert fit.hold_out.rmse_log[fit.form] <= 2 * min(fit.hold_out.rmse_log.values())
    assert right >= 5


@pytest.mark.parametrize(("num", "held"), [(4, 1), (6, 2), (10, 2), (12, 3), (30, 3)])
def test_the_largest_quarter_is_held_out_and_three_at_most(simulated, num, held):
    sizes = tuple(np.geomspace(64, 2048, num))
    x, y, _ = simulated.trials("m1", sizes=sizes, noise=0.01)
    assert fit_curve(x, y, resamples=0).hold_out.x == pytest.approx(sizes[-held:])


def test_hold_out_error_is_that_of_a_fit_without_the_held_out(simulated):
    x, y, _ = simulated.trials("m2", seeds=2, noise=0.02)
    fit = fit_curve(x, y, resamples=0)
    known = x < fit.hold_out.x[0]
    alone = fit_curve(x[known], y[known], form="m1", resamples=0)
    misses = np.log(alone.predict(x[~known])) - np.log(y[~known])
    assert fit.hold_out.rmse_log["m1"] == pytest.approx(np.sqrt(np.mean(misses**2)), rel=1e-6)


def test_few_sizes_leave_only_m1(simulated):
    x, y, _ = simulated.trials("m2", sizes=(64, 128, 256), seeds=4, noise=0.01)
    fit = fit_curve(x, y)
    assert (fit.form, fit.hold_out, fit.weights) == ("m1", None, {"m1": 1.0})


def test_a_break_is_never_chosen_from_few_points():
    x = np.geomspace(1e2, 1e6, 16)
    y = 3 * x**-0.1 * (1 + (x / 5e3) ** 5) ** (-0.4 / 5)
    assert fit_curve(x, y, resamples=0).form != "bnsl"
    assert "bnsl" not in fit_curve(x, y, resamples=0).hold_out.rmse_log


def test_aicc_is_the_formula():
    """Burnham and Anderson: n ln(RSS / n) + 2k + 2k(k + 1) / (n - k - 1), the variance counted among k."""
    assert aicc(2, 10, 0.5) == pytest.approx(10 * np.log(0.05) + 6 + 24 / 6)
    assert aicc(3, 5, 0.5) == np.inf


def test_bands_hold_what_other_forms_say(simulated):
    """Far beyond the points m1 and m2 part; the band of auto is wider than that of the form alone."""
    x, y, _ = simulated.trials("m1", sizes=(64, 96, 128, 192, 256, 384, 512), noise=0.02, run=2)
    auto = fit_curve(x, y)
    alone = fit_curve(x, y, form=auto.form)
    assert auto.parameters == alone.parameters
    assert auto.intervals == alone.intervals
    assert sum(auto.weights.values()) == pytest.approx(1)
    assert auto.weights[auto.form] >= 0.5
    (low, high), (alone_low, alone_high) = auto.confidence_band(2000), alone.confidence_band(2000)
    assert high - low > alone_high - alone_low
