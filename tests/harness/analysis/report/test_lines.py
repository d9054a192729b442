"""The fitted curve of each line, in percent of mAP."""

import numpy as np
import pytest

from harness.analysis.fits import Curve, Refused
from harness.analysis.report.lines import MOST_FITS, fit_groups, map_band, map_line
from harness.analysis.summary import summarise

FRAMES, SIDE = "data.window.frames", "data.window.resolution"


def groups(score, frames=(64, 128, 256), sides=(160,), seeds=(0, 1, 2)):
    rows = [
        {FRAMES: f, SIDE: side, "seed": seed, "state": "finished", "map_avg": score(f, seed)}
        for f in frames for side in sides for seed in seeds
    ]  # fmt: skip
    return summarise(rows, [FRAMES, SIDE])


def test_a_law_is_drawn_as_one_minus_its_error():
    (curve,) = fit_groups(groups(lambda f, seed: 1 - 2.0 * f**-0.3), FRAMES).values()
    assert isinstance(curve, Curve)
    sizes, heights = map_line(curve, num_points=3)
    np.testing.assert_allclose(sizes, [64, 128, 256])
    np.testing.assert_allclose(heights, 100 * (1 - 2.0 * sizes**-0.3), rtol=1e-6)
    assert "error falls as frames^-0.30" in curve.in_words()


def test_the_band_of_a_trial_holds_that_of_the_mean_and_both_hold_the_line():
    (curve,) = fit_groups(groups(lambda f, seed: 1 - 2.0 * f**-0.3 * (1 + 0.03 * (seed - 1))), FRAMES).values()
    sizes, heights = map_line(curve)
    mean, trial = (map_band(curve, sizes, of=of) for of in ("mean", "trial"))
    assert np.all((trial[0] <= mean[0]) & (mean[0] <= heights) & (heights <= mean[1]) & (mean[1] <= trial[1]))


def test_there_is_a_fit_for_each_line():
    fits = fit_groups(groups(lambda f, seed: 1 - 2.0 * f**-0.3, sides=(160, 224)), FRAMES)
    assert list(fits) == ["160² px", "224² px"]


@pytest.mark.parametrize(
    ("score", "reason"), [(lambda f, seed: 1.0, "mAP 1"), (lambda f, seed: 0.9 - f / 1000, "no curve")]
)
def test_what_no_law_fits_is_refused_with_the_reason(score, reason):
    (refused,) = fit_groups(groups(score), FRAMES).values()
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_nothing_is_fitted_where_a_figure_could_not_hold_it():
    many = groups(lambda f, seed: 0.5, sides=tuple(range(100, 101 + MOST_FITS)))
    assert fit_groups(many, FRAMES) == {}
    assert fit_groups(groups(lambda f, seed: 0.5, frames=(64,)), FRAMES) == {}
    assert fit_groups(many, None) == {}
