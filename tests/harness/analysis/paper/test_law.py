"""The joint law of a study's rows: found where they hold it, over fewer sizes where they do not, refused with words."""

import re

import numpy as np
import pytest

from harness.analysis.fits import Refused
from harness.analysis.paper.law import MEMORY, OPERATIONS, Law, fit_law
from harness.analysis.paper.law_table import law_table
from harness.analysis.plots.law import plot_law

FRAMES, SIDE, BACKBONE = "data.window.frames", "data.window.resolution", "model.backbone.name"
HEAD = 600_000


def error(frames, side, parameters):
    return 0.35 + 2.2 / frames**0.7 + 30 / side**1.4 + 300 / parameters**0.65


def law_rows(noise=0.005, sides=(32, 48, 64), law=error, counted=True):
    rng = np.random.default_rng(1)
    return [
        {
            "seed": seed,
            "state": "finished",
            "map_avg": 1 - law(frames, side, parameters) * np.exp(rng.normal(0, noise)),
            "params_total": parameters + HEAD,
            "params_trainable": HEAD,
            "flops": 3e8 + 0.015 * frames * side**2 * parameters if counted else None,
            "peak_bytes": int(1e7 + 5 * parameters + 1e-4 * frames * side**2 * parameters),
            "predicted_peak_bytes": None,
            FRAMES: frames,
            SIDE: side,
            BACKBONE: f"vit-{parameters}",
        }
        for parameters in (160_000, 600_000, 1_700_000)
        for frames in (32, 64, 128)
        for side in sides
        for seed in range(3)
    ]


def test_a_known_law_of_three_sizes_is_found_with_its_costs():
    found = fit_law(law_rows())
    assert isinstance(found, Law)
    assert found.instead_of is None
    true = {"alpha": 0.7, "beta": 0.7, "gamma": 0.65}
    for name, value in true.items():
        low, high = found.surface.intervals[name]
        assert low < value < high
    assert found.costs[OPERATIONS].at(64, 48**2, 1e6)[0] == pytest.approx(3e8 + 0.015 * 64 * 48**2 * 1e6, rel=1e-3)


def test_the_picture_has_a_panel_for_the_score_and_each_size_over_either_budget(tmp_path):
    path = plot_law(law_rows(), tmp_path / "law.svg")
    text = path.read_text()
    assert len(set(re.findall(r'id="axes_(\d+)"', text))) == 2 * 4
    with pytest.raises(ValueError, match="there is nothing to plot: no surface"):
        plot_law(law_rows()[:6], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


def test_budgets_of_both_kinds_are_spent_and_the_foretold_beats_what_was_run():
    table = law_table(law_rows(noise=0.002))
    assert {row[0].text for row in table.rows} == {OPERATIONS, MEMORY}
    assert [column.head for column in table.columns][2:5] == ["frames", "resolution", "parameters"]
    for row in table.rows:
        _, budget, frames, pixels, parameters, foretold, run, *_ = row
        cost = 3e8 + 0.015 * frames.value * pixels.value * parameters.value
        if row[0].text == OPERATIONS:
            assert cost == pytest.approx(budget.value, rel=0.01)
        assert foretold.value > float(run.text.split(":")[0]) - 0.3
        assert foretold.value == pytest.approx(
            100 * (1 - error(frames.value, pixels.value**0.5, parameters.value)), abs=0.5
        )
    assert "past 2 times the measured range" in table.rows[-1][-1].text or "farther" in table.rows[-1][-1].text


def test_two_resolutions_give_a_law_of_pixels_and_parameters_and_say_why():
    product = law_rows(0.002, (32, 64), lambda f, s, n: 0.3 + 60 / (f * s * s) ** 0.5 + 300 / n**0.65)
    found = fit_law(product)
    assert isinstance(found, Law)
    assert found.surface.x_names == ("pixels of a window", "parameters")
    assert "2 distinct values of pixels, expected at least 3, so frames and pixels count together" in found.in_words()
    assert [column.head for column in law_table(product).columns][2:4] == ["pixels of a window", "parameters"]


def test_a_size_that_tells_nothing_is_refused_with_what_it_did():
    table = law_table(law_rows(law=lambda f, s, n: 0.4 + 2.2 / f**0.7 + 30 / s**1.4))
    assert table.rows == ()
    assert "that of parameters lies anywhere from" in table.note
    assert "the mean error going from 0.6" in table.note


def test_rows_without_operations_and_too_few_trials_say_so():
    table = law_table(law_rows(counted=False))
    assert {row[0].text for row in table.rows} == {MEMORY}
    assert "no law of operations of a step: no row holds any" in table.note
    assert law_table(law_rows()[:6]).note.startswith("no surface:")
    assert isinstance(fit_law([]), Refused)
