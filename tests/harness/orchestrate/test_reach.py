"""A cluster whose machines do not share the results folder is refused; the machines here are made up."""

from pathlib import Path

import pytest
from ray.exceptions import RaySystemError

from harness.cli.options import read_options
from harness.cli.plan import make_plan
from harness.cli.running import JobMaker
from harness.cli.terminal import Terminal
from harness.orchestrate import reach
from studies import scale_frames

NODES = [{"Alive": True, "NodeID": name, "NodeManagerAddress": f"10.0.0.{name}"} for name in "12"]


def cluster_of(monkeypatch: pytest.MonkeyPatch, *, blind: str | None, number: int = 2) -> list[list[Path]]:
    """Pretend a cluster in which one machine sees no path whose name begins with `blind`."""
    asked: list[list[Path]] = []

    def answer(nodes, paths):
        asked.append(list(paths))
        seen = {str(path): path.exists() for path in paths}
        hidden = {path: found and not (blind and Path(path).name.startswith(blind)) for path, found in seen.items()}
        return {nodes[0]["NodeManagerAddress"]: seen, nodes[1]["NodeManagerAddress"]: hidden}

    monkeypatch.setattr(reach.ray, "nodes", lambda: NODES[:number])
    monkeypatch.setattr(reach, "_ask", answer)
    return asked


def test_a_shared_folder_is_accepted_and_the_mark_is_gone(monkeypatch, tmp_path: Path) -> None:
    asked = cluster_of(monkeypatch, blind=None)
    reach.check_reach(tmp_path, lambda: [tmp_path])
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_is_refused_by_name(monkeypatch, tmp_path: Path) -> None:
    cluster_of(monkeypatch, blind=".shared")
    with pytest.raises(ValueError, match=r"is not the same on 10\.0\.0\.2.*--storage DIR"):
        reach.check_reach(tmp_path, tuple)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_one_machine_lacks_are_named(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    cluster_of(monkeypatch, blind="weights")
    with pytest.raises(ValueError, match=r"weights\.pth is not on 10\.0\.0\.2"):
        reach.check_reach(tmp_path, lambda: [tmp_path / "weights.pth"])


def test_one_machine_shares_with_itself(monkeypatch, tmp_path: Path) -> None:
    assert cluster_of(monkeypatch, blind=".shared", number=1) == []
    reach.check_reach(tmp_path, tuple)


def test_a_folder_of_one_machines_own_is_enough_beside_a_store(monkeypatch, tmp_path: Path) -> None:
    (asked,) = [cluster_of(monkeypatch, blind=".shared")]
    (tmp_path / "weights.pth").touch()
    reach.check_reach(None, lambda: [tmp_path / "weights.pth"])
    assert asked == [[tmp_path / "weights.pth"]]


def test_a_machine_without_the_project_is_named(monkeypatch) -> None:
    def broken(answer: object) -> None:
        raise RaySystemError("No module named 'harness'")

    monkeypatch.setattr(reach.ray, "get", broken)
    with pytest.raises(ValueError, match=r"10\.0\.0\.2 cannot run this project .*harness.*installed there too"):
        reach._answer("10.0.0.2", object())


@pytest.mark.parametrize("search", ["grid", "random"])
def test_every_weight_of_the_grid_is_asked_for_and_some_videos(
    small_world, tmp_path: Path, monkeypatch, search: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("videomae-s", "videomae-b"):
        Path(f"{name}.pth").write_bytes(b"weights")
    argv = ["--on", "custom", "--data-root", str(small_world.root), "--weights", ".", "--search", search]
    options = read_options(scale_frames.STUDY, [*argv, "--set", "model.backbone=videomae-s,videomae-b"])
    plan = make_plan(scale_frames.STUDY, options, Terminal(quiet=True), prepare=True)
    inputs = JobMaker(plan, {}, Terminal(quiet=True)).how.inputs()
    assert {path.name for path in inputs} >= {"videomae-s.pth", "videomae-b.pth", "video_0.mp4", "video_8.mp4"}
    assert any(path.name.startswith("dataset-") for path in inputs)
    assert all(path.is_file() and path.is_absolute() for path in inputs)
