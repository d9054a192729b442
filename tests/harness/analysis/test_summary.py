"""Means over seeds and comparisons."""

import io

import pyarrow as pa
import pytest

from harness.analysis import Spread, compare, extremes, lines, summarise, trial_table
from harness.analysis.summary import settings, varying

FRAMES, SIDE = "data.window.frames", "data.window.resolution"


def row(frames, side, seed, map_avg, state="finished", **more):
    return {FRAMES: frames, SIDE: side, "seed": seed, "map_avg": map_avg, "state": state, **more}


ROWS = [
    row(64, 32, 0, 0.40, peak_bytes=100, predicted_peak_bytes=101, step_seconds=0.1, total_seconds=10.0),
    row(64, 32, 1, 0.44, peak_bytes=104, predicted_peak_bytes=101, step_seconds=0.3, total_seconds=20.0),
    row(256, 64, 0, 0.60),
    row(256, 64, 1, 0.58),
    row(256, 32, 0, 0.50),
    row(256, 32, 1, None, state="failed"),
    row(64, 64, 0, None, state="out_of_memory", peak_bytes=900),
]


def test_spread_says_what_it_is():
    assert Spread.of([0.5]).in_percent() == "50.0"
    two, three = Spread.of([0.40, 0.44]), Spread.of([0.1, 0.2, 0.3])
    assert (two.mean, two.spread, two.kind) == (pytest.approx(0.42), pytest.approx(0.02), "half_range")
    assert (three.spread, three.kind, three.n) == (pytest.approx(0.1), "std", 3)
    assert two.in_percent() == "42.0 ± 2.0"
    assert "half the range of 2" in two.explained()


@pytest.mark.parametrize("as_rows", [list, pa.Table.from_pylist])
def test_groups_average_seeds_and_take_the_largest_peak(as_rows):
    groups = summarise(as_rows(ROWS), [FRAMES, SIDE])
    assert [tuple(group.values.values()) for group in groups] == [(64, 32), (64, 64), (256, 32), (256, 64)]
    first, lost, part, _ = groups
    assert first.map_avg == Spread.of([0.40, 0.44])
    assert (first.peak_bytes, first.predicted_peak_bytes) == (104, 101)
    assert (first.step_seconds, first.total_seconds) == (pytest.approx(0.2), 15.0)
    assert lost.map_avg is None
    assert lost.peak_bytes == 900
    assert part.states == {"finished": 1, "failed": 1}
    assert part.maps == (0.50,)


def test_the_rows_of_each_setting_stand_in_the_order_of_the_groups():
    found = settings(ROWS, [FRAMES, SIDE])
    assert list(found) == [tuple(group.values.values()) for group in summarise(ROWS, [FRAMES, SIDE])]
    assert sorted(map(id, ROWS)) == sorted(id(member) for members in found.values() for member in members)


def test_what_is_the_same_in_all_rows_tells_nothing_apart_unless_it_is_drawn():
    rows = [row(32, 48, 0, 0.3, rate=0.1), row(64, 48, 1, 0.4, rate=0.1)]
    paths = [FRAMES, SIDE, "rate"]
    assert varying(rows, paths) == [FRAMES]
    assert varying(rows, paths, kept=[SIDE]) == [FRAMES, SIDE]
    assert varying(rows[:1], paths) == []


def test_largest_and_smallest_are_compared_seed_by_seed():
    small, large = extremes(summarise(ROWS, [FRAMES, SIDE]))
    assert (small, large) == ({FRAMES: 64, SIDE: 32}, {FRAMES: 256, SIDE: 64})
    comparison = compare(ROWS, small, large)
    assert comparison.difference.mean == pytest.approx(0.17)
    assert comparison.wins == 2
    assert comparison.in_words().startswith("256 frames, 64² px beats 64 frames, 32² px by 17.0 ± 3.0 points of mAP")


def test_only_shared_seeds_are_compared():
    assert compare(ROWS, {FRAMES: 64, SIDE: 64}, {FRAMES: 256, SIDE: 64}) is None
    assert compare(ROWS, {FRAMES: 256, SIDE: 32}, {FRAMES: 256, SIDE: 64}).difference.n == 1


def test_a_setting_that_is_worse_is_not_said_to_win():
    words = compare(ROWS, {FRAMES: 256, SIDE: 64}, {FRAMES: 64, SIDE: 32}).in_words()
    assert "does not beat" in words
    assert "-17.0" in words


def test_axes_without_numbers_have_no_extremes():
    rows = [{"model.adapter": kind, "seed": 0, "state": "finished", "map_avg": 0.5} for kind in ("tia", None)]
    groups = summarise(rows, ["model.adapter"])
    assert extremes(groups) is None
    assert extremes(()) is None
    assert list(lines(groups, "seed")) == ["no adapter", "adapter tia"]


def test_table_names_what_became_of_a_setting_without_a_result():
    from rich.console import Console

    console = Console(width=110, record=True, file=io.StringIO())
    console.print(trial_table(summarise(ROWS, [FRAMES, SIDE]), title="study"))
    text = console.export_text()
    assert "42.0 ± 2.0" in text
    assert "out of memory" in text
    assert "half the range of 2 seeds" in text
    assert trial_table(()).row_count == 0


def test_table_of_large_trials_is_in_gib():
    from rich.console import Console

    console = Console(width=110, record=True, file=io.StringIO())
    console.print(trial_table(summarise([row(64, 32, 0, 0.4, peak_bytes=3 * 2**30)], [FRAMES, SIDE])))
    text = console.export_text()
    assert "peak GiB" in text
    assert " 3.0 " in text
