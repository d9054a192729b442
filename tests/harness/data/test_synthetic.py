"""The synthetic data set: the same everywhere, whole or written again, and told apart by motion alone."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from harness.data.annotations import mend
from harness.data.classes import read_classes
from harness.data.formats import read_schema
from harness.data.motion import CLASSES, RATES, Dice, Episode, Scene, compose, draw
from harness.data.probe import probe_video
from harness.data.synthetic import QUICK, SyntheticSpec, annotations_of, ensure_synthetic, scene_of
from harness.data.video import read_frames

SMALL = SyntheticSpec(num_train=2, num_test=1, min_seconds=3, max_seconds=5)


def checksum(folder: Path) -> str:
    seen = hashlib.sha256()
    for name in SMALL.names:
        path = folder / "videos" / f"{name}.mp4"
        seen.update(read_frames(path, range(0, probe_video(path).num_frames, 7)).tobytes())
    return seen.hexdigest()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_synthetic(tmp_path_factory.mktemp("synthetic"), SMALL)


def test_the_same_spec_gives_the_same_decoded_frames(written: Path, tmp_path: Path) -> None:
    again = ensure_synthetic(tmp_path, SMALL)
    assert checksum(again) == checksum(written)
    assert (again / "annotations.json").read_bytes() == (written / "annotations.json").read_bytes()


def test_another_seed_is_another_data_set() -> None:
    other = replace(SMALL, seed=1)
    assert other.digest != SMALL.digest
    assert draw(scene_of(SMALL, "test_000"), [9]).tobytes() != draw(scene_of(other, "test_000"), [9]).tobytes()


def test_what_is_decoded_is_what_was_drawn(written: Path) -> None:
    scene, path = scene_of(SMALL, "train_001"), written / "videos" / "train_001.mp4"
    info = probe_video(path)
    assert info.num_frames == scene.num_frames
    assert info.fps == pytest.approx(scene.rate.num / scene.rate.den, rel=1e-4)
    decoded = read_frames(path, [0, 20, 40])[..., 1].astype(int)
    drawn = np.clip((298 * (draw(scene, [0, 20, 40]).astype(int) - 16) + 128) >> 8, 0, 255)
    # Quantiser 20 keeps the error near the noise that is drawn (up to 4 either way).
    assert np.abs(decoded - drawn).mean() < 4


def test_damaged_and_missing_files_are_written_again_alone(tmp_path: Path) -> None:
    folder = ensure_synthetic(tmp_path, SMALL)
    files = {name: folder / "videos" / f"{name}.mp4" for name in SMALL.names}
    before = {name: path.read_bytes() for name, path in files.items()}
    untouched = files["train_001"].stat().st_mtime_ns
    files["train_000"].write_bytes(before["train_000"][:-100] + bytes(100))
    files["test_000"].unlink()
    calls: list[tuple[int, int]] = []
    ensure_synthetic(tmp_path, SMALL, lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert {name: path.read_bytes() for name, path in files.items()} == before
    assert files["train_001"].stat().st_mtime_ns == untouched


def test_a_killed_run_leaves_no_half_file_and_is_completed(tmp_path: Path) -> None:
    spec = replace(SMALL, num_train=12)
    code = (
        "import pathlib; from harness.data.synthetic import SyntheticSpec, ensure_synthetic; "
        f"ensure_synthetic(pathlib.Path({str(tmp_path)!r}), {spec!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    videos = tmp_path / spec.digest / "videos"
    deadline = time.monotonic() + 30
    while len(list(videos.glob("*.mp4"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    time.sleep(0.5)  # its helpers end when they find that nobody listens
    calls: list[tuple[int, int]] = []
    ensure_synthetic(tmp_path, spec, lambda done, total: calls.append((done, total)))
    assert 0 < calls[0][1] <= 13
    assert sorted(path.stem for path in videos.iterdir()) == sorted(spec.names)
    assert all(probe_video(path).num_frames == scene_of(spec, path.stem).num_frames for path in videos.iterdir())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ValueError, match="cannot write the synthetic videos below"):
        ensure_synthetic(blocked, SMALL)


def test_annotations_need_no_repair(written: Path) -> None:
    annotations = mend(read_schema(written / "annotations.json"), read_classes(written / "classes.txt"))
    assert annotations.repairs == {}
    assert annotations.classes == CLASSES
    assert {video.subset for video in annotations.videos} == {"training", "validation"}
    for video in annotations.videos:
        info = probe_video(written / "videos" / f"{video.video_id}.mp4")
        assert video.duration_s == pytest.approx(info.duration_s, abs=0.01)


def test_both_subsets_have_every_class_and_short_and_overlapping_actions_exist() -> None:
    database = json.loads(json.dumps(annotations_of(QUICK)))["database"]
    overlaps = short = 0
    for subset in ("training", "validation"):
        entries = [entry for entry in database.values() if entry["subset"] == subset]
        assert {a["label"] for entry in entries for a in entry["annotations"]} == set(CLASSES)
        for entry in entries:
            assert 20 <= entry["duration"] <= 60
            segments = sorted(a["segment"] for a in entry["annotations"])
            assert all(0 <= start < end <= entry["duration"] for start, end in segments)
            overlaps += sum(a[1] > b[0] for a, b in pairwise(segments))
            short += sum(0.3 < end - start < 0.9 for start, end in segments)
    assert overlaps > 5
    assert short > 5


@pytest.mark.parametrize(
    ("kind", "opposite"),
    [("slide_left", "slide_right"), ("slide_up", "slide_down"), ("turn_clockwise", "turn_counterclockwise")],
)
def test_an_action_backwards_is_its_opposite(kind: str, opposite: str) -> None:
    scene, episode = next(_episodes(kind))
    # The opposite one starts where the given one ends; its frames in the other order must be the same pictures.
    reverse = replace(episode, kind=opposite, phase=_phase(*episode.state(episode.end)[:3]))
    quiet = replace(scene, noise=np.zeros_like(scene.noise))
    numbers = range(episode.start, episode.end + 1)
    forwards = draw(replace(quiet, episodes=(episode,)), numbers).astype(int)
    backwards = draw(replace(quiet, episodes=(reverse,)), numbers)[::-1].astype(int)
    # The two senses round to positions an eighth of a pixel or 1/256 turn apart; the wrong order is far off.
    assert np.abs(forwards - backwards).mean() < 0.1 * np.abs(forwards - backwards[::-1]).mean()


def test_what_is_no_class_is_drawn_with_the_same_looks() -> None:
    looks: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
    for number in range(60):
        for e in _scene(number).episodes:
            looks[e.kind in CLASSES].append((e.radius, e.contrast, e.grain))
    actions, others = (np.array(looks[key]).mean(axis=0) for key in (True, False))
    assert np.allclose(actions, others, rtol=0.12)


def _scene(number: int) -> Scene:
    return compose(Dice(5, number), rate=RATES[1], num_frames=600)


def _episodes(kind: str) -> Iterator[tuple[Scene, Episode]]:
    """Yield actions that move, end at a state that a phase can describe, and last a second or more."""
    for number in range(99):
        scene = _scene(number)
        for episode in scene.episodes:
            x, y, _, _ = episode.state(episode.end)
            if episode.kind == kind and episode.end - episode.start >= 30 and x % 512 < 509 and y % 512 < 499:
                yield scene, episode


def _phase(x: int, y: int, angle: int) -> int:
    """Return the number that leaves these rests when divided by 509, 499 and 256 (Chinese remainder theorem)."""
    total = 0
    for rest, divisor in ((x % 512, 509), (y % 512, 499), (angle % 256, 256)):
        others = 509 * 499 * 256 // divisor
        total += rest * others * pow(others, -1, divisor)
    return total % (509 * 499 * 256)
