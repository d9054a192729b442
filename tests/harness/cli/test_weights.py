"""Which file belongs to which backbone, and how its identity enters the trials."""

from pathlib import Path

import pytest

from harness.cli.options import UserError, read_options
from harness.cli.plan import make_plan
from harness.cli.terminal import Terminal
from harness.cli.weights import weights_file
from models.digest import weights_digest
from studies.scale_frames import STUDY

FEW = ["--dry-run", "--on", "thumos14", "--set", "data.window.frames=768", "--set", "data.window.resolution=160"]


def plan(*arguments: str):
    options = read_options(STUDY, [*FEW, *arguments])
    return make_plan(STUDY, options, Terminal(json=True, quiet=True), prepare=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("videomae-s.pth", b"small"), ("videomae-b.safetensors", b"base")):
        (tmp_path / name).write_bytes(content)
    hub = tmp_path / "videomae-l"
    hub.mkdir()
    (hub / "config.json").write_text("{}")
    (hub / "model.safetensors").write_bytes(b"large")
    return tmp_path


def test_a_folder_holds_one_file_or_folder_per_backbone(folder: Path) -> None:
    assert weights_file(folder, "videomae-s") == folder / "videomae-s.pth"
    assert weights_file(folder, "videomae-b") == folder / "videomae-b.safetensors"
    assert weights_file(folder, "videomae-l") == folder / "videomae-l"
    assert weights_file(folder / "videomae-s.pth", "anything") == folder / "videomae-s.pth"
    assert weights_file(folder / "videomae-l", "anything") == folder / "videomae-l"
    with pytest.raises(UserError, match=r"expected a file, or a folder with videomae-h\.pth"):
        weights_file(folder, "videomae-h")
    (folder / "videomae-s.pt").write_bytes(b"another")
    with pytest.raises(UserError, match=r"holds videomae-s\.pth and videomae-s\.pt, expected one of them"):
        weights_file(folder, "videomae-s")


def test_a_relative_path_is_made_absolute_for_the_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert weights_file(Path("videomae-s.pth"), "videomae-s").is_absolute()


def test_the_identity_is_that_of_the_content(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.bin"
    copy.write_bytes(b"small")
    assert weights_digest(copy) == weights_digest(folder / "videomae-s.pth")
    before = weights_digest(folder / "videomae-l")
    (folder / "videomae-l" / "README.md").write_text("no weights")
    assert weights_digest(folder / "videomae-l") == before
    (folder / "videomae-l" / "model.safetensors").write_bytes(b"other")
    assert weights_digest(folder / "videomae-l") != before


def test_weights_change_together_with_the_backbone_on_an_axis(folder: Path) -> None:
    planned = plan("--set", "model.backbone=videomae-s,videomae-b", "--weights", str(folder))
    assert [trial.config.model.weights for trial in planned.trials] == [
        weights_digest(folder / "videomae-s.pth"),
        weights_digest(folder / "videomae-b.safetensors"),
    ]
    assert "model.weights" not in planned.grid.paths
    assert [planned.name(trial) for trial in planned.trials] == [
        "frames 768, resolution 160, backbone videomae-s, seed 0",
        "frames 768, resolution 160, backbone videomae-b, seed 0",
    ]


def test_one_file_cannot_serve_several_backbones(folder: Path) -> None:
    with pytest.raises(UserError, match="one file for videomae-s, videomae-b; expected a folder with one for each"):
        plan("--set", "model.backbone=videomae-s,videomae-b", "--weights", str(folder / "videomae-s.pth"))


def test_tiny_backbones_are_known_by_their_recipe() -> None:
    options = read_options(
        STUDY, ["--dry-run", "--set", "model.backbone=videomae-tiny,slowfast-tiny,videoswin-tiny", "--seeds", "1"]
    )
    planned = make_plan(STUDY, options, Terminal(json=True, quiet=True), prepare=False)
    identities = {trial.config.model.backbone.name: trial.config.model.weights for trial in planned.trials}
    assert len(set(identities.values())) == 3
    assert all(len(identity) == 16 for identity in identities.values())
