"""A study script from the command line: runs, survives kill -9 and Ctrl-C, repeats nothing, reports mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.tables import load

ROOT = Path(__file__).resolve().parents[2]
GRID = [
    *("--set", "data.window.span=64", "--set", "data.window.features=32", "--set", "model.head.levels=3"),
    *("--set", "data.window.frames=16,32,64", "--set", "data.window.resolution=32", "--seeds", "2"),
]


@pytest.fixture(scope="session")
def arguments(small_world, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the options of a study over the small world's own videos, with random weights."""
    import torch

    from models.backbones.videomae import VideoMAE
    from models.checkpoints import save_backbone
    from models.config import VIDEOMAE

    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "videomae-tiny.pth"
    save_backbone(weights, VideoMAE(VIDEOMAE["videomae-tiny"]).state_dict())
    return [
        "--on",
        "custom",
        "--data-root",
        str(small_world.root),
        "--preset",
        "tiny",
        "--weights",
        str(weights),
        *GRID,
    ]


def start(arguments: list[str], results: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "studies/scale_frames.py"), *arguments, "--results", str(results), *more]
    with log_of(results).open("w") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell without job control starts what is in the background deaf to Ctrl-C, and pytest with it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def log_of(results: Path) -> Path:
    return results.with_suffix(".log")


def run(arguments: list[str], results: Path, *more: str) -> str:
    code = start(arguments, results, *more).wait(timeout=240)
    output = log_of(results).read_text()
    assert code == 0, output[-3000:]
    return output


def scores(results: Path) -> dict[str, float]:
    return {row["digest"]: row["map_avg"] for row in load(results).to_pylist() if row["state"] == "finished"}


