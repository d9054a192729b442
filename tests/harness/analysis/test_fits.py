"""Fits: they find known laws, their intervals cover, and they refuse what means nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import LinearMemory, PowerLaw, Refused, fit_error, fit_linear_memory, fit_lines, summarise

FRAMES = (64, 128, 256)


def trials(b, c, sizes, seeds, noise=0.0, rng_seed=0, floor=0.0):
    rng = np.random.default_rng(rng_seed)
    x = np.repeat(np.array(sizes, dtype=float), seeds)
    return x, 1 - (floor + b * x**c) * np.exp(rng.normal(0, noise, len(x)))


@given(st.floats(0.5, 2.0), st.floats(-0.9, -0.05))
@settings(max_examples=40, deadline=None)
def test_exact_law_is_found_to_the_last_digits(b, c):
    x, score = trials(b * 0.5, c, FRAMES, 2)
    fit = fit_error(x, score, x_name="frames", resamples=50)
    assert isinstance(fit, PowerLaw)
    assert (fit.b, fit.c) == (pytest.approx(b * 0.5, rel=1e-9), pytest.approx(c, abs=1e-9))
    assert fit.rmse_log == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(fit.map_at(x), score, atol=1e-9)


def test_m1_is_numpys_log_log_line():
    x, score = trials(2.0, -0.3, FRAMES, 3, noise=0.05)
    slope, intercept = np.polyfit(np.log(x), np.log(1 - score), 1)
    fit = fit_error(x, score)
    assert (fit.c, fit.b) == (pytest.approx(slope), pytest.approx(np.exp(intercept)))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Eight seeds at each of four x; the percentile bootstrap of few trials is a little narrow."""
    hits, runs = 0, 150
    for run in range(runs):
        x, score = trials(1.5, -0.3, (64, 128, 256, 512), 8, noise=0.05, rng_seed=run)
        low, high = fit_error(x, score, resamples=300, seed=run).c_interval
        hits += low <= -0.3 <= high
    assert 0.85 <= hits / runs <= 0.99


def test_words_hold_exponent_interval_and_doubling():
    x, score = trials(2.2, -0.31, FRAMES, 2, noise=0.01)
    words = fit_error(x, score, x_name="frames").in_words()
    assert "error falls as frames^-0.3" in words
    assert "from 1,000 resamples of 6 trials" in words
    assert "each doubling of frames removes" in words
    assert "interpolation only" in words
    assert "interval is rough" in words


def test_band_holds_the_curve_and_is_the_same_every_time():
    x, score = trials(2.2, -0.31, FRAMES, 4, noise=0.03)
    fit, again = fit_error(x, score), fit_error(x, score)
    low, high = fit.map_band(FRAMES)
    assert np.all((low <= fit.map_at(FRAMES)) & (fit.map_at(FRAMES) <= high))
    assert fit == again


@pytest.mark.parametrize(
    ("sizes", "scores", "reason"),
    [
        ((64, 128, 128), (0.3, 0.4, 0.5), "2 distinct values of frames, expected at least 3"),
        ((64, 128, 256), (0.5, 0.5, 0.4), r"does not fall as frames grows \(log-log slope \+"),
        ((64, 128, 256), (0.5, 0.5, 0.5), "the same at every"),
        ((64, 128, 256), (0.5, 0.9, 1.0), "mAP 1"),
    ],
)
def test_what_means_nothing_is_refused_in_one_sentence(sizes, scores, reason):
    refused = fit_error(sizes, scores, x_name="frames")
    assert isinstance(refused, Refused)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(refused.in_words())


def test_interval_needs_two_seeds_everywhere():
    fit = fit_error((64, 64, 128, 256, 256), (0.3, 0.31, 0.4, 0.5, 0.5), x_name="frames")
    assert fit.c_interval is None
    assert fit.map_band(FRAMES) is None
    assert "no interval: some points have a single seed" in fit.in_words()


def test_a_fall_within_the_noise_is_said_to_be_unproven():
    fit = fit_error((1, 1, 2, 2, 4, 4), (0.3, 0.6, 0.5, 0.4, 0.62, 0.30))
    assert fit.c_interval[1] >= 0
    assert "a fall is not established" in fit.in_words()


@pytest.mark.parametrize(
    ("sizes", "scores"),
    [
        ((1, 2), (0.1, 0.2, 0.3)),
        ((0, 1, 2), (0.1, 0.2, 0.3)),
        ((1, 2, 4), (0.1, 0.2, 1.3)),
        ((1, 2, float("nan")), (0.1, 0.2, 0.3)),
    ],
)
def test_values_out_of_range_are_errors(sizes, scores):
    with pytest.raises(ValueError, match="expected"):
        fit_error(sizes, scores)


def test_m2_finds_the_floor_and_needs_five_sizes():
    sizes = (16, 32, 64, 128, 256, 512, 1024)
    x, score = trials(2.0, -0.6, sizes, 1, floor=0.2)
    fit = fit_error(x, score, form="m2")
    assert (fit.floor, fit.c) == (pytest.approx(0.2, abs=1e-3), pytest.approx(-0.6, abs=1e-2))
    assert "error above 0.200 falls" in fit.in_words()
    assert "expected at least 5 for m2" in fit_error(x[:4], score[:4], form="m2").reason


def test_m2_interval_is_from_refits():
    x, score = trials(2.0, -0.6, (16, 32, 64, 128, 256), 3, floor=0.2, noise=0.01)
    fit = fit_error(x, score, form="m2", resamples=20)
    assert fit.num_failed_resamples == 0
    assert fit.c_interval[0] <= fit.c <= fit.c_interval[1]


def test_memory_law_is_the_papers():
    """Table 5, S at 160 x 160: linear in frames within 4 %, 1.69 to 1.76 MB a frame."""
    law = fit_linear_memory((768, 1536, 3072), (2.5e9, 3.8e9, 6.5e9), x_name="frames")
    assert law.bytes_per_unit == pytest.approx(1.74e6, rel=0.02)
    assert law.max_relative_error < 0.04
    assert "x frames" in law.in_words()


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 10**12)), min_size=2, max_size=8))
@settings(max_examples=50, deadline=None)
def test_memory_law_never_has_a_negative_part(points):
    law = fit_linear_memory(*zip(*points, strict=True))
    if len({x for x, _ in points}) < 2:
        assert isinstance(law, Refused)
    else:
        assert isinstance(law, LinearMemory)
        assert law.base_bytes >= 0
        assert law.bytes_per_unit >= 0


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
