"""The public learning curves: our errors beside the published ones (Alabdulmohsin et al., Tables 2 and 3)."""

import math
import statistics

import pytest

from harness.analysis import bench

SINGLE = ("m1", "m2", "m3", "m4", "exp")


@pytest.fixture(scope="module")
def curves(shared_data):
    found = bench.read_curves(shared_data / "scaling_benchmark")
    assert len(found) == 15
    assert sum(len(curve.test_x) for curve in found) == 245
    return found


@pytest.fixture(scope="module")
def scores(curves):
    """Every curve and form, without resamples."""
    return {form: [bench.score(curve, form, resamples=0) for curve in curves] for form in (*SINGLE, "auto")}


def median(scores):
    return statistics.median(score.rmse_log for score in scores)


def printed_range(value: float) -> tuple[float, float]:
    """Return what is printed as `value` in two digits."""
    half = 0.5 * 10.0 ** (math.floor(math.log10(value)) - 1)
    return value - half, value + half


def test_m1_is_the_published_one_on_every_curve(curves, scores):
    """Within 3 % of a number that is printed so; two of the 15 are 3.1 and 3.4 % from the two printed digits."""
    for curve, ours in zip(curves, scores["m1"], strict=True):
        low, high = printed_range(curve.published["m1"])
        assert 0.97 * low <= ours.rmse_log <= 1.03 * high, curve.name
    off = [abs(ours.rmse_log / curve.published["m1"] - 1) for curve, ours in zip(curves, scores["m1"], strict=True)]
    assert sorted(off)[-3] < 0.03
    assert max(off) < 0.035


def test_m4_is_no_worse_than_published(curves, scores):
    assert median(scores["m4"]) <= statistics.median(curve.published["m4"] for curve in curves)


def test_auto_is_as_good_as_the_best_single_form(scores):
    assert median(scores["auto"]) <= 1.1 * min(median(scores[form]) for form in SINGLE)


def test_a_curve_takes_less_than_two_seconds(scores):
    assert max(score.seconds for column in scores.values() for score in column) < 2


@pytest.mark.slow
def test_prediction_bands_hold_80_to_97_of_a_hundred_test_points(curves):
    held = [bench.score(curve, "auto") for curve in curves]
    share = sum(score.num_held for score in held) / sum(score.num_test for score in held)
    assert 0.80 <= share <= 0.97


def test_the_script_prints_what_it_found(shared_data, capsys):
    bench.main([str(shared_data / "scaling_benchmark"), "--forms", "m1", "--resamples", "0"])
    out = capsys.readouterr().out
    assert "NMT log_perplexity 6 Enc, 6 Dec: m1 0.2619" in out
    assert "m1: median 0.0170, published 0.0170" in out
