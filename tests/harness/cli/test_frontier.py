"""`tadscale frontier`: mistakes in one sentence, and a table of what is predicted."""

from pathlib import Path

import pytest

from harness.analysis.paper.frontier import Input
from harness.cli.commands import frontier
from harness.cli.tadscale import main
from harness.units import GIB


def command(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(["frontier", *words])
    return end.value.code


def test_an_unknown_card_is_named(capsys):
    assert command("--cards", "abacus") == 2
    assert "--cards is abacus, expected some of" in capsys.readouterr().err


def test_every_input_of_the_study_is_asked_about_and_the_table_written(monkeypatch, capsys, tmp_path: Path):
    def foreseen(configs, device):
        for config in configs:
            window = config.data.window
            need = window.frames * window.resolution**2 * config.model.backbone.layers * GIB // 100_000_000
            yield Input(
                backbone=config.model.backbone.name,
                frames=window.frames,
                resolution=window.resolution,
                paper_bytes=need,
                lean_bytes=need // 8,
                lean_host_bytes=need,
            )

    monkeypatch.setattr(frontier, "_inputs", foreseen)
    assert command("--cards", "rtx4090-24gb", "h100-80gb", "--export", str(tmp_path)) == 0
    text = capsys.readouterr().out
    assert text.count("| h100-80gb |") == text.count("| rtx4090-24gb |") == 5
    assert "| rtx4090-24gb | videomae-g | 1,536 frames of 160² |" in text
    assert {path.name for path in tmp_path.iterdir()} == {"frontier.md", "frontier.tex"}


def test_both_predictions_are_of_one_video_and_ours_is_the_leaner(tmp_path, monkeypatch):
    """A real trace of a tiny detector, as the paper executes it and with the leanest policy."""
    from harness import presets
    from harness.cli import plan
    from harness.memory.devices import find_device

    monkeypatch.setattr(plan, "cache_dir", lambda: tmp_path)
    config = presets.synthetic({"data.window.frames": 32, "data.window.resolution": 32})
    (found,) = frontier._inputs([config], find_device("h100-80gb"))
    assert (found.backbone, found.frames, found.resolution) == ("videomae-tiny", 32, 32)
    assert found.lean_bytes < found.paper_bytes
