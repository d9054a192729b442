"""Curves: known laws are found, what means nothing is refused, and far is far."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis import Curve, Refused, fit_curve


@pytest.mark.parametrize("law", ["m1", "m2", "m3", "exp"])
def test_a_law_without_noise_is_found_to_many_digits(simulated, law):
    x, y, _ = simulated.trials(law)
    fit = fit_curve(x, y, form=law, resamples=0)
    assert isinstance(fit, Curve)
    assert fit.parameters == pytest.approx(simulated.truth[law], rel=1e-5)
    assert fit.converged
    assert fit.rmse_log < 1e-8
    np.testing.assert_allclose(fit.predict(2 * x), simulated.laws[law](2 * x), rtol=1e-6)


def test_m4_and_a_break_are_found():
    x = np.geomspace(1e2, 1e6, 24)
    y = np.array([0.2 + _w4(size) for size in x])
    fit = fit_curve(x, y, form="m4", ceiling=1.0, resamples=0)
    assert fit.parameters == pytest.approx({"b": 30.0, "c": -0.5, "e": 0.2, "a": 1.3, "e0": 1.0}, rel=1e-3)
    y = 0.05 + 3 * x**-0.1 * (1 + (x / 5e3) ** (1 / 0.2)) ** (-0.4 * 0.2)
    fit = fit_curve(x, y, form="bnsl", resamples=0)
    assert fit.parameters["d"] == pytest.approx(5e3, rel=0.05)
    np.testing.assert_allclose(fit.predict(x), y, rtol=1e-3)


def _w4(x):
    """Solve w = b x^c (1 - e - w)^a by bisection."""
    low, high = 0.0, 0.8
    for _ in range(80):
        w = (low + high) / 2
        low, high = (w, high) if w < 30 * x**-0.5 * (0.8 - w) ** 1.3 else (low, w)
    return w


def test_m1_is_the_log_log_line_with_students_interval(simulated):
    x, y, _ = simulated.trials("m1", noise=0.05)
    line = stats.linregress(np.log(x), np.log(y))
    fit = fit_curve(x, y, form="m1", level=0.9)
    half = stats.t.ppf(0.95, len(x) - 2) * line.stderr
    assert fit.parameters["c"] == pytest.approx(line.slope, rel=1e-9)
    assert fit.intervals["c"] == pytest.approx((line.slope - half, line.slope + half), abs=2e-4)


def test_seeds_give_the_interval_of_pure_error(simulated):
    """With repeats the spread comes from within x: Student's interval with as many degrees of freedom."""
    x, y, _ = simulated.trials("m1", seeds=3, noise=0.05, run=3)
    fit = fit_curve(x, y, form="m1", level=0.9, bootstrap="seeds")
    log_y = np.log(y).reshape(-1, 3)
    variance = np.sum((log_y - log_y.mean(axis=1, keepdims=True)) ** 2) / 12
    half = stats.t.ppf(0.95, 12) * np.sqrt(variance / np.sum((np.log(x) - np.log(x).mean()) ** 2))
    low, high = fit.intervals["c"]
    assert (high - low) / 2 == pytest.approx(half, rel=0.01)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_units_change_nothing(x_unit, y_unit):
    x = np.array([64.0, 128, 256, 512, 1024, 2048])
    y = (0.15 + 2.5 * x**-0.45) * np.exp(np.random.default_rng(0).normal(0, 0.01, 6))
    one = fit_curve(x, y, form="m2", resamples=0)
    other = fit_curve(x * x_unit, y * y_unit, form="m2", resamples=0)
    assert other.parameters["c"] == pytest.approx(one.parameters["c"], rel=1e-4)
    assert other.parameters["e"] == pytest.approx(one.parameters["e"] * y_unit, rel=1e-4)


def test_the_same_trials_give_the_same_curve(simulated):
    x, y, _ = simulated.trials("m2", seeds=2, noise=0.02)
    one, again = fit_curve(x, y, resamples=100), fit_curve(x, y, resamples=100)
    assert one == again
    np.testing.assert_array_equal(one.prediction_band(x), again.prediction_band(x))


