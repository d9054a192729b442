"""Pictures: written whole, in every format, for full and for poor studies alike. What they look like was looked at."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness.analysis import fit_curve, fit_lines, plot_bubbles, plot_curve, summarise
from harness.analysis.plots import plot_front, plot_learning, plot_predictions, plot_report
from harness.analysis.plots.labels import Spot, write_names
from harness.analysis.plots.style import SIZE_IN, picture
from harness.analysis.report import gather

FRAMES, SIDE = "data.window.frames", "data.window.resolution"
PUBLISHED = Path(__file__).resolve().parents[3] / "results" / "published" / "scale_frames"
SVG = "{http://www.w3.org/2000/svg}"


def rows(frames=(64, 128, 256), seeds=(0, 1)):
    return [
        {
            FRAMES: f, SIDE: r, "seed": s, "state": "finished", "map_avg": 1 - f**-0.3 * (1.1 - r / 320) + s * 0.01,
            "peak_bytes": f * r * r * 100, "predicted_peak_bytes": f * r * r * 101, "params_total": 1000 * r,
        }
        for s in seeds for f in frames for r in (32, 64)
    ]  # fmt: skip


def study(**changes):
    return summarise(rows(**changes), [FRAMES, SIDE])


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("groups", [study(), study(seeds=(0,)), study(frames=(64,))])
def test_pictures_are_written_whole(tmp_path, groups):
    fits = fit_lines(groups, FRAMES)
    curve = plot_curve(groups, tmp_path / "deep" / "curve.png", x=FRAMES, title="a < b & $", fits=fits)
    bubbles = plot_bubbles(groups, tmp_path / "deep" / "bubbles.png", title="memory", colour_by=SIDE)
    assert is_png(curve)
    assert is_png(bubbles)
    assert len(list((tmp_path / "deep").iterdir())) == 2


def test_a_picture_is_as_wide_as_a_column_at_300_dots_per_inch(tmp_path):
    data = plot_front(study(), tmp_path / "front.png").read_bytes()
    assert int.from_bytes(data[16:20]) == round(300 * SIZE_IN[0])


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_the_same_picture_gives_the_same_file(tmp_path, form):
    first, again = (plot_curve(study(), tmp_path / f"{name}.{form}", x=FRAMES).read_bytes() for name in "ab")
    assert first == again


def test_another_ending_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"x\.gif, expected a name that ends in png, svg, pdf"):
        plot_curve(study(), tmp_path / "x.gif", x=FRAMES)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_no_numbers_stand_side_by_side(tmp_path):
    table = [
        {"model.adapter": kind, "seed": 0, "state": "finished", "map_avg": 0.5, "peak_bytes": 2**31}
        for kind in ("tia", None)
    ]
    groups = summarise(table, ["model.adapter"])
    fits = fit_lines(groups, "model.adapter")
    assert is_png(plot_curve(groups, tmp_path / "a.png", x="model.adapter", title="adapters", fits=fits))
    assert is_png(plot_bubbles(groups, tmp_path / "b.png", title="adapters", area="params_trainable"))


def test_a_curve_of_any_form_can_be_drawn(tmp_path):
    groups = summarise(rows(), [FRAMES])
    table = rows()
    fit = fit_curve([row[FRAMES] for row in table], [1 - row["map_avg"] for row in table])
    drawn = plot_curve(groups, tmp_path / "a.svg", x=FRAMES, fits={"all trials": fit})
    plain = plot_curve(groups, tmp_path / "b.svg", x=FRAMES)
    paths = [len(list(ElementTree.parse(path).iter(f"{SVG}path"))) for path in (drawn, plain)]
    assert paths[0] > paths[1]


def test_predictions_and_learning_curves_are_drawn(tmp_path):
    curve = {"per": "epoch", "x": [1.0, 2.0], "y": [0.9, 0.5]}
    assert is_png(plot_predictions(rows(), tmp_path / "memory.png"))
    assert is_png(plot_learning({"a $1": curve, "b" * 90: curve}, tmp_path / "learning.png"))
    with pytest.raises(ValueError, match="no trial has a curve of lr"):
        plot_learning({}, tmp_path / "x.png", measure="lr")


def test_nothing_to_plot_is_said(tmp_path):
    lost = summarise([{FRAMES: 64, "seed": 0, "state": "failed", "map_avg": None}], [FRAMES])
    with pytest.raises(ValueError, match="no trial has a result"):
        plot_curve(lost, tmp_path / "x.png", x=FRAMES, title="")
    unmeasured = summarise([{FRAMES: 64, "seed": 0, "state": "finished", "map_avg": 0.5}], [FRAMES])
    for draw in (plot_bubbles, plot_front):
        with pytest.raises(ValueError, match="measured peak"):
            draw(unmeasured, tmp_path / "x.png")
    with pytest.raises(ValueError, match="no trial has a predicted and a measured peak"):
        plot_predictions([{"peak_bytes": None, "predicted_peak_bytes": 1}], tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_names_beside_points_never_cover_each_other(tmp_path):
    with picture(tmp_path / "names.png", "") as (figure, axes):
        spots = [Spot(x / 10, y / 10, 3, f"point {x} {y}") for x in range(6) for y in range(3)]
        axes.plot([spot.x for spot in spots], [spot.y for spot in spots], "o")
        write_names(figure, axes, spots)
        boxes = [text.get_window_extent() for text in axes.texts]
    assert 5 < len(boxes) <= len(spots)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_every_picture_of_a_real_study_is_drawn(tmp_path):
    (report,) = gather(PUBLISHED)
    written = plot_report(report, tmp_path)
    stems = ["curves", "bubbles", "pareto", "predictions", "learning"]
    assert [path.name for path in written] == [f"{stem}.{form}" for stem in stems for form in ("png", "svg")]
    for path in written:
        assert is_png(path) if path.suffix == ".png" else ElementTree.parse(path).getroot().tag == f"{SVG}svg"


def test_numbers_and_tables_need_neither_torch_nor_ray():
    code = (
        "import sys, harness.detection, harness.evaluation, harness.tables, harness.analysis, harness.analysis.report\n"
        "names = ('torch', 'ray', 'matplotlib', 'plotly', 'duckdb', 'scipy', 'rich')\n"
        "print([name for name in names if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
