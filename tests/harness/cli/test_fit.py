"""`tadscale fit`, through the command itself: any table, any study, JSON, pictures, mistakes."""

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.analysis import fit_curve, fits
from harness.cli.commands.fit import BOOTSTRAPS, FORMS
from harness.cli.tadscale import main
from harness.config import TrialConfig, digest, flatten, with_values
from harness.tables import write_row
from models.config import VIDEOMAE, DetectorConfig

SIZES = (64, 128, 256, 512, 1024)


@pytest.fixture
def fit(capsys):
    """Return a function that runs the command here and returns its exit code, output and complaint."""

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["fit", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Return a CSV of two models' losses over tokens, with repeats."""
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "tokens": size, "seed": seed, "loss": floor + 2 * size**-0.4 * np.exp(rng.normal(0, 0.01))}
        for model, floor in (("a", 0.1), ("<b>[bold]", 0.2))
        for size in SIZES
        for seed in (0, 1, 2)
    ]
    path = tmp_path_factory.mktemp("fit") / "losses.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path, rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a results folder with one study: three frame counts at two resolutions, two seeds each."""
    root = tmp_path_factory.mktemp("results")
    base = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], tuning="frozen"))
    rng = np.random.default_rng(0)
    for frames in (384, 768, 1536):
        for side in (96, 160):
            for seed in (0, 1):
                changed = {"data.window.frames": frames, "data.window.resolution": side, "seed": seed}
                config = with_values(base, changed)
                row = {"study": "s", "trial": "t", "digest": digest(config), "attempt": 1, "state": "finished"}
                score = 1 - 3 * frames**-0.2 * (1.2 - side / 800) * 0.7 * np.exp(rng.normal(0, 0.005))
                row |= {"map_avg": score, "ended_utc": datetime(2026, 1, 1, tzinfo=UTC)}
                write_row(root / "s", {**row, **flatten(config)})
    return root


def test_the_command_offers_every_form_and_bootstrap_and_needs_no_numpy_to_say_so():
    assert {*FORMS} == {"auto", *fits.FORM_NAMES, "chinchilla"}
    from harness.analysis.fits.resampling import METHODS

    assert {*BOOTSTRAPS} == {"auto", *METHODS}
    program = "import argparse, sys; from harness.cli.commands import fit\n"
    program += "fit.add(argparse.ArgumentParser().add_subparsers())\n"
    program += "print({'numpy', 'pyarrow', 'scipy', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"set()\n"


def test_json_is_the_curve_of_each_line_at_full_precision(fit, losses):
    path, rows = losses
    code, out, _ = fit(path, "--x", "tokens", "--y", "loss", "--by", "model", "--json", "--resamples", 50)
    document = json.loads(out)
    assert code == 0
    assert document["columns"] == {"x": ["tokens"], "y": "loss", "best": None, "seed": "seed", "by": ["model"]}
    (named,) = [line for line in document["lines"] if line["line"] == "model a"]
    own = [row for row in rows if row["model"] == "a"]
    curve = fit_curve([row["tokens"] for row in own], [row["loss"] for row in own], resamples=50)
    assert named["form"] == curve.form
    assert named["parameters"] == pytest.approx(curve.parameters, rel=1e-9)
    assert named["hold_out"]["rmse_log"] == pytest.approx(curve.hold_out.rmse_log, rel=1e-6)


def test_parquet_and_standard_input_give_what_the_csv_gives(fit, losses, tmp_path, monkeypatch):
    path, rows = losses
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "losses.parquet")
    common = ("--x", "tokens", "--y", "loss", "--by", "model", "--form", "m1", "--json", "--resamples", 50)
    expected = fit(path, *common)
    assert fit(tmp_path / "losses.parquet", *common) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert fit("-", *common) == expected


def test_a_study_is_fitted_without_being_told_anything(fit, study):
    code, out, _ = fit("s", "--results", study, "--extrapolate-to", 3072)
    assert code == 0
    assert "96² px" in out
    assert "160² px" in out
    assert "1 - map_avg falls as frames^-0." in out
    assert "map_avg at 3,072" in out
    assert fit(study / "s", "--json")[0] == 0


def test_extrapolation_is_in_the_units_of_y_and_warned_of(fit, study):
    common = ("s", "--results", study, "--by", "resolution", "--resamples", 100)
    _, out, _ = fit(*common, "--extrapolate-to", 768, 4608, "--json")
    for line in json.loads(out)["lines"]:
        near, far = line["foretold"]
        assert 0 < near["y"] < far["y"] < 1
        assert near["warning"] is None
        assert "frames 4608 is 3 times past the measured range 384 to 1536" in far["warning"]
        (low, high), (lower, higher) = far["confidence_band"], far["prediction_band"]
        assert lower < low < far["y"] < high < higher
    code, _, complaint = fit(*common, "--extrapolate-to", 9000)
    assert (code, complaint.count("\n")) == (2, 1)
    assert "frames 9000 is 5.86 times past the measured range 384 to 1536, expected at most 4 times" in complaint
    assert fit(*common, "--extrapolate-to", 9000, "--far")[0] == 0


