"""A test between epochs changes nothing: weights, results, curves and measured memory are those of a run without."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config import TrialConfig, with_values
from harness.memory.measure import CudaMeter, meter_for
from harness.training import validation
from harness.training.loop import Fit, Places, fit
from harness.training.report import Interrupted, NoMeter, SilentReporter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trial(small_trial: TrialConfig) -> TrialConfig:
    """Return a trial whose mAP is above zero after one epoch: it asks for little overlap."""
    return with_values(small_trial, {"evaluation.tious": (0.05, 0.1)})


def places(small_world: Any, folder: Path, every: int) -> Places:
    folder.mkdir(parents=True, exist_ok=True)
    return Places(dataset=small_world.index, weights=None, work=folder, validate_every=every)


def losses(done: Fit) -> list[dict[str, float | int]]:
    return [{name: value for name, value in entry.items() if name != "map_avg"} for entry in done.curve]


def scores(done: Fit) -> list[float | None]:
    return [entry.get("map_avg") for entry in done.curve]


def state(folder: Path) -> dict[str, Any]:
    """Return all that a checkpoint holds but the time it took."""
    held = torch.load(folder / "checkpoint.pt", weights_only=True)
    held["position"].pop("seconds")
    return held


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.mark.parametrize("change", [{}, {"model.adapter.placement": "outside"}])
def test_a_run_that_is_scored_on_its_way_is_the_run_that_is_not(
    small_world, trial: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
):
    config = with_values(trial, {"training.epochs": 4, **change})

    def draws(*given: Any, **how: Any) -> Any:
        torch.rand(3)  # as a loader would that starts its processes
        return real(*given, **how)

    real = validation.score
    monkeypatch.setattr(validation, "score", draws)
    runs: dict[int, tuple[Fit, int | None]] = {}
    for every in (0, 1, 2):
        with meter_for("cpu", config.engine) as meter:
            done = fit(config, places(small_world, tmp_path / str(every), every), SilentReporter(), meter)
        runs[every] = done, meter.peak_bytes
    (without, peak), *scored = runs.values()
    assert scores(without) == [None] * 4
    assert [score is not None for score in scores(runs[2][0])] == [False, True, False, True]
    for number, (done, its_peak) in zip((1, 2), scored, strict=True):
        assert done.result == without.result
        assert losses(done) == losses(without)
        assert its_peak == peak
        assert scores(done)[-1] == done.result.map_avg > 0
        assert equal(state(tmp_path / str(number)), state(tmp_path / "0"))
        assert (tmp_path / str(number) / "detections.json").read_bytes() == (
            tmp_path / "0" / "detections.json"
        ).read_bytes()


def test_the_score_between_epochs_is_that_of_a_run_which_ends_there(small_world, trial: TrialConfig, tmp_path: Path):
    long = fit(trial, places(small_world, tmp_path / "long", 1), SilentReporter(), NoMeter())
    for epochs in (1, 2):
        short = replace(trial, training=replace(trial.training, epochs=epochs))
        done = fit(short, places(small_world, tmp_path / str(epochs), 0), SilentReporter(), NoMeter())
        assert scores(long)[epochs - 1] == done.result.map_avg


def test_the_score_is_reported_with_its_epoch(small_world, trial: TrialConfig, tmp_path: Path):
    reporter = SilentReporter()
    done = fit(trial, places(small_world, tmp_path, 1), reporter, NoMeter())
    reported = [report for report in reporter.reports if "epoch" in report]
    assert [report.get("map_avg") for report in reported] == [*scores(done)[:2], None], "the last is tested at the end"
    assert reporter.reports[-1]["map_avg"] == done.result.map_avg


class Killed(BaseException):
    """What a kill looks like from inside: nothing is saved any more."""


@pytest.mark.parametrize("at", ["score", "curve"])
def test_a_run_killed_between_a_checkpoint_and_its_score_is_scored_when_it_goes_on(
    small_world, trial: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
):
    whole = fit(trial, places(small_world, tmp_path / "whole", 1), SilentReporter(), NoMeter())
    parts = places(small_world, tmp_path / "parts", 1)
    real = validation.Validation.score
    calls = 0

    def dies(self: Any, unreadable: dict[str, str]) -> float:
        nonlocal calls
        calls += 1
        if calls == 2 and at == "score":
            raise Killed
        found = real(self, unreadable)
        if calls == 2:
            raise Killed
        return found

    monkeypatch.setattr(validation.Validation, "score", dies)
    with pytest.raises(Killed):
        fit(trial, parts, SilentReporter(), NoMeter())
    held = [json.loads(line) for line in (parts.work / "curve.jsonl").read_text().splitlines()]
    assert ["map_avg" in entry for entry in held] == [True, False]
    reporter = SilentReporter()
    resumed = fit(trial, parts, reporter, NoMeter())
    assert resumed.curve == whole.curve
    assert resumed.result == whole.result
    assert equal(state(parts.work), state(tmp_path / "whole"))
    assert [report["epoch"] for report in reporter.reports if "epoch" in report] == [2, 3]


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_a_run_stopped_anywhere_and_resumed_has_the_scores_of_one_that_was_not(
    small_world, trial: TrialConfig, tmp_path: Path, stop_after, steps: int
):
    whole = fit(trial, places(small_world, tmp_path / "whole", 1), SilentReporter(), NoMeter())
    parts = places(small_world, tmp_path / "parts", 1)
    with pytest.raises(Interrupted) as stopped:
        fit(trial, parts, stop_after(steps), NoMeter())
    assert list(stopped.value.curve) == whole.curve[: steps // 3]
    resumed = fit(trial, parts, SilentReporter(), NoMeter())
    assert resumed.curve == whole.curve
    assert resumed.result == whole.result


def test_scoring_may_be_turned_on_for_a_run_that_began_without(
    small_world, trial: TrialConfig, tmp_path: Path, stop_after
):
    whole = fit(trial, places(small_world, tmp_path / "whole", 0), SilentReporter(), NoMeter())
    with pytest.raises(Interrupted):
        fit(trial, places(small_world, tmp_path / "parts", 0), stop_after(4), NoMeter())
    resumed = fit(trial, places(small_world, tmp_path / "parts", 1), SilentReporter(), NoMeter())
    assert resumed.result == whole.result
    assert [score is not None for score in scores(resumed)] == [False, True, True]


def test_a_test_is_left_out_of_the_peak_on_cuda_and_kept_in_what_was_reserved(monkeypatch: pytest.MonkeyPatch):
    now = {"allocated": 0, "reserved": 0}
    top = dict(now)

    def use(allocated: int, reserved: int) -> None:
        now.update(allocated=allocated, reserved=reserved)
        for name, value in now.items():
            top[name] = max(top[name], value)

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: top.update(now))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: top["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: top["reserved"])

    @contextmanager
    def measuring() -> Iterator[CudaMeter]:
        with CudaMeter(torch.device("cuda")) as meter:
            yield meter

    with measuring() as meter:
        use(100, 120)
        use(40, 120)
        with meter.aside():
            use(500, 600)
            use(40, 300)
        assert (meter.peak_bytes, meter.reserved_bytes) == (100, 600)
        use(110, 300)
        assert (meter.peak_bytes, meter.reserved_bytes) == (110, 600)
