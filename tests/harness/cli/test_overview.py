"""What a dry run says of a study: memory, operations, hours, and the paper's numbers beside them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.effort import effort
from harness.cli.study import main
from harness.config import with_values
from harness.data.datasets import DATASETS
from harness.data.synthetic import FULL
from harness.memory.devices import find_device
from harness.memory.plan import Choice
from harness.memory.predict import Prediction
from harness.presets import paper, synthetic
from models.config import EngineConfig
from studies.compare_placement import STUDY as PLACEMENT
from studies.scale_frames import STUDY as FRAMES

H100 = find_device("h100-80gb")
NOTHING = Prediction(
    peak_bytes=0,
    breakdown={},
    moment="",
    host_bytes=0,
    reserved_bytes=0,
    half_flops=0.0,
    full_flops=0.0,
    bytes_touched=0,
    bytes_moved=0,
    params_total=1,
    params_trainable=1,
)


def choice(**of_a_step: float) -> Choice:
    return Choice(engine=EngineConfig(), prediction=replace(NOTHING, **of_a_step), fits=True)  # type: ignore[arg-type]


def test_hours_are_those_of_every_step_of_the_schedule() -> None:
    thumos = paper(DATASETS["thumos14"])
    assert H100.rates is not None
    takes = effort(thumos, choice(half_flops=2 * H100.rates.half_flops), H100)
    assert takes.steps == 60 * 200 // 2
    assert takes.step_seconds == pytest.approx(2)
    assert takes.hours == pytest.approx(6000 * 2 / 3600)


def test_videos_that_fill_no_batch_are_no_step() -> None:
    config = with_values(paper(DATASETS["ego4d"]), {"training.batch_size": 4})
    assert effort(config, choice(), H100).steps == config.training.epochs * (1486 // 4)


def test_a_repeated_epoch_has_more_steps() -> None:
    once, twice = (with_values(paper(DATASETS["thumos14"]), {"training.repeat": repeat}) for repeat in (1, 2))
    assert effort(twice, choice(), H100).steps == 2 * (effort(once, choice(), H100).steps or 0)


def test_what_nobody_knows_is_left_open() -> None:
    own = with_values(paper(DATASETS["thumos14"]), {"data.name": "custom"})
    assert effort(own, choice(half_flops=1e12), H100).hours is None
    assert effort(synthetic(), choice(half_flops=1e12), find_device("cpu")).hours is None


def test_the_synthetic_set_has_as_many_videos_as_are_written() -> None:
    assert DATASETS["synthetic"].num_train_videos == FULL.num_train


def test_a_dry_run_on_a_card_names_operations_and_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["--preset", "paper", "--dry-run", "--device", "h100-80gb"]
    with pytest.raises(SystemExit) as left:
        main(PLACEMENT, [*argv, "--set", "data.window.resolution=160", "--json"])
    assert left.value.code == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    by_place = {(trial["model.backbone"], trial["model.adapter.placement"]): trial for trial in trials}
    assert len(by_place) == 6
    for backbone in ("videomae-s", "videomae-b", "videomae-l"):
        inside, outside = (by_place[backbone, placement] for placement in ("inside", "outside"))
        # Nothing is differentiated through the backbone: about half of the operations are left.
        assert 0.35 < outside["flops"] / inside["flops"] < 0.6
        assert 0 < outside["predicted_hours"] < inside["predicted_hours"]
        assert inside["steps"] == 6000


def test_on_a_laptop_there_are_operations_but_no_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(FRAMES, ["--dry-run", "--device", "cpu", "--set", "data.window.frames=32"])
    said = capsys.readouterr().out
    assert "a step" in said
    assert "hours" not in said
