"""`tadscale detect`: the same detections as a test, three forms of output, and one sentence for every mistake."""

import csv
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli.tadscale import main
from harness.config import TrialConfig, with_values
from harness.data.index import load_index
from harness.detection import read_detections
from harness.training.loop import Places, fit, prepare_detector
from harness.training.report import NoMeter, SilentReporter
from harness.training.saved import save_detector

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(small_world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short training run, with detector.pt and detections.json."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    config = with_values(small_world.config, {"training.epochs": 1, "training.warmup_epochs": 0})
    fit(config, Places(dataset=small_world.index, weights=None, work=folder), SilentReporter(), NoMeter())
    return folder


def detect(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["detect", "--device", "cpu", *map(str, arguments)])
    return int(ended.value.code or 0)


def video(small_world, number: int = 7) -> Path:
    return small_world.root / f"video_{number}.mp4"


def test_detections_are_those_of_the_test(small_world, trained: Path, capsys):
    """Two routes: the test subset of a trial, and its videos one by one as anybody's."""
    videos = [video(small_world, number) for number in (6, 7, 8)]
    everything = ("--top", 1000, "--min-score", 0, "--json", "--quiet")
    assert detect(*videos, "--checkpoint", trained / "detector.pt", *everything) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((trained / "detections.json").read_text())
    assert set(found["results"]) == set(expected["results"])
    for name, rows in expected["results"].items():
        assert len(rows) == len(found["results"][name]) > 0
        for row, other in zip(rows, found["results"][name], strict=True):
            assert row["label"] == other["label"]
            np.testing.assert_allclose([*row["segment"], row["score"]], [*other["segment"], other["score"]], atol=1e-6)


def test_the_best_are_shown_and_no_more(small_world, trained: Path, capsys, tmp_path: Path):
    checkpoint = ("--checkpoint", trained / "detector.pt")
    rows = read_detections(trained / "detections.json")["video_7"]
    least = rows[4][3]
    assert detect(video(small_world), *checkpoint, "--csv", "--top", 3, "--min-score", 0) == 0
    shown = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert shown[0] == ["video", "start_s", "end_s", "label", "score"]
    assert [float(row[4]) for row in shown[1:]] == pytest.approx([row[3] for row in rows[:3]], abs=1e-4)
    assert detect(video(small_world), *checkpoint, "--csv", "--min-score", least) == 0
    assert 4 <= len(capsys.readouterr().out.splitlines()) - 1 <= 6
    assert detect(video(small_world), *checkpoint, "--min-score", 1, "--quiet") == 0
    assert "nothing scores 1 or more; the best scores" in capsys.readouterr().out


def test_a_timeline_is_drawn(small_world, trained: Path, capsys, tmp_path: Path):
    options = ("--min-score", 0, "--plot", "--out", tmp_path / "pictures", "--quiet")
    assert detect(video(small_world), "--checkpoint", trained / "detector.pt", *options) == 0
    assert str(tmp_path / "pictures" / "video_7-actions.png") in capsys.readouterr().out.replace("\n", "")
    assert (tmp_path / "pictures" / "video_7-actions.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "pictures" / "video_7-actions.svg").read_text()


def test_an_unreadable_video_is_named_and_the_others_go_on(small_world, trained: Path, capsys, tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    given = ("--checkpoint", trained / "detector.pt", "--csv", "--min-score", 0, "--top", 1)
    assert detect(broken, video(small_world), *given) == 1
    captured = capsys.readouterr()
    assert "broken.mp4 cannot be used" in captured.err
    assert captured.out.splitlines()[1].startswith("video_7,")
    assert detect(broken, *given) == 2
    assert "none of the videos can be used" in capsys.readouterr().err


def test_what_is_changed_counts(small_world, trained: Path, capsys):
    given = (video(small_world), "--checkpoint", trained / "detector.pt", "--csv", "--min-score", 0, "--top", 1000)
    assert detect(*given, "--set", "detection.max_detections=2") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_same_file_from_a_moved_video_folder_needs_nothing_else(small_world, trained: Path, tmp_path: Path, capsys):
    (tmp_path / "detector.pt").write_bytes((trained / "detector.pt").read_bytes())
    (tmp_path / "holiday.mp4").write_bytes(video(small_world).read_bytes())
    assert detect(tmp_path / "holiday.mp4", "--checkpoint", tmp_path / "detector.pt", "--csv", "--min-score", 0) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("holiday,")


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def damage(kind: str, path: Path, good: Path) -> None:
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut short":
            path.write_bytes(good.read_bytes()[:-2000])
        case "text":
            path.write_text("weights")
        case "a web page":
            path.write_text("<!DOCTYPE html><title>Quota exceeded</title>")
        case "an LFS pointer":
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        case "a pickle that would run code":
            path.write_bytes(pickle.dumps({"format": Harmful()}))
        case "a list":
            torch.save([1, 2, 3], path)
        case "a backbone only":
            torch.save({"module": {"blocks.0.attn.qkv.weight": torch.ones(3, 1)}}, path)
        case "numbers instead of tensors":
            torch.save({"state_dict": {"rpn_head.x": 3}}, path)
        case "another version":
            torch.save({**torch.load(good, weights_only=True), "version": 9}, path)
        case "a class too many":
            torch.save({**torch.load(good, weights_only=True), "classes": ["a", "b", "c"]}, path)
        case "no tensors":
            torch.save({**torch.load(good, weights_only=True), "ema": {}}, path)
        case "values that are no numbers":
            content = torch.load(good, weights_only=True)
            next(value for name, value in content["ema"].items() if value.dim() > 1).fill_(float("inf"))
            torch.save(content, path)
        case "a folder":
            path.mkdir()


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "empty", "cut short", "text", "a web page", "an LFS pointer", "a pickle that would run code"),
        *("a list", "a backbone only", "numbers instead of tensors", "another version", "a class too many"),
        *("no tensors", "values that are no numbers", "a folder"),
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(small_world, trained: Path, tmp_path: Path, capsys, kind: str):
    path = tmp_path / "damaged.pt"
    damage(kind, path, trained / "detector.pt")
    assert detect(video(small_world), "--checkpoint", path, "--quiet") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert "damaged.pt" in line
    assert "Traceback" not in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--top", 0), "--top is 0, expected at least 1"),
        (("--min-score", 2), "--min-score is 2.0, expected 0 to 1"),
        (("--set", "model.head.width=3"), "but what a trained detector can change is"),
        (("--set", "detection.nms"), "--set is detection.nms, expected PATH=VALUE"),
        (("--set", "detection.nms=soft"), "detection.nms is soft, expected one of"),
        (("--set", "data.window.span=65"), "is not a multiple of data.window.frames"),
        (("--on", "thumos14"), "--on goes with OpenTAD's checkpoints only"),
        (("--json", "--csv"), "not allowed with argument"),
    ],
)
def test_wrong_options_are_one_sentence(small_world, trained: Path, capsys, options, message: str):
    assert detect(video(small_world), "--checkpoint", trained / "detector.pt", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_wrong_videos_are_one_sentence(small_world, trained: Path, capsys, tmp_path: Path):
    checkpoint = ("--checkpoint", trained / "detector.pt")
    assert detect(tmp_path / "none.mp4", *checkpoint) == 2
    assert "there is no video" in capsys.readouterr().err
    (tmp_path / "video_7.mp4").write_bytes(b"")
    assert detect(video(small_world), tmp_path / "video_7.mp4", *checkpoint) == 2
    assert "two of the videos are called video_7" in capsys.readouterr().err


def test_weights_of_a_moved_backbone_are_asked_for(small_world, small_trial: TrialConfig, tmp_path: Path, capsys):
    from models.checkpoints import save_backbone

    weights = tmp_path / "backbone.pth"
    places = Places(dataset=small_world.index, weights=None, work=tmp_path)
    frozen = with_values(small_trial, {"model.tuning": "frozen", "model.adapter": None})
    torch.manual_seed(3)
    detector = prepare_detector(frozen, places)
    assert detector.backbone is not None
    save_backbone(weights, detector.backbone.state_dict())
    classes = load_index(small_world.index).classes
    loaded = prepare_detector(frozen, replace(places, weights=weights))
    save_detector(tmp_path / "detector.pt", loaded, frozen, classes, weights)
    weights.rename(tmp_path / "moved.pth")
    given = (video(small_world), "--checkpoint", tmp_path / "detector.pt", "--csv", "--min-score", 0, "--quiet")
    assert detect(*given) == 2
    assert "expected --weights with the file of videomae-test" in capsys.readouterr().err
    assert detect(*given, "--weights", tmp_path / "moved.pth") == 0
