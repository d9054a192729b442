"""Who is ended early, and by what; Tune's schedulers are real, Ray is made up."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.orchestrate import stopping
from harness.orchestrate.stopping import EarlyEnds, Judging
from harness.study import SchedulerMetric, SchedulerName

EPOCHS = 12
Curve = dict[str, float]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the digests that a board was asked to end."""
    asked: list[str] = []

    def get_actor(name: str, namespace: str) -> Any:
        assert name == "board"
        return SimpleNamespace(call=SimpleNamespace(remote=lambda method, digest: asked.append(digest)))

    monkeypatch.setattr(stopping, "ray", SimpleNamespace(get_actor=get_actor))
    return asked


def judge(scheduler: SchedulerName, metric: SchedulerMetric) -> EarlyEnds:
    found = Judging(scheduler=scheduler, metric=metric, epochs=EPOCHS).begin("board")
    assert found is not None
    return found


class FakeTrial:
    """What a scheduler looks at."""

    def __init__(self, name: str) -> None:
        self.trial_id = name
        self.config = {"digest": name}


def run(judged: EarlyEnds, curves: dict[str, Curve]) -> None:
    """Let trials run side by side, each reporting mAP that rises and a loss that falls."""
    trials = {name: FakeTrial(name) for name in curves}
    controller = SimpleNamespace(get_live_trials=list)
    for trial in trials.values():
        judged.on_trial_add(controller, trial)
    for epoch in range(1, EPOCHS + 1):
        for name, curve in curves.items():
            values = {metric: at * epoch if metric == "map_avg" else at / epoch for metric, at in curve.items()}
            judged.on_trial_result(controller, trials[name], {"test_batch": 1, "training_iteration": epoch})
            judged.on_trial_result(
                controller, trials[name], {"epoch": epoch, "epochs": EPOCHS, **values, "training_iteration": epoch}
            )


CURVES = {
    "best map, worst loss": {"map_avg": 0.05, "loss": 9.0},
    "good": {"map_avg": 0.04, "loss": 3.0},
    "poor": {"map_avg": 0.02, "loss": 2.0},
    "worst map, best loss": {"map_avg": 0.01, "loss": 1.0},
}


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_map_decides_whatever_the_losses_say(scheduler: SchedulerName, ended: list[str]) -> None:
    run(judge(scheduler, "map"), CURVES)
    assert "worst map, best loss" in ended
    assert "best map, worst loss" not in ended
    assert len(ended) == len(set(ended)), "nobody is ended twice"


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_the_loss_decides_where_it_is_asked_for(scheduler: SchedulerName, ended: list[str]) -> None:
    run(judge(scheduler, "loss"), dict(reversed(CURVES.items())))
    assert "best map, worst loss" in ended
    assert "worst map, best loss" not in ended


def test_reports_without_the_metric_are_not_judged(ended: list[str]) -> None:
    run(judge("asha", "map"), {name: {"loss": curve["loss"]} for name, curve in CURVES.items()})
    assert ended == []


def test_nobody_is_judged_without_a_scheduler() -> None:
    assert Judging(scheduler="none").begin("board") is None
