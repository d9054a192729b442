"""The paper's conclusions: borne out by its own numbers, by a simulated effect, and not by noise."""

import numpy as np
import pytest

from harness.analysis.paper import paper_rows, tables_of
from harness.analysis.paper.claims import CLAIMS, check, claims_table, verdict

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