def wait_for_checkpoint(results: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not list(results.glob("scale_frames/work/*/checkpoint.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline, "no trial reached its first checkpoint"
        time.sleep(0.05)


@pytest.mark.ray
def test_a_study_killed_and_interrupted_ends_like_one_that_was_not(arguments: list[str], tmp_path: Path):
    arguments = [*arguments, "--set", "training.epochs=3"]
    whole = run(arguments, tmp_path / "whole")
    assert "6 trials, 0 done before" in whole
    rows = load(tmp_path / "whole").to_pylist()
    assert [row["state"] for row in rows] == ["finished"] * 6
    assert all(abs(row["predicted_peak_bytes"] / row["peak_bytes"] - 1) < 0.05 for row in rows)
    assert all(row["flops"] > 1e8 for row in rows)

    began = time.monotonic()
    again = run(arguments, tmp_path / "whole")
    assert "all 6 trials are done" in again
    assert "Ray" not in again.replace("scale_frames", "")
    assert time.monotonic() - began < 60
    assert len(load(tmp_path / "whole")) == 6

    killed = start(arguments, tmp_path / "parts")
    wait_for_checkpoint(tmp_path / "parts", killed)
    killed.kill()
    killed.wait()
    interrupted = start(arguments, tmp_path / "parts")
    wait_for_checkpoint(tmp_path / "parts", interrupted)
    time.sleep(10)
    os.kill(interrupted.pid, signal.SIGINT)
    assert interrupted.wait(timeout=60) in (0, 130), log_of(tmp_path / "parts").read_text()[-3000:]
    before = scores(tmp_path / "parts")
    run(arguments, tmp_path / "parts")
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")
    finished = [row["digest"] for row in load(tmp_path / "parts").to_pylist() if row["state"] == "finished"]
    assert len(finished) == len(set(finished)) == 6
    assert before.keys() <= set(finished)


def has_said(process: subprocess.Popen[str], results: Path, words: str) -> bool:
    return words in log_of(results).read_text()


def has_loaded(process: subprocess.Popen[str], results: Path, library: str) -> bool:
    return library in Path(f"/proc/{process.pid}/maps").read_text()


def interrupted_when(
    happened: Callable[[subprocess.Popen[str], Path, str], bool], what: str, arguments: list[str], results: Path
) -> str:
    """Interrupt a study as soon as something happened, check that it stops as documented, return its output."""
    process = start(arguments, results)
    deadline = time.monotonic() + 120
    while not happened(process, results, what):
        assert process.poll() is None, log_of(results).read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(timeout=120)
    output = log_of(results).read_text()
    assert code == 130, output[-3000:]
    assert "start the same command again" in output
    assert "Traceback" not in output
    return output


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("library", ["_multiarray_umath", "libarrow.so"])
def test_a_study_that_is_interrupted_among_its_imports_says_one_sentence(
    arguments: list[str], tmp_path: Path, library: str
):
    assert len(interrupted_when(has_loaded, library, arguments, tmp_path / "parts").splitlines()) == 1


@pytest.mark.ray
@pytest.mark.parametrize("words", ["starting Ray", "starting Ray workers", "\nstarted "])
def test_a_study_that_is_interrupted_while_ray_starts_says_how_to_go_on(
    arguments: list[str], tmp_path: Path, words: str
):
    interrupted_when(has_said, words, arguments, tmp_path / "parts")


def fails(*options: str, results: Path | str = "/tmp") -> str:
    command = [sys.executable, str(ROOT / "studies/scale_frames.py"), *options, "--results", str(results)]
    plain = {name: value for name, value in os.environ.items() if name != "TADSCALE_TRACEBACK"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=plain)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--on", "mars"], "mars"),
        (["--sett", "a=b"], "--sett"),
        (["--set", "data.window.framez=64"], "data.window.framez"),
        (["--set", "data.window.frames"], "PATH=VALUE"),
        (["--set", "data.window.frames=100"], "100"),
        (["--set", "data.window.frames=8"], "multiple of 16 for videomae-tiny"),
        (["--set", "model.adapter.kernel=4"], "model.adapter.kernel is 4"),
        (["--seeds", "0"], "0"),
        (["--on", "custom"], "--data-root"),
        (["--on", "custom", "--data-root", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--memory-budget", "lots", "--dry-run"], "lots"),
        (["--device", "abacus", "--dry-run"], "abacus"),
        (["--device", "rtx4090-24gb"], "rtx4090-24gb"),
        (["--address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9"),
        (["--address", "somewhere"], "the Ray address is somewhere, expected HOST:PORT"),
        (["--batch-timeout", "soon"], "soon"),
        (["--on", "thumos14", "--preset", "quick", "--quick", "--weights", "/no/such.pth"], "--data-root"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(options: list[str], names: str, tmp_path: Path):
    assert names in fails(*options, results=tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{", "annotations.json"),
        ("[]", "annotations.json"),
        ('{"database": {}}', "annotations.json"),
        (
            '{"database": {"video_0": {"subset": "training", "annotations": [{"segment": [1], "label": "left"}]}}}',
            "video_0",
        ),
    ],
)
def test_broken_annotations_are_one_sentence(small_world, tmp_path: Path, text: str, names: str):
    (tmp_path / "video_0.mp4").symlink_to(small_world.root / "video_0.mp4")
    (tmp_path / "annotations.json").write_text(text)
    assert names in fails("--on", "custom", "--data-root", str(tmp_path), results=tmp_path / "results")


def test_a_label_that_is_no_class_is_named(small_world, tmp_path: Path):
    for path in small_world.root.glob("video_*.mp4"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "annotations.json").write_text((small_world.root / "annotations.json").read_text())
    (tmp_path / "classes.txt").write_text("left\n")
    message = fails("--on", "custom", "--data-root", str(tmp_path), results=tmp_path / "results")
    assert "right" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_results_folder_is_said_before_anything_runs(tmp_path: Path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in fails(results=tmp_path / "results")


def test_results_that_are_a_file_are_said(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    assert "cannot be written" in fails(results=tmp_path / "taken")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that takes no files")
def test_results_where_not_even_root_may_write_are_said(tmp_path: Path):
    message = fails(results="/proc/results")
    assert "cannot be written to /proc/results" in message


def test_a_dry_run_in_json_starts_nothing(tmp_path: Path):
    command = [
        *(sys.executable, str(ROOT / "studies/scale_frames.py"), "--dry-run", "--json"),
        *("--on", "thumos14", "--set", "data.window.frames=768", "--set", "data.window.resolution=160"),
        *("--device", "t4-16gb", "--results", str(tmp_path / "none")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    plan = json.loads(done.stdout)
    (trial,) = plan["trials"]
    assert trial["fits"]
    assert trial["paper_gib"] == 2.5
    assert trial["params_trainable"] == 26_695_708 + 1_006_860
    assert not (tmp_path / "none").exists()
