"""The laws: their formulas, derivatives and implicit roots, each against another route."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from harness.analysis.fits.forms import FORM_NAMES, form_named

X = np.geomspace(3e2, 4e5, 9)
CENTRE = float(np.log(X).mean())
Z = np.log(X) - CENTRE


def inner(form, rng, num=4):
    """Return inner parameters near where fits lie, at several places."""
    y = np.exp(-1 - 0.1 * Z)
    base = form.starts(Z, np.log(y))
    return base[rng.integers(len(base), size=num)] + rng.normal(0, 0.3, (num, form.num_parameters))


FORMS = [*(form_named(name) for name in FORM_NAMES), form_named("m4", ceiling=1.0)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.name}-{form.num_parameters}")
def test_derivatives_are_those_of_finite_differences(form):
    theta = inner(form, np.random.default_rng(0))
    values, jacobian = form.curve(theta, Z[None])
    assert values.shape == (4, len(Z))
    for place in range(form.num_parameters):
        step = np.zeros(form.num_parameters)
        step[place] = 1e-6
        slope = (form.curve(theta + step, Z[None])[0] - form.curve(theta - step, Z[None])[0]) / 2e-6
        np.testing.assert_allclose(jacobian[..., place], slope, rtol=1e-4, atol=1e-7)


FORMULAS = {
    "m1": lambda x, b, c: b * x**c,
    "m2": lambda x, b, c, e: e + b * x**c,
    "m3": lambda x, b, c, g: b * (1 / x + g) ** c,
    "exp": lambda x, b, tau, e: e + b * np.exp(-x / tau),
    "bnsl": lambda x, e, b, c0, d, f, c1: e + b * x**-c0 * (1 + (x / d) ** (1 / f)) ** (-c1 * f),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_curve_is_the_formula_of_its_natural_parameters(name):
    form = form_named(name)
    theta = inner(form, np.random.default_rng(1))
    natural = form.natural(theta, CENTRE)
    for index, log_y in enumerate(form.curve(theta, Z[None])[0]):
        expected = FORMULAS[name](X, **{key: value[index] for key, value in natural.items()})
        np.testing.assert_allclose(np.exp(log_y), expected, rtol=1e-9)


@given(st.floats(0.01, 0.6), st.floats(0.001, 8.0), st.floats(-1.5, -0.02), st.floats(0.7, 3.0), st.floats(-4, 4))
@settings(max_examples=60, deadline=None)
def test_m4_solves_its_equation_where_bracketing_does(share, a, c, top, log_b):
    floor = share * top
    theta = np.array([[log_b, np.log(-c), np.log(share / (1 - share)), np.log(a), np.log(top)]])
    found = np.exp(form_named("m4").curve(theta, Z[None])[0][0])
    for x, y in zip(X, found, strict=True):

        def off(logit, x=x):
            log_w = np.log(top - floor) - np.logaddexp(0, -logit)
            log_rest = np.log(top - floor) - np.logaddexp(0, logit)
            return log_w - a * log_rest - log_b - c * (np.log(x) - CENTRE)

        root = brentq(off, -1e6, 1e6, xtol=1e-9)
        assert y == pytest.approx(floor + (top - floor) * np.exp(-np.logaddexp(0, -root)), rel=1e-9)


def test_m4_without_its_power_is_m2():
    theta = np.array([[-1.0, -0.5, -1.0, -30.0]])
    floor = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(
        form_named("m4", ceiling=1.0).curve(theta, Z[None] + 4)[0],
        form_named("m2").curve(np.array([[-1.0, -0.5, np.log(floor)]]), Z[None] + 4)[0],
        rtol=1e-9,
    )


def test_a_form_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="the form is 'm5', expected one of m1, m2"):
        form_named("m5")
