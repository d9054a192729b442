"""The figures: plotly itself accepts them, they show what the rows say, and text stays text."""

import importlib.util
import json
import re

import pytest

from harness.analysis.report import figures, gather
from harness.analysis.report.figures.labels import NOMINAL_PX, Spot, place_names
from harness.analysis.report.figures.style import kinds, number_axis, plain
from harness.analysis.report.pareto import MOST_DRAWN, against_front
from harness.analysis.summary import summarise
from harness.tables import write_row

FRAMES = "data.window.frames"
DRAW = (figures.bubbles, figures.curves, figures.front, figures.predictions, figures.deviations)


def coloured(value, key=""):
    """Return a copy with real colours for the names that the page resolves."""
    if isinstance(value, dict):
        return {name: coloured(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [coloured(item, key) for item in value]
    if isinstance(value, str) and key.endswith("color"):
        assert re.fullmatch(r"@(\d|ink|muted|line)(/0?\.\d+|/1)?", value), value
        return "#123456"
    return value


@pytest.mark.parametrize("draw", DRAW)
def test_plotly_accepts_every_property(draw, grid, hostile):
    if importlib.util.find_spec("plotly") is None:
        pytest.skip("plotly is not installed")
    import plotly.graph_objects as go

    for report in (grid, hostile):
        figure = draw(report)
        shown = json.loads(json.dumps({"data": coloured(figure.traces), "layout": coloured(dict(figure.layout))}))
        go.Figure(shown)
        assert figure.caption.endswith(".")


@pytest.mark.parametrize("draw", [figures.law_of_operations, figures.law_of_memory])
def test_the_law_is_drawn_over_each_budget_and_stands_above_what_was_run(draw, law, grid):
    assert draw(grid) is None, "another study asks no such thing"
    figure = draw(law)
    if importlib.util.find_spec("plotly") is not None:
        import plotly.graph_objects as go

        go.Figure(json.loads(json.dumps({"data": coloured(figure.traces), "layout": coloured(dict(figure.layout))})))
    run = next(trace for trace in figure.traces if trace.get("name") == "settings that were run")
    best = [trace for trace in figure.traces if "budget" in trace.get("name", "") or "far" in trace.get("name", "")]
    assert len(run["x"]) == 27
    for trace in best:
        known = [x for x in trace["x"] if x is not None]
        assert known == sorted(known), "a line goes from left to right"
    every = max(best, key=lambda trace: sum(x is not None for x in trace["x"]))
    assert None not in every["x"], "one line has no gap"
    points = list(zip(every["x"], every["y"], strict=True))
    assert [y for _, y in points] == sorted(y for _, y in points), "more buys more"
    for x, y in zip(run["x"], run["y"], strict=True):
        dearer = [foretold for budget, foretold in points if budget >= x]
        assert not dearer or y < dearer[0] + 1
    assert all("pixels" in text and "parameters" in text for text in every["hovertext"])


def test_bubbles_stand_at_the_measured_peak_and_the_mean_map(grid):
    figure = figures.bubbles(grid)
    points = {
        (round(x, 6), round(y, 6))
        for trace in figure.traces
        if "hovertext" in trace
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    unit = grid.memory_unit
    assert points == {(round(g.peak_bytes / unit.factor, 6), round(100 * g.map_avg.mean, 6)) for g in grid.groups}
    assert figure.layout["xaxis"]["title"]["text"] == "peak memory of a training step (GiB)"


def test_the_area_of_a_bubble_is_in_proportion_to_the_parameters(hostile):
    sizes = {}
    for trace in figures.bubbles(hostile).traces:
        for text, size in zip(
            trace.get("hovertext", ()), trace["marker"]["size"] if "hovertext" in trace else (), strict=True
        ):
            sizes[text.split(",")[0].removeprefix("<b>")] = size
    ratio = (sizes["videomae-b"] / sizes["videomae-s"]) ** 2
    assert ratio == pytest.approx((87 + 15) / (22 + 15), rel=1e-6)


def test_a_line_of_the_curve_has_its_points_its_law_and_two_bands(grid):
    figure = figures.curves(grid)
    names = [trace["name"] for trace in figure.traces if trace.get("name")]
    assert names == ["160² px", "224² px"]
    assert sum(trace.get("fill") == "toself" for trace in figure.traces) == 4
    assert [trace["line"]["dash"] for trace in figure.traces if trace.get("line", {}).get("dash")] == ["dash", "dash"]
    assert figure.layout["xaxis"]["ticktext"] == ["768", "1,536", "3,072"]


def test_no_band_reaches_below_zero(simulated, tmp_path):
    for frames in (32, 64, 128):
        for seed in (0, 1):
            score = 0.02 + 0.05 * seed + frames / 2000
            write_row(tmp_path, simulated.make_row({FRAMES: frames}, seed=seed, score=score))
    (report,) = gather(tmp_path)
    bands = [trace for trace in figures.curves(report).traces if trace.get("fill") == "toself"]
    assert bands
    assert min(min(trace["y"]) for trace in bands) >= 0


def test_backbones_stand_side_by_side_by_their_size(hostile):
    axis = figures.curves(hostile).layout["xaxis"]
    assert axis["ticktext"] == ["videomae-s", "slowfast-r50", "videomae-b"]


def test_the_front_steps_up_and_leaves_the_beaten_below(grid):
    steps, rest, best = figures.front(grid).traces
    assert steps["y"] == sorted(steps["y"])
    assert steps["line"]["shape"] == "hv"
    for x, y in zip(rest["x"], rest["y"], strict=True):
        assert any(cost <= x and score >= y for cost, score in zip(best["x"], best["y"], strict=True))


def test_the_front_of_a_large_study_is_that_of_a_double_loop():
    rows = [
        {
            "a.size": i,
            "seed": 0,
            "state": "finished",
            "map_avg": (i * 7919 % 1009) / 1009,
            "peak_bytes": 1 + i * 31 % 499,
        }
        for i in range(MOST_DRAWN + 100)
    ]
    groups = summarise(rows, ["a.size"])

    def beaten(group):
        return any(
            other.peak_bytes <= group.peak_bytes
            and other.map_avg.mean >= group.map_avg.mean
            and (other.peak_bytes, other.map_avg.mean) != (group.peak_bytes, group.map_avg.mean)
            for other in groups
        )

    points = against_front(groups)
    assert len(points) == len(groups)
    assert {p.group.name for p in points if p.on_front} == {g.name for g in groups if not beaten(g)}


def test_markup_in_names_reaches_plotly_as_entities(hostile, simulated):
    texts = json.dumps([draw(hostile).traces for draw in DRAW])
    assert simulated.EVIL not in texts
    assert plain(simulated.EVIL) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert plain(simulated.EVIL) in texts


def test_names_are_made_literal_once(simulated, tmp_path):
    for frames in (1, 2):
        for number in range(14):  # more lines than are drawn, so that points are coloured by kind
            row = simulated.make_row({FRAMES: 768 * frames}, study="a", score=0.4 + number / 100)
            write_row(tmp_path, {**row, "digest": f"{frames}-{number}", "data.test_subset": f"a & <b> {number}"})
    (report,) = gather(tmp_path)
    for draw in (figures.bubbles, figures.curves, figures.predictions):
        names = [trace.get("name", "") for trace in draw(report).traces]
        assert any("a &amp; &lt;b&gt; 0" in name for name in names)
        assert not any("&amp;amp;" in name or "&amp;lt;" in name for name in names)


def test_what_cannot_be_drawn_is_left_out(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({}, state="failed", error="x"))
    (report,) = gather(tmp_path)
    assert [draw(report) for draw in DRAW] == [None] * 5


def test_settings_beyond_seven_colours_differ_in_their_symbol(grid):
    rows = [{"a.kind": f"k{i:02}", "seed": 0, "state": "finished", "map_avg": 0.5} for i in range(20)]
    looks = [(kind.colour, kind.symbol) for kind in kinds(summarise(rows, ["a.kind"]), "a.kind")]
    assert len(set(looks)) == 20


def test_a_wide_axis_is_logarithmic_with_round_ticks_and_a_narrow_one_is_not():
    wide = number_axis("memory", [1.5, 43.0])
    assert wide["type"] == "log"
    assert wide["tickvals"] == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    assert "type" not in number_axis("memory", [18.0, 40.0])
    assert "type" not in number_axis("memory", [0.0, 40.0])
    assert "type" not in number_axis("memory", [])


def test_names_keep_clear_of_each_other_or_are_left_out():
    spots = [Spot(x, 0.0, 5, "a name of some length") for x in (0.0, 0.01, 0.02, 0.03, 1.0)]
    places = place_names(spots)
    assert places[0] is not None
    assert places[-1] is not None
    assert None in places
    alone = place_names([Spot(0.0, 0.0, 5, "x" * int(2 * NOMINAL_PX[0]))])
    assert alone == [None]
