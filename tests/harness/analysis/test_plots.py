"""Pictures: they are written whole, for full and for poor studies alike. What they look like was looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis import fit_lines, plot_bubbles, plot_curve, summarise

FRAMES, SIDE = "data.window.frames", "data.window.resolution"


def study(frames=(64, 128, 256), seeds=(0, 1)):
    rows = [
        {
            FRAMES: f, SIDE: r, "seed": s, "state": "finished", "map_avg": 1 - f**-0.3 * (1.1 - r / 320) + s * 0.01,
            "peak_bytes": f * r * r * 100, "predicted_peak_bytes": f * r * r * 101, "params_total": 1000 * r,
        }
        for s in seeds for f in frames for r in (32, 64)
    ]  # fmt: skip
    return summarise(rows, [FRAMES, SIDE])


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("groups", [study(), study(seeds=(0,)), study(frames=(64,))])
def test_pictures_are_written_whole(tmp_path, groups):
    curve = plot_curve(
        groups, tmp_path / "deep" / "curve.png", x=FRAMES, title="a < b & $", fits=fit_lines(groups, FRAMES)
    )
    bubbles = plot_bubbles(groups, tmp_path / "deep" / "bubbles.png", title="memory", colour_by=SIDE)
    assert is_png(curve)
    assert is_png(bubbles)
    assert len(list((tmp_path / "deep").iterdir())) == 2


def test_settings_that_are_no_numbers_stand_side_by_side(tmp_path):
    rows = [
        {"model.adapter": kind, "seed": 0, "state": "finished", "map_avg": 0.5, "peak_bytes": 2**31}
        for kind in ("tia", None)
    ]
    groups = summarise(rows, ["model.adapter"])
    assert is_png(
        plot_curve(
            groups, tmp_path / "a.png", x="model.adapter", title="adapters", fits=fit_lines(groups, "model.adapter")
        )
    )
    assert is_png(plot_bubbles(groups, tmp_path / "b.png", title="adapters", area="params_trainable"))


def test_nothing_to_plot_is_said(tmp_path):
    rows = [{FRAMES: 64, "seed": 0, "state": "failed", "map_avg": None}]
    with pytest.raises(ValueError, match="no trial has a result"):
        plot_curve(summarise(rows, [FRAMES]), tmp_path / "x.png", x=FRAMES, title="")
    rows = [{FRAMES: 64, "seed": 0, "state": "finished", "map_avg": 0.5}]
    with pytest.raises(ValueError, match="measured peak"):
        plot_bubbles(summarise(rows, [FRAMES]), tmp_path / "x.png", title="")
    assert list(tmp_path.iterdir()) == []


def test_numbers_and_tables_need_neither_torch_nor_ray():
    code = (
        "import sys, harness.detection, harness.evaluation, harness.tables, harness.analysis\n"
        "print([name for name in ('torch', 'ray', 'matplotlib', 'duckdb', 'scipy', 'rich') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
