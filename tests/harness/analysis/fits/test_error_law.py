"""The study's power law: a view of the curve of 1 - mAP."""

import numpy as np
import pytest

from harness.analysis import PowerLaw, Refused, fit_curve, fit_error, fit_lines, summarise

FRAMES = (64, 128, 256)


def test_it_is_the_curve_of_the_error_at_95_percent(simulated):
    x, error, _ = simulated.trials("m1", seeds=2, noise=0.02)
    fit = fit_error(x, 1 - error, x_name="frames")
    curve = fit_curve(x, error, form="m1", level=0.95, bootstrap="seeds", x_name="frames", y_name="error")
    assert isinstance(fit, PowerLaw)
    assert (fit.b, fit.c, fit.floor) == pytest.approx((curve.parameters["b"], curve.parameters["c"], 0.0))
    assert fit.c_interval == pytest.approx(curve.intervals["c"])
    assert fit.in_words() == curve.in_words()
    low, high = fit.map_band(x)
    np.testing.assert_allclose((1 - high, 1 - low), curve.confidence_band(x))
    np.testing.assert_allclose(fit.map_at(x), 1 - curve.predict(x))
    assert (fit.num_points, fit.num_distinct, fit.x_min, fit.x_max) == (12, 6, 64, 2048)


def test_m2_has_a_floor(simulated):
    x, error, _ = simulated.trials("m2", seeds=2, noise=0.005)
    fit = fit_error(x, 1 - error, form="m2")
    assert fit.floor == pytest.approx(0.15, abs=0.03)
    assert "error above 0.1" in fit.in_words()


def test_its_interval_needs_two_seeds_everywhere():
    fit = fit_error((64, 64, 128, 256, 256), (0.3, 0.31, 0.4, 0.5, 0.5), x_name="frames")
    assert fit.c_interval is None
    assert fit.map_band(FRAMES) is None
    assert "no interval: some points have a single seed" in fit.in_words()


def test_mistakes_and_perfect_scores_are_told_apart():
    with pytest.raises(ValueError, match="expected 0 to 1"):
        fit_error((1, 2, 4), (0.1, 0.2, 1.3))
    assert "mAP 1" in fit_error(FRAMES, (0.5, 0.9, 1.0)).reason


def test_lines_are_fitted_one_by_one():
    rows = [
        {"data.window.frames": f, "data.window.resolution": r, "seed": s, "state": "finished", "map_avg": 1 - f**-c}
        for s in (0, 1)
        for f in FRAMES
        for r, c in ((32, 0.2), (64, 0.3))
    ]
    groups = summarise(rows, ["data.window.frames", "data.window.resolution"])
    fits = fit_lines(groups, "data.window.frames", resamples=20)
    assert {name: round(fit.c, 6) for name, fit in fits.items()} == {"32² px": -0.2, "64² px": -0.3}
    (by_resolution,) = {type(fit) for fit in fit_lines(groups, "data.window.resolution").values()}
    assert by_resolution is Refused


def test_over_names_there_is_no_curve_and_the_sentence_says_so():
    rows = [
        {"model.adapter.kind": kind, "seed": 0, "state": "finished", "map_avg": 0.5} for kind in ("tia", "plain", None)
    ]
    (fit,) = fit_lines(summarise(rows, ["model.adapter.kind"]), "model.adapter.kind").values()
    assert fit.in_words() == "there is no curve over adapter, whose values are names"
