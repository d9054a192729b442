"""`tadscale train` and `extract`: from a folder of videos to a detector, with and without offline features."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.cli.reporter import TerminalReporter
from harness.cli.tadscale import main
from harness.cli.terminal import Terminal
from harness.data.given_features import GivenFeatures
from harness.training.saved import read_saved
from models.checkpoints import save_backbone
from models.config import BACKBONES

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = (
    *("--set", "training.epochs=2", "--set", "training.cosine_epochs=2", "--set", "training.warmup_epochs=0"),
    *("--set", "data.window.frames=32", "--set", "data.window.span=64", "--set", "data.window.features=32"),
    *("--set", "data.window.resolution=32", "--set", "model.head.levels=3", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights for videomae-tiny."""
    from models.backbones.build import build_backbone

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "videomae-tiny.pth"
    save_backbone(path, build_backbone(BACKBONES["videomae-tiny"], None).state_dict())
    return path


def tadscale(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def train(small_world, weights: Path, out: Path, *more: object) -> int:
    given = ("--on", "custom", "--data-root", small_world.root, "--weights", weights, "--preset", "tiny", "--out", out)
    return tadscale("train", *given, *SHORT, *more)


@pytest.fixture(scope="module")
def finished(small_world, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was never interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("finished") / "run"
    assert train(small_world, weights, out, "--seed", 3, "--quiet") == 0
    return out


def test_a_run_leaves_a_detector_its_detections_and_its_result(small_world, finished: Path, weights: Path, capsys):
    before = (finished / "detector.pt").stat().st_mtime_ns
    # The same command again trains nothing and says the same.
    assert train(small_world, weights, finished, "--seed", 3, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (finished / "detector.pt").stat().st_mtime_ns == before
    assert 0 <= result["map_avg"] <= 1
    assert result["videos"] == 3
    saved = read_saved(Path(result["detector"]))
    assert saved is not None
    assert (saved.config.seed, saved.classes) == (3, ("left", "right"))
    assert not (finished / "checkpoint.pt").exists()
    # Scoring its detections with the other command gives the same number.
    scored = ("--annotations", small_world.root / "annotations.json", "--predictions", result["detections"], "--json")
    assert tadscale("evaluate", *scored) == 0
    assert json.loads(capsys.readouterr().out)["map_avg"] == pytest.approx(result["map_avg"], abs=1e-12)


def test_runs_do_not_mix_in_one_folder(small_world, finished: Path, weights: Path, tmp_path: Path, capsys):
    assert train(small_world, weights, finished, "--seed", 4) == 2
    assert "holds a run with seed 3, not 4; expected another folder" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{")
    assert train(small_world, weights, tmp_path) == 2
    assert "config.json is not JSON" in capsys.readouterr().err


def test_a_stopped_run_goes_on_and_ends_alike(
    small_world, finished: Path, weights: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    steps = iter([False, False, False, False, True])
    with monkeypatch.context() as patched:
        patched.setattr(TerminalReporter, "should_stop", lambda _: next(steps))
        assert train(small_world, weights, tmp_path, "--seed", 3) == 130
    assert "stopped in epoch 2 of 2; start the same command again to go on" in capsys.readouterr().out
    assert train(small_world, weights, tmp_path, "--seed", 3) == 0
    results = [json.loads((folder / "result.json").read_text()) for folder in (finished, tmp_path)]
    assert results[0]["map_at"] == results[1]["map_at"]
    assert results[0]["ap"] == results[1]["ap"]


def test_ctrl_c_asks_the_run_to_stop_and_twice_stops_at_once(capsys):
    before = signal.getsignal(signal.SIGINT)
    with TerminalReporter(Terminal()) as reporter:
        assert not reporter.should_stop()
        signal.raise_signal(signal.SIGINT)
        assert reporter.should_stop()
        assert "stopping after this step" in capsys.readouterr().out
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_ray_is_imported(small_world, weights: Path):
    code = "import sys; from harness.cli.commands import train, detect, extract; from harness.cli import plan; "
    code += "from harness.training import loop, stream, saved; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_extracted_features_train_a_detector_without_videos(small_world, weights: Path, tmp_path: Path, capsys):
    features, annotations = tmp_path / "features", tmp_path / "annotations"
    given = ("--backbone", "videomae-tiny", "--weights", weights, "--resolution", 32, "--stride", 4, "--window", 16)
    extract = ("extract", "--data-root", small_world.root, "--out", features, "--device", "cpu", *given)
    assert tadscale(*extract) == 0
    assert "9 videos, 96 channels" in capsys.readouterr().out
    found = GivenFeatures.open(features)
    assert (found.channels, found.length("video_3"), found.facts.stride) == (96, 32, 4)
    # Again: only what is missing.
    (features / "video_3.npy").unlink()
    others = {path: path.stat().st_mtime_ns for path in features.glob("*.npy")}
    assert tadscale(*extract) == 0
    assert "8 of 9 videos have their features already" in capsys.readouterr().out
    assert (features / "video_3.npy").is_file()
    assert others == {path: path.stat().st_mtime_ns for path in others}
    assert tadscale(*extract[:-2], "--window", 16, "--stride", 8) == 2
    assert "whose features have data.window.frames 64, not 128; expected another folder" in capsys.readouterr().err

    annotations.mkdir()
    (annotations / "annotations.json").write_bytes((small_world.root / "annotations.json").read_bytes())
    options = ("--on", "custom", "--data-root", annotations, "--features", features, "--preset", "tiny")
    windows = ("--set", "data.window.span=128")
    assert tadscale("train", *options, "--out", tmp_path / "run", *SHORT, *windows, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["videos"], result["config"]["model.backbone.channels"]) == (3, 96)
    video = small_world.root / "video_7.mp4"
    assert tadscale("detect", video, "--checkpoint", result["detector"]) == 2
    assert "detects on the features offline, which are not made from video here" in capsys.readouterr().err


def test_a_video_that_cannot_be_read_is_named(small_world, weights: Path, tmp_path: Path, capsys):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "good.mp4").write_bytes((small_world.root / "video_0.mp4").read_bytes())
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"nothing")
    given = ("--backbone", "videomae-tiny", "--weights", weights, "--resolution", 32, "--representation", "frame")
    extract = ("extract", "--data-root", tmp_path / "videos", "--out", tmp_path / "f", "--device", "cpu", *given)
    assert tadscale(*extract) == 1
    assert "bad.mp4 is left out" in capsys.readouterr().out
    assert GivenFeatures.open(tmp_path / "f", 96).length("good") == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--out", "{out}", "--set", "seed=1,2"), "expected one value; a study takes several"),
        (("train", "--out", "{out}", "--on", "custom"), "--on custom needs --data-root DIR"),
        (("train", "--out", "{out}", "--features", "{out}/none"), "there is no folder"),
        (("train",), "the following arguments are required: --out"),
        (("extract", "--data-root", "{out}/none", "--out", "{out}", "--backbone", "videomae-x"), "--backbone is"),
        (("extract", "--data-root", "{out}", "--out", "{out}"), "videomae-s needs --weights"),
        (("extract", "--data-root", "{out}", "--out", "{out}", "--stride", "0"), "0 is not a whole number above 0"),
        (("extract", "--data-root", "{out}", "--out", "{out}", "--stride", "4", "--frame-stride", "3"), "a multiple"),
        (("extract", "--data-root", "{out}", "--out", "{out}", "--window", "3"), "expected more than 4"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, capsys, arguments: tuple[str, ...], message: str):
    assert tadscale(*(argument.replace("{out}", str(tmp_path)) for argument in arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
