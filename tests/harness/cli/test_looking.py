"""The lines that say where to look: commands that can be copied, for this machine only."""

import shlex
from pathlib import Path

import pytest

from harness.cli.looking import where_to_look
from harness.orchestrate.history import FILE
from harness.orchestrate.tensorboard import FOLDER


@pytest.mark.parametrize(("uv", "begins"), [(True, ["uv", "run"]), (False, [])])
def test_every_tool_has_a_line_that_finds_its_files(tmp_path: Path, monkeypatch, uv: bool, begins: list[str]) -> None:
    monkeypatch.setenv("UV", "uv") if uv else monkeypatch.delenv("UV", raising=False)
    folder = tmp_path / "my results/scale_frames"
    watch, tensorboard, optuna = (shlex.split(line) for line in where_to_look(folder)[1:])
    assert [command[: len(begins)] for command in (watch, tensorboard, optuna)] == [begins] * 3
    assert watch[-4:] == ["watch", "scale_frames", "--results", str(folder.parent)]
    assert tensorboard[tensorboard.index("--logdir") + 1] == str(folder / FOLDER)
    assert str(folder / FILE) in optuna
    for served in (tensorboard, optuna):
        assert served[-2:] == ["--host", "127.0.0.1"]
