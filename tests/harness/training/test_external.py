"""An external classifier names what a head with one class finds: in training, in the test and for any kind of head."""

import json
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig, with_values
from harness.detection import read_detections
from harness.training.loop import Places, fit, prepare_detector
from harness.training.report import NoMeter, SilentReporter
from models.config import ActionFormerConfig, GTADConfig

pytestmark = pytest.mark.usefixtures("one_thread")
SCORES = {"video_6": [0.9, 0.1], "video_7": [0.2, 0.8], "video_8": [0.5, 0.4]}


def scores_file(folder: Path, rows: dict[str, list[float]], classes: tuple[str, ...] = ("left", "right")) -> Path:
    path = folder / "scores.json"
    path.write_text(json.dumps({"results": rows, "class": classes}))
    return path


def run(config: TrialConfig, small_world, folder: Path, class_scores: Path | None):
    places = Places(dataset=small_world.index, weights=None, work=folder, class_scores=class_scores)
    return fit(config, places, SilentReporter(), NoMeter())


@pytest.fixture
def config(small_trial: TrialConfig) -> TrialConfig:
    short = {"training.epochs": 1, "training.warmup_epochs": 0}
    return with_values(small_trial, {**short, "detection.external": "cuhk", "detection.external_top": 1})


@pytest.mark.parametrize("kind", ["actionformer", "gtad"])
def test_detections_carry_the_classifier_s_names(small_world, config: TrialConfig, tmp_path: Path, kind: str):
    if kind == "gtad":
        head = GTADConfig(graph_width=32, map_width=16, map_hidden=8, longest=16, class_agnostic=True)
        config = with_values(config, {"model.head": head})
    run(config, small_world, tmp_path, scores_file(tmp_path, SCORES))
    found = read_detections(tmp_path / "detections.json")
    assert set(found) == set(SCORES)
    for video_id, rows in found.items():
        best = max(SCORES[video_id])
        assert rows
        assert {row[2] for row in rows} == {("left", "right")[SCORES[video_id].index(best)]}
        assert all(row[3] <= best for row in rows)
        assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)


def test_a_head_beside_a_classifier_has_one_class(config: TrialConfig, tmp_path: Path):
    torch.manual_seed(0)
    detector = prepare_detector(config, Places(dataset=tmp_path, weights=None, work=tmp_path))
    assert isinstance(config.model.head, ActionFormerConfig)
    raw = detector.eval().detect(torch.zeros(1, 3, 32, 16, 16, dtype=torch.uint8), torch.ones(1, 32, dtype=torch.bool))
    assert raw.scores.shape[-1] == config.head_classes == 1


@pytest.mark.parametrize(
    ("rows", "classes", "message"),
    [
        (None, (), "detection.external is cuhk, but no class scores were given; expected --class-scores FILE"),
        ({"video_6": [0.9, 0.1]}, ("left", "right"), "video video_7 has no class scores"),
        (SCORES, ("left", "up"), "the class scores lack class 'right'"),
        ({**SCORES, "video_8": [0.9]}, ("left", "right"), "the scores of video_8 are not 2 numbers"),
        ({**SCORES, "video_8": [0.9, float("nan")]}, ("left", "right"), "a score of video_8 is not finite"),
    ],
)
def test_scores_that_do_not_do_are_refused_before_training(
    small_world, config: TrialConfig, tmp_path: Path, rows, classes: tuple[str, ...], message: str
):
    given = None if rows is None else scores_file(tmp_path, rows, classes)
    with pytest.raises(ValueError, match=message):
        run(config, small_world, tmp_path, given)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"detection.voting_iou": 0.9}, "goes with detection.class_agnostic only"),
        ({"detection.voting_iou": 0.0, "detection.class_agnostic": True}, "detection.voting_iou is 0"),
        ({"detection.external_top": 0}, "detection.external_top is 0"),
        ({"detection.external_softmax": True}, "goes with detection.external=standard only"),
        ({"detection.external_fingerprint": "abc"}, "detection.external is none, but there are class scores"),
        ({"model.head": GTADConfig(class_agnostic=True, longest=16)}, "there is no external classifier to name them"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(small_trial: TrialConfig, values: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        with_values(small_trial, values)
