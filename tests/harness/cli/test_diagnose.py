"""`tadscale diagnose` from the command line: tables, JSON, figures, mistakes in one sentence."""

import json
from pathlib import Path

import pytest

from harness.cli.tadscale import main

pytestmark = pytest.mark.timeout(60)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["diagnose", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def scnn(shared_data: Path) -> list[object]:
    return [
        "--annotations", shared_data / "annotations/thumos14/detad_test.json.gz",
        "--predictions", shared_data / "predictions/scnn_c3d/detections_nms0.4_tiebroken.json.gz",
        "--on", "thumos14",
    ]  # fmt: skip


def test_scnn_errs_mostly_in_localisation(scnn, capsys):
    assert run(*scnn, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["videos"], found["instances"], found["classes"], found["tious"]) == (212, 3358, 20, [0.5])
    gain = found["false_positives"]["gain"]
    assert max(gain, key=gain.get) == "localisation"
    assert gain["localisation"] == pytest.approx(0.10396, abs=1e-5)
    assert found["sensitivity"]["map_n"] == pytest.approx(0.24873, abs=1e-5)
    assert found["false_negatives"]["rate"] == pytest.approx(0.33979, abs=1e-5)
    assert found["pictures"] == []


def test_tables_and_figures_and_videos(scnn, capsys, tmp_path):
    assert run(*scnn, "--plot", tmp_path / "figures", "--qualitative", "video_test_0000324", "--top", 5) == 0
    text = capsys.readouterr().out
    assert "False positives, mAP_N 24.74 %" in text
    names = ("false_positives", "sensitivity", "false_negatives", "video_video_test_0000324")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{form}" for name in names for form in ("png", "svg")
    }
    assert all(str(tmp_path / "figures" / f"{name}.png") in text for name in names)


def test_compat_is_said(scnn, capsys):
    assert run(*scnn, "--compat") == 0
    assert "with the errors of the original (--compat)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["custom", "ego4d-mq", "activitynet13"])
def test_other_data_sets_are_diagnosed(small_files, capsys, name):
    assert run(*small_files, "--on", name, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(one["instances"] for one in found["bins"]["length"]) == found["instances"] == 6
    assert found["false_positives"]["gain"].keys() == {
        "double detection", "wrong label", "localisation", "confusion", "background"
    }  # fmt: skip


def test_epic_is_diagnosed_by_task(shared_data, tmp_path, capsys):
    row = {"segment": [0.0, 1.89], "verb": 0, "noun": 2, "score": 0.5}
    (tmp_path / "action.json").write_text(json.dumps({"results": {"P01_11": [row]}}))
    given = [
        "--annotations", shared_data / "annotations/epic100/EPIC_100_validation.csv.gz",
        "--predictions", tmp_path / "action.json", "--on", "epic100", "--json",
    ]  # fmt: skip
    classes = {}
    for task in ("verb", "noun", "action"):
        assert run(*given, "--task", task) == 0
        found = json.loads(capsys.readouterr().out)
        classes[task] = found["classes"]
        # The CSV does not say how long videos are.
        assert "coverage" not in found["bins"]
    assert (classes["verb"], classes["noun"]) == (78, 211)
    assert classes["action"] > 211


@pytest.fixture
def small_files(tmp_path: Path) -> list[object]:
    """Return the options for six actions in three videos, and detections of some of them."""
    database, results = {}, {}
    for number, name in enumerate(("x", "y", "z")):
        segments = [[1.0, 2.0 + number], [10.0, 10.5 + 4 * number]]
        annotations = [{"segment": one, "label": label} for one, label in zip(segments, "ab", strict=True)]
        database[name] = {"subset": "validation", "duration": 30.0, "annotations": annotations}
        results[name] = [{"segment": segments[0], "label": "a", "score": 0.9 - 0.1 * number}]
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    (tmp_path / "predictions.json").write_text(json.dumps({"results": results}))
    return ["--annotations", tmp_path / "annotations.json", "--predictions", tmp_path / "predictions.json"]


def test_bins_may_be_given(small_files, capsys):
    assert run(*small_files, "--bins", "length=2,5", "num-instances=1", "--json") == 0
    bins = json.loads(capsys.readouterr().out)["bins"]
    assert [(one["name"], one["up_to"], one["instances"]) for one in bins["length"]] == [
        ("XS", 2.0, 3), ("S", 5.0, 2), ("M", None, 1)
    ]  # fmt: skip
    assert [one["instances"] for one in bins["num-instances"]] == [0, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qualitative", "x"], "--qualitative needs --plot DIR"),
        (["--plot", "figures", "--qualitative", "nobody"], "--qualitative is nobody, which is no video"),
        (["--plot", "figures", "--qualitative", "x", "--top", "0"], "--top is 0"),
        (["--bins", "length"], "--bins is length,"),
        (["--bins", "length=3,2"], "--bins is length=3,2"),
        (["--bins", "length=-1,2"], "--bins is length=-1,2"),
        (["--bins", "length=nan"], "--bins is length=nan"),
        (["--bins", "length=1,2,3,4,5"], "--bins is length=1,2,3,4,5"),
        (["--bins", "colour=1"], "--bins is colour=1"),
        (["--tiou", "2"], "--tiou is 2"),
        (["--subset", "test"], "no subset test"),
    ],
)
def test_wrong_options_are_one_sentence(small_files, capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert run(*small_files, *options) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "figures").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(small_files, capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    assert run(*small_files, "--plot", tmp_path / "taken") == 2
    assert "taken" in capsys.readouterr().err
