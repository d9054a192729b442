"""All measures at once, tables, and pictures."""

import json

import numpy as np
import pytest
from rich.console import Console

from harness.evaluation import GroundTruth, measure, setting_of
from harness.evaluation.detad import diagnose
from harness.evaluation.detad.figures import plot_diagnosis
from harness.evaluation.detad.tables import bin_table, false_positive_table
from harness.evaluation.detad.tables import notes as diagnosis_notes
from harness.evaluation.tables import map_table, notes
from harness.evaluation.timeline import best_overlap, plot_video


def small_truth(**changes):
    actions = {"v": [(0.0, 2.0, "a"), (0.0, 2.0, "a"), (4.0, 4.0, "b")], "w": [(1.0, 3.0, "b")], "empty": []}
    return GroundTruth(subset="test", actions=actions, **changes)


FOUND = {"v": [(0.0, 2.0, "a", 0.9)], "w": [(1.0, 3.0, "b", 0.8), (9.0, 9.5, "other", 0.7)]}


def printed(renderable, width=80):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    console.file.close()
    return console.export_text()


def test_protocols_differ_in_what_they_keep():
    kept, dropped = (measure(small_truth(), FOUND, (0.5,), protocol=name).result for name in ("activitynet", "opentad"))
    assert (kept.num_instances, dropped.num_instances) == (4, 2)
    assert kept.ap == {"a": {0.5: 0.5}, "b": {0.5: 0.5}}
    assert dropped.map_avg == 1.0
    assert (dropped.num_duplicates, dropped.num_non_positive) == (1, 1)


def test_json_has_the_promised_keys():
    measured = measure(small_truth(), FOUND, (0.3, 0.5), metrics=("map", "recall", "proposals"))
    document = json.loads(json.dumps(measured.as_json(), allow_nan=False))
    assert list(document)[:8] == [
        "protocol", "subset", "ties", "videos", "instances", "map_at", "map_avg", "ap"
    ]  # fmt: skip
    assert (document["videos"], document["video_list"]) == (3, ["empty", "v", "w"])
    assert document["map_at"] == {"0.3": 0.5, "0.5": 0.5}
    assert document["ap"]["a"] == {"0.3": 0.5, "0.5": 0.5}
    assert document["recall_at_kx"]["1"] == {"0.3": 0.75, "0.5": 0.75}
    assert document["ar_at"]["100"] == 0.75


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"x": [(0.0, 1.0, "a", 0.5)]}, "the detections name 'x', the annotations 'v'"),
        ({"v": [(0.0, 1.0, "A", 0.5)]}, "the detections say 'A', the annotations 'a'"),
    ],
)
def test_names_that_never_agree_are_a_mistake_not_a_zero(found, message):
    with pytest.raises(ValueError, match=message):
        measure(small_truth(), found, (0.5,))


def test_no_detection_at_all_is_a_zero():
    assert measure(small_truth(), {}, (0.5,)).result.map_avg == 0.0


def test_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match="the metric is f1"):
        measure(small_truth(), FOUND, (0.5,), metrics=("f1",))  # pyright: ignore[reportArgumentType]


def test_notes_say_what_was_evaluated():
    assert notes(measure(small_truth(), FOUND, (0.5,), protocol="opentad")) == [
        "protocol opentad, subset test: 3 videos, 2 actions, 2 classes",
        "actions dropped for having no positive length: 1",
        "actions dropped as duplicates: 1",
        "detections ignored since no action has their class: 1",
    ]


def test_many_classes_and_thresholds_still_fit():
    actions = {"v": [(0.0, 2.0, f"[class] {number}") for number in range(80)]}
    found = {"v": [(0.0, 2.0, f"[class] {number}", 0.5) for number in range(0, 80, 2)]}
    setting = setting_of("activitynet13")
    measured = measure(GroundTruth(subset="test", actions=actions), found, setting.tious, metrics=("map", "proposals"))
    text = printed(map_table(measured, "t"))
    assert "0.75" in text
    assert text.count("[class]") == 30
    assert notes(measured)[0].startswith("mAP also 50.00 at 0.55, ")
    assert notes(measured)[1].startswith("proposals: AR@1 ")


@pytest.fixture
def diagnosis(thumos14, scnn):
    return diagnose(thumos14, scnn, (0.5,), setting_of("thumos14").bins)


def test_tables_of_the_analysis_fit_a_terminal(diagnosis):
    errors, bins = printed(false_positive_table(diagnosis)), printed(bin_table(diagnosis))
    assert "localisation" in errors
    assert "+10.40" in errors
    assert "subset testing: 212 videos, 20 classes, tIoU 0.5" in diagnosis_notes(diagnosis)
    assert max(map(len, (errors + bins).splitlines())) <= 80


def test_json_of_the_analysis_is_whole(diagnosis):
    document = json.loads(json.dumps(diagnosis.as_json(), allow_nan=False))
    assert document["instances"] == 3358
    assert [one["instances"] for one in document["bins"]["length"]] == [1626, 851, 730, 114, 37]
    assert set(document["false_positives"]["profile"]) == {f"{group}G" for group in range(1, 11)}
    assert document["sensitivity"]["relative"]["length"][0] < 1


def test_figures_are_drawn_the_same_each_time(diagnosis, tmp_path):
    once, again = (plot_diagnosis(diagnosis, tmp_path / name) for name in ("once", "again"))
    for one, other in zip(once, again, strict=True):
        assert one.read_bytes()[:4] == b"\x89PNG"
        assert one.with_suffix(".svg").read_bytes() == other.with_suffix(".svg").read_bytes()
    assert {path.name for path in (tmp_path / "once").iterdir()} == {
        f"{name}.{form}" for name in ("false_positives", "sensitivity", "false_negatives") for form in ("png", "svg")
    }


def test_figures_cope_with_empty_bins_and_a_detector_that_finds_nothing(tmp_path):
    truth = GroundTruth(subset="test", actions={"v": [(0.0, 2.0, "$a$")]}, durations={"v": 9.0})
    nothing = diagnose(truth, {}, (0.5,), setting_of("activitynet13").bins)
    assert nothing.sensitivity.relative("length") is None
    assert all(path.is_file() for path in plot_diagnosis(nothing, tmp_path))


def test_a_video_is_drawn_with_its_best_detections(tmp_path):
    actions, found = [(0.0, 2.0, "a_$x$"), (4.0, 6.0, "b")], [(0.0, 1.0 + n, "b", n / 9) for n in range(9)]
    path = plot_video(tmp_path / "some.video", "some.video", actions, found, duration_s=12.0, top=3)
    assert path.read_bytes()[:4] == b"\x89PNG"
    drawing = (tmp_path / "some.video.svg").read_text()
    assert all(f"<!-- {rank} b -->" in drawing for rank in (1, 2, 3))
    assert "<!-- 4 b -->" not in drawing
    assert plot_video(tmp_path / "bare", "bare", [], []).is_file()


def test_the_colour_is_the_best_overlap_with_an_action_of_the_class():
    actions = [(0.0, 2.0, "a"), (1.0, 3.0, "a"), (1.0, 2.0, "b")]
    assert best_overlap((1.0, 2.0, "a", 1.0), actions) == 0.5
    assert best_overlap((1.0, 2.0, "b", 1.0), actions) == 1.0
    assert best_overlap((7.0, 8.0, "b", 1.0), actions) == 0.0


def test_means_do_not_depend_on_which_class_is_first():
    result = measure(small_truth(), FOUND, (0.3, 0.5)).result
    assert result.map_avg == pytest.approx(np.mean(list(result.ap_mean.values())))
