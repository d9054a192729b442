"""The stacked solver against scipy's, data set by data set."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from harness.analysis.fits.forms import form_named
from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.search import box

FORM = form_named("m2")
Z = np.linspace(-2, 2, 8)
RNG = np.random.default_rng(0)
LOG_Y = np.log(0.2 + 0.5 * np.exp(-0.6 * Z)) + RNG.normal(0, 0.05, (12, 8))
BOUNDS = box(FORM, Z, LOG_Y[0])
START = np.array([-0.5, -0.7, -2.0])


def model(theta):
    return FORM.curve(theta, Z[None])


def scipys(log_y, weights=None, huber=None):
    root = 1.0 if weights is None else np.sqrt(weights)
    loss = {} if huber is None else {"loss": "huber", "f_scale": huber}
    return least_squares(
        lambda theta: root * (model(theta[None])[0][0] - log_y), START, bounds=BOUNDS, xtol=1e-12, ftol=1e-12, **loss
    )


@pytest.mark.parametrize("huber", [None, 0.03])
def test_every_data_set_ends_where_scipy_ends(huber):
    found = minimise(model, LOG_Y, np.tile(START, (12, 1)), BOUNDS, huber=huber)
    assert found.converged.all()
    for theta, cost, log_y in zip(found.theta, found.cost, LOG_Y, strict=True):
        expected = scipys(log_y, huber=huber)
        assert cost <= 2 * expected.cost * (1 + 1e-6)
        assert model(theta[None])[0][0] == pytest.approx(model(expected.x[None])[0][0], abs=1e-4)


def test_weights_are_repeats():
    times = RNG.integers(0, 3, (12, 8)).astype(float)
    times[:, ::3] = 1
    found = minimise(model, LOG_Y, np.tile(START, (12, 1)), BOUNDS, weights=times)
    for cost, log_y, weight in zip(found.cost, LOG_Y, times, strict=True):
        assert cost == pytest.approx(2 * scipys(log_y, weight).cost, rel=1e-5)


def test_a_parameter_that_is_not_free_stays():
    free = np.array([True, True, False])
    found = minimise(model, LOG_Y, np.tile(START, (12, 1)), BOUNDS, free=free)
    assert (found.theta[:, 2] == START[2]).all()
    for theta, cost, log_y in zip(found.theta, found.cost, LOG_Y, strict=True):
        one = least_squares(
            lambda part, log_y=log_y: model(np.array([[*part, START[2]]]))[0][0] - log_y, START[:2], xtol=1e-12
        )
        assert cost == pytest.approx(2 * one.cost, rel=1e-6)
        assert theta[:2] == pytest.approx(one.x, abs=1e-3)


def test_steps_end_at_the_bounds():
    high = BOUNDS.copy()
    high[1, 1] = -1.5
    found = minimise(model, LOG_Y, np.tile(START, (12, 1)), high)
    assert (found.theta <= high[1] + 1e-12).all()
    assert (found.theta[:, 1] == -1.5).any()


def test_a_model_that_breaks_down_somewhere_is_left_again():
    def fragile(theta):
        values, jacobian = model(theta)
        return np.where(theta[:, 2:] > -1.0, np.nan, values), jacobian

    found = minimise(fragile, LOG_Y, np.tile(START, (12, 1)), BOUNDS)
    assert np.isfinite(found.cost).all()