def test_bands_hold_the_curve_and_the_new_trials_band_is_wider(simulated):
    x, y, _ = simulated.trials("m2", seeds=3, noise=0.03)
    fit = fit_curve(x, y, form="m2", resamples=300)
    places = np.array([64.0, 500.0, 4096.0])
    (low, high), (lower, higher) = fit.confidence_band(places), fit.prediction_band(places)
    assert np.all((low < fit.predict(places)) & (fit.predict(places) < high))
    assert np.all((lower < low) & (high < higher))


@pytest.mark.parametrize(
    ("x", "y", "form", "reason"),
    [
        ((64, 128, 128), (0.7, 0.6, 0.5), "auto", "2 distinct values of frames, expected at least 3 for m1"),
        ((64, 128, 256, 512), (0.7, 0.6, 0.5, 0.45), "m2", "4 distinct values of frames, expected at least 5 for m2"),
        ((64, 128, 256, 512, 1024), (0.7, 0.6, 0.5, 0.45, 0.4), "m4", "5 distinct values of frames"),
        ((64, 128, 256), (0.5, 0.5, 0.6), "m1", r"does not fall as frames grows \(log-log slope \+"),
        ((64, 128, 256), (0.5, 0.5, 0.5), "m1", "the same at every value of frames"),
        ((64, 128, 256), (0.5, 0.2, 0.0), "m1", "a trial has error 0"),
    ],
)
def test_what_means_nothing_is_refused_in_one_sentence(x, y, form, reason):
    refused = fit_curve(x, y, form=form, x_name="frames", y_name="error")
    assert isinstance(refused, Refused)
    with pytest.raises(AssertionError, match=f"^no curve: .*{reason}"):
        raise AssertionError(refused.in_words())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x": (1, 2)}, "2 values of x and 3 of y"),
        ({"x": (0, 1, 2)}, "x is 0 somewhere"),
        ({"x": (1, 2, float("nan"))}, "x is nan somewhere"),
        ({"y": (0.3, 0.2, -0.1)}, "y is -0.1 somewhere"),
        ({"form": "m7"}, "the form is 'm7'"),
        ({"level": 90}, "the level is 90"),
        ({"resamples": -1}, "resamples is -1"),
        ({"ceiling": 0.25}, "y is 0.3 somewhere, expected at most the ceiling 0.25"),
        ({"bootstrap": "luck"}, "the bootstrap is 'luck'"),
        ({"bootstrap": "clusters"}, "expected the seed of every trial"),
        ({"seeds": (0, 1)}, "2 seeds for 3 trials"),
        ({"x": (1, 1, 2), "seeds": (0, 0, 0)}, "two trials with seed 0 at x 1"),
    ],
)
def test_mistakes_are_one_sentence_with_the_value(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        fit_curve(**{"x": (1, 2, 4), "y": (0.3, 0.2, 0.15), "form": "m1", **change})


def test_three_points_have_a_line_but_no_interval():
    """The paper's three frame counts: m1 alone can be fitted at all, and nothing is left for its spread."""
    fit = fit_curve((768, 1536, 3072), (0.312, 0.303, 0.294), x_name="frames", y_name="error")
    assert fit.form == "m1"
    assert fit.interval_refused == "3 trials for 2 parameters, at least 4 are needed"
    assert fit.intervals == {}
    assert fit.confidence_band(1000) is None
    assert "no interval: 3 trials for 2 parameters" in fit.in_words()
    assert "only 3 distinct values of frames: interpolation only" in fit.in_words()


def test_far_is_warned_of_then_refused_unless_asked_for(simulated):
    x, y, _ = simulated.trials("m1", noise=0.01)
    fit = fit_curve(x, y, form="m1", resamples=50, x_name="frames")
    assert fit.reach(4096) is None
    assert fit.reach(32) is None
    assert "3 times past the measured range 64 to 2048" in fit.reach([100, 3 * 2048])
    assert "frames 20 is 3.2 times" in fit.reach(20)
    with pytest.raises(ValueError, match="frames 8200 is 4 times past the measured range"):
        fit.predict(8200)
    with pytest.raises(ValueError, match="unless far is asked for"):
        fit.prediction_band([64, 15])
    assert fit.predict(8200, far=True).shape == (1,)
    assert fit.prediction_band(8200, far=True)[0] < fit.predict(8200, far=True)
    with pytest.raises(ValueError, match="expected finite numbers above 0"):
        fit.predict(-1, far=True)


def test_outliers_pull_less_with_huber():
    x = np.array([64.0, 128, 256, 512, 1024, 2048])
    y = 1.5 * x**-0.25
    y[4] *= 1.5
    plain, robust = (fit_curve(x, y, form="m1", resamples=0, huber=huber) for huber in (None, 1e-3))
    assert abs(robust.parameters["c"] + 0.25) < 0.1 * abs(plain.parameters["c"] + 0.25)


@pytest.mark.parametrize("method", ["seeds", "residuals", "pairs", "clusters"])
def test_every_bootstrap_has_intervals_of_the_right_size(simulated, method):
    x, y, _ = simulated.trials("m1", seeds=8, noise=0.03, run=5)
    fit = fit_curve(x, y, seeds=list(range(8)) * 6, form="m1", bootstrap=method, resamples=600)
    exact = stats.linregress(np.log(x), np.log(y))
    low, high = fit.intervals["c"]
    assert fit.bootstrap == method
    assert (high - low) / (2 * 1.68 * exact.stderr) == pytest.approx(1, abs=0.35)


def test_seeds_are_not_trusted_where_their_means_miss_the_curve(simulated):
    x, y, _ = simulated.trials("m2", seeds=3, noise=0.002)
    wrong = fit_curve(x, y, form="m1", resamples=100)
    assert wrong.bootstrap == "residuals"
    assert "times farther from the curve than seeds explain" in wrong.in_words()
    right = fit_curve(x, y, form="m2", resamples=100)
    assert right.bootstrap == "seeds"
    assert "farther" not in right.in_words()


def test_a_fall_within_the_noise_is_said_to_be_unproven():
    fit = fit_curve((1, 1, 2, 2, 4, 4), (0.7, 0.4, 0.5, 0.6, 0.38, 0.7), form="m1")
    assert fit.intervals["c"][1] >= 0
    assert "a fall is not established" in fit.in_words()


def test_a_floor_that_the_points_do_not_show_is_said_to_be_zero(simulated):
    x, y, _ = simulated.trials("m1", noise=0.01, run=1)
    fit = fit_curve(x, y, form="m2", resamples=100)
    assert fit.intervals["e"][0] == 0.0
    assert fit.intervals["e"][1] > 0.01
    exact = fit_curve(x, 1.5 * x**-0.25 * (1 - 0.01 * np.log(x / 64) ** 2), form="m2", resamples=0)
    assert "e is 0 as far as these points tell" in exact.warnings


def test_words_say_exponent_interval_doubling_and_floor(simulated):
    x, y, _ = simulated.trials("m1", sizes=(64, 128, 256), seeds=2, noise=0.01)
    words = fit_curve(x, y, x_name="frames", y_name="error").in_words()
    assert words.startswith("error falls as frames^-0.2")
    assert "(90 % interval -0." in words
    assert "from 1,000 resamples of 6 trials); each doubling of frames removes 16 % of it" in words
    assert "3 degrees of freedom, so the interval is rough" in words
    x, y, _ = simulated.trials("m2", seeds=2, noise=0.005)
    assert "y above 0.1" in fit_curve(x, y, form="m2").in_words()
    assert "y follows y = b (1/x + g)^c of x with b = " in fit_curve(x, y, form="m3").in_words()


def test_json_has_everything_but_the_resamples(simulated):
    import json

    x, y, _ = simulated.trials("m2", seeds=2, noise=0.01)
    fit = fit_curve(x, y, resamples=50)
    document = json.loads(json.dumps(fit.as_json(), allow_nan=False))
    assert document["parameters"] == fit.parameters
    assert document["hold_out"]["rmse_log"].keys() == fit.hold_out.rmse_log.keys()
    assert document["weights"] == fit.weights