def test_a_percentage_is_a_score_whose_best_is_100(fit, study, tmp_path):
    (tmp_path / "p.csv").write_text("frames,map\n64,40\n128,50.1\n256,58.5\n512,65.4\n1024,71.2\n")
    _, out, _ = fit(
        tmp_path / "p.csv", "--x", "frames", "--y", "map", "--best", 100, "--extrapolate-to", 2048, "--json"
    )
    (line,) = json.loads(out)["lines"]
    assert line["foretold"][0]["y"] == pytest.approx(76.0, abs=0.5)
    code, out, _ = fit(tmp_path / "p.csv", "--x", "frames", "--y", "map")
    assert code == 0
    assert "no curve: map does not fall as frames grows" in out
    assert "--best" in out


def test_two_sizes_are_a_surface(fit, tmp_path):
    rows = [f"{a},{b},{0.1 + 3 * a**-0.5 + 5 * b**-0.8}" for a in (64, 128, 256) for b in (96, 128, 160, 224)]
    (tmp_path / "two.csv").write_text("\n".join(["a,b,loss", *rows]))
    target = ("--extrapolate-to", "512,224", "--resamples", 50)
    code, out, _ = fit(tmp_path / "two.csv", "--x", "a", "b", "--y", "loss", *target, "--json")
    (line,) = json.loads(out)["lines"]
    assert (code, line["form"]) == (0, "chinchilla")
    assert line["parameters"] == pytest.approx({"E": 0.1, "A": 3, "alpha": 0.5, "B": 5, "beta": 0.8}, rel=1e-3)
    assert line["foretold"][0]["y"] == pytest.approx(0.1 + 3 * 512**-0.5 + 5 * 224**-0.8, rel=1e-4)
    code, out, _ = fit(tmp_path / "two.csv", "--x", "a", "b", "--y", "loss", *target, "--plot", tmp_path / "two.png")
    assert "loss at 512 and 224" in out
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_are_written_and_names_are_not_markup(fit, losses, tmp_path):
    path, _ = losses
    common = ("--x", "tokens", "--y", "loss", "--by", "model", "--form", "m2", "--resamples", 50)
    code, out, _ = fit(path, *common, "--plot", tmp_path / "curve.svg")
    assert code == 0
    assert "<b>[bold]" in out
    assert f"picture: {tmp_path / 'curve.svg'}" in out
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_refused_lines_are_lines_with_a_reason(fit, tmp_path):
    (tmp_path / "few.csv").write_text("x,y,arm\n1,0.5,a\n2,0.4,a\n1,0.5,b\n2,0.4,b\n4,0.3,b\n8,0.25,b\n")
    _, out, _ = fit(tmp_path / "few.csv", "--x", "x", "--y", "y", "--by", "arm", "--json")
    refused, fitted = json.loads(out)["lines"]
    assert refused == {"line": "arm a", "refused": "no curve: 2 distinct values of x, expected at least 3 for m1"}
    assert fitted["form"] == "m1"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.csv"], "SOURCE is nowhere.csv, expected a study below"),
        (["{losses}"], "no column for x was named"),
        (["{losses}", "--x", "token", "--y", "loss"], "there is no column token, expected one such as tokens"),
        (["{losses}", "--x", "model", "--y", "loss"], "column model holds string, expected numbers"),
        (["{losses}", "--x", "tokens", "--y", "loss"], "two trials with seed 0 at tokens 64"),
        (["{losses}", "--x", "tokens", "seed", "--y", "loss", "--form", "m1"], "--x names 2 columns, expected 1"),
        (["{losses}", "--x", "tokens", "--y", "loss", "--form", "chinchilla"], "--x names 1 columns, expected 2"),
        (["{losses}", "--x", "tokens", "--y", "loss", "--form", "m9"], "invalid choice: 'm9'"),
        (["{losses}", "--x", "tokens", "--y", "loss", "--extrapolate-to", "big"], "--extrapolate-to is big"),
        (["{losses}", "--x", "tokens", "--y", "loss", "--by", "model", "--level", "90"], "the level is 90"),
        (["{losses}", "--x", "tokens", "--y", "loss", "--by", "model", "--plot", "a.gif"], "a.gif, expected a name"),
        (["{study}", "--y", "map_at[0.5]"], "there is no entry 0.5"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(fit, losses, study, arguments, complaint):
    code, out, said = fit(*(text.format(losses=losses[0], study=study) for text in arguments), "--resamples", 10)
    assert (code, out) == (2, "")
    assert complaint in said
    assert said.count("\n") == 1


def test_files_that_are_no_tables_are_mistakes(fit, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    code, _, complaint = fit(tmp_path / "a.parquet", "--x", "x", "--y", "y")
    assert (code, "no Parquet file" in complaint) == (2, True)
    (tmp_path / "a.csv").write_text("")
    code, _, complaint = fit(tmp_path / "a.csv", "--x", "x", "--y", "y")
    assert (code, "SOURCE is no CSV" in complaint) == (2, True)
    (tmp_path / "empty").mkdir()
    code, _, complaint = fit(tmp_path / "empty")
    assert (code, "with no results tables, expected those of one study" in complaint) == (2, True)
