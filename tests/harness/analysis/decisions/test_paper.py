"""The paper's own conclusions, recovered from its own numbers (Tables 5, 6 and 11)."""

import pytest

from harness.analysis import fit_curve, iso_memory, marginal_gains, pareto_front
from harness.analysis.decisions import paired_comparison
from harness.analysis.paper import (
    BACKBONE,
    FRAMES,
    PLACEMENT,
    PUBLISHED,
    RERUN_SPREAD,
    RESOLUTION,
    paper_groups,
    paper_rows,
    published,
)
from harness.units import GIB

TABLE_5, TABLE_6, TABLE_11 = (PUBLISHED[study] for study in ("scale_frames", "scale_to_giant", "compare_placement"))


def front(rows):
    points = pareto_front(paper_groups(rows), run_spread=RERUN_SPREAD)
    return {point.group.name: point for point in points}


def test_more_frames_and_more_pixels_help():
    """Table 5: at either resolution the error falls with frames, and every step of either knob gains."""
    for resolution in (160, 224):
        rows = [row for row in TABLE_5 if row.at[RESOLUTION] == resolution]
        fit = fit_curve([row.at[FRAMES] for row in rows], [1 - row.map_avg / 100 for row in rows])
        assert fit.parameters["c"] < 0
        assert fit.interval_refused  # three points hold no more than that
    assert all(step.gain > 0 for step in marginal_gains(paper_groups(TABLE_5)).steps)


def test_at_equal_memory_pixels_beat_frames():
    """Table 5: 224² with 768 frames and 160² with 1,536 cost 3.8 GiB both; 1.0 points apart with 0.5 for reruns."""
    groups = paper_groups(TABLE_5)
    (gap,) = iso_memory(groups, 3.8 * GIB, run_spread=RERUN_SPREAD).comparisons
    assert gap.better.values == {FRAMES: 768, RESOLUTION: 224}
    assert (gap.mean, gap.distinguishable) == (pytest.approx(0.010), True)
    (gap,) = iso_memory(groups, 6.45 * GIB, run_spread=RERUN_SPREAD).comparisons
    assert (gap.mean, gap.distinguishable) == (pytest.approx(0.004), False)
    found = marginal_gains(groups, budget_bytes=3 * GIB, run_spread=RERUN_SPREAD)
    assert (found.steps[0].knob, found.distinguishable) == (RESOLUTION, True)
    assert "nothing is known of the spread" in iso_memory(groups, 3.8 * GIB).in_words()


def test_the_front_of_table_5_is_pixels_first():
    points = front(TABLE_5)
    assert [name for name, point in points.items() if point.on_front] == [
        "768 frames, 160² px",
        "768 frames, 224² px",
        "1,536 frames, 224² px",
        "3,072 frames, 224² px",
    ]
    assert points["1,536 frames, 160² px"].probability_dominated > 0.98


def test_outside_scales_furthest():
    """Table 6: at 30 GiB placements are level, and only outside fits 1,536 frames at 224², which is best of all."""
    (gap,) = iso_memory(paper_groups(TABLE_6), 30 * GIB, run_spread=RERUN_SPREAD).comparisons
    assert gap.better.values[PLACEMENT] == "inside"
    assert (gap.mean, gap.distinguishable) == (pytest.approx(0.002), False)
    best = max(TABLE_6, key=lambda row: row.map_avg)
    assert (best.at[PLACEMENT], best.at[FRAMES], best.memory_gib) == ("outside", 1536, 43.6)
    points = front(TABLE_6)
    assert points["videomae-g, placement outside, 1,536 frames, 224² px"].on_front
    assert points["videomae-g, placement outside, 768 frames, 160² px"].on_front is False


def test_inside_is_better_at_equal_input_and_outside_at_equal_memory():
    """Table 11: 0.4 to 1.8 points for inside at equal input; outside at 224² against inside at 160²: 0.1 to 0.4."""
    found = paired_comparison(
        paper_rows(TABLE_11), {PLACEMENT: "inside"}, {PLACEMENT: "outside"}, over=[BACKBONE, RESOLUTION]
    )
    assert (found.wins, len(found.differences), found.distinguishable) == (4, 4, True)
    assert (min(found.differences), max(found.differences)) == pytest.approx((0.004, 0.018))
    for gib in (2.6, 4.9, 10.9):
        (gap,) = iso_memory(paper_groups(TABLE_11), gib * GIB, run_spread=RERUN_SPREAD).comparisons
        assert gap.better.values[PLACEMENT] == "outside"
        assert gap.better.values[RESOLUTION] == 224
        assert gap.distinguishable is False  # each alone is within what reruns do


def test_bigger_backbones_are_better_at_equal_input():
    """S, B, L, g at 768 frames of 160² with adapters inside: every size gains, and costs more."""
    rows = {
        row.at[BACKBONE]: row
        for row in (*TABLE_11, *TABLE_6)
        if (row.at[PLACEMENT], row.at[FRAMES], row.at[RESOLUTION]) == ("inside", 768, 160)
    }
    sizes = [rows[f"videomae-{size}"] for size in "sblg"]
    assert [row.map_avg for row in sizes] == sorted(row.map_avg for row in sizes)
    assert [row.memory_gib for row in sizes] == sorted(row.memory_gib for row in sizes)


def test_a_number_that_two_tables_share_is_one_number():
    for row in TABLE_11:
        for other in (*TABLE_5, *TABLE_6):
            at = {BACKBONE: "videomae-s", PLACEMENT: "inside", **other.at}
            if at == row.at:
                assert (other.map_avg, other.memory_gib) == (row.map_avg, row.memory_gib)
    assert published("scale_frames", {FRAMES: 768, RESOLUTION: 160, "seed": 3}).map_avg == 68.8
    assert published("scale_frames", {FRAMES: 999, RESOLUTION: 160}) is None
