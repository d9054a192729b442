"""The paper's conclusions: borne out by its own numbers, by a simulated effect, and not by noise."""

import numpy as np
import pytest

from harness.analysis.fits import Refused, Surface
from harness.analysis.paper import paper_rows, tables_of
from harness.analysis.paper.claims import CLAIMS, check, claims_table, verdict
from harness.analysis.paper.law import fit_law, law_table

FRAMES, SIDE = "data.window.frames", "data.window.resolution"


def grid(effect, noise=0.005, seeds=3):
    """Return rows of scale_frames in which each doubling of frames adds `effect`."""
    rng = np.random.default_rng(3)
    return [
        {
            "seed": seed,
            "state": "finished",
            "map_avg": 0.3 + effect * step + rng.normal(0, noise),
            FRAMES: 32 * 2**step,
            SIDE: side,
        }
        for step in range(3)
        for side in (32, 48)
        for seed in range(seeds)
    ]


def answers(rows_of):
    return {row[0].text: row[-1].text for row in claims_table(rows_of).rows}


def test_the_papers_own_numbers_bear_out_its_conclusions():
    """A claim that is not even true of the published table would be a slip of ours."""
    for claim in CLAIMS:
        found = check(claim, paper_rows(tables_of(claim.study)[0].rows))
        assert found is not None, claim.words
        assert found.mean > 0, claim.words


def test_an_effect_is_found_its_opposite_too_and_noise_is_not_told():
    assert answers({"scale_frames": grid(0.05)})["More frames help"] == "yes"
    assert answers({"scale_frames": grid(-0.05)})["More frames help"] == "no, the opposite"
    assert answers({"scale_frames": grid(0.0)})["More frames help"] == "cannot be told"
    assert answers({})["More frames help"] == "not asked"
    assert answers({"scale_frames": grid(0.05)})["TIA beats the plain adapter"] == "not asked"


def test_no_worse_is_borne_out_by_a_draw():
    (claim,) = [claim for claim in CLAIMS if claim.words == "Longer kernels do not help"]
    rows = [
        {
            "seed": seed,
            "state": "finished",
            "map_avg": 0.3 + (0.01, -0.01, 0.0)[seed] * (kernel - 12),
            "model.adapter.kernel": kernel,
            "model.adapter.spatial_kernel": 1,
        }
        for seed in range(3)
        for kernel in (3, 7, 21)
    ]
    found = check(claim, rows)
    assert found.arm_b == {"model.adapter.kernel": 21, "model.adapter.spatial_kernel": 1}
    assert verdict(claim, found) == "yes, level"
    assert verdict(claim, check(claim, [row for row in rows if row["seed"] == 0])) == "one pair only"


def test_sizes_of_backbones_go_by_parameters_and_not_by_other_families():
    (claim,) = [claim for claim in CLAIMS if claim.study == "scale_backbone"]
    sizes = {"videomae-m-tiny": 3, "videomae-xs-tiny": 1, "slowfast-tiny": 0.5, "videomae-tiny": 2}
    rows = [
        {
            "seed": 0,
            "state": "finished",
            "map_avg": size / 10,
            "params_total": size,
            "model.backbone.name": name,
            "model.adapter.placement": "inside",
        }
        for name, size in sizes.items()
    ]
    found = check(claim, rows)
    assert found.arm_a["model.backbone.name"] == "videomae-m-tiny"
    assert found.arm_b["model.backbone.name"] == "videomae-xs-tiny"
    assert found.mean == pytest.approx(0.2)


def law(pixels, parameters):
    return 0.2 + 30 * pixels**-0.4 + 8 * parameters**-0.3


def law_rows(noise=0.002):
    rng = np.random.default_rng(1)
    return [
        {
            "seed": seed,
            "state": "finished",
            "map_avg": 1 - law(frames * side**2, parameters) * np.exp(rng.normal(0, noise)),
            "params_total": parameters,
            FRAMES: frames,
            SIDE: side,
        }
        for parameters in (1e5, 4e5, 1.6e6)
        for frames in (32, 64, 128, 256)
        for side in (32, 48)
        for seed in range(3)
    ]


def test_a_known_law_is_found_and_its_split_is_the_best_of_all_splits():
    found = fit_law(law_rows())
    assert isinstance(found, Surface)
    table = law_table(law_rows())
    for budget, pixels, parameters, _ in ([cell.value for cell in row] for row in table.rows):
        assert pixels * parameters == pytest.approx(budget)
        shares = np.geomspace(0.05, 20, 201)
        errors = found.predict(pixels * shares, parameters / shares, far=True)
        assert errors.argmin() == 100
    assert "error follows y = E + A / x1^alpha" in table.note


def test_too_few_trials_are_refused_in_the_note():
    table = law_table(law_rows()[:6])
    assert table.rows == ()
    assert table.note.startswith("no surface:")
    assert isinstance(fit_law([]), Refused)
