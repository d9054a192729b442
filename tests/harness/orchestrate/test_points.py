"""A search without Ray: what Optuna is asked and told, and what the tables answer."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from harness import presets
from harness.orchestrate.history import History
from harness.orchestrate.jobs import Job
from harness.orchestrate.points import PointSource
from harness.orchestrate.space import Space
from harness.study import Grid, Range, SchedulerMetric, Search, Trial

GRID = Grid(
    base=presets.synthetic_adatad(), axes={"data.window.frames": (32, 64, 128), "training.adapter_lr": (1e-4, 1e-3)}
)
LR = {"training.adapter_lr": Range(low=1e-4, high=1e-2)}
BUDGET = 100


def history(folder: Path, **search: Any) -> History:
    return History(folder / "study", Space(GRID, Search(**{"method": "optuna", "ranges": LR, **search})))


def job(trial: Trial) -> Job:
    return Job(digest=trial.digest, name="one", payload={}, predicted_peak_bytes=50)


def too_large(trial: Trial) -> dict[str, Any]:
    return {"digest": trial.digest, "state": "too_large", "predicted_peak_bytes": 2 * BUDGET}


def finished(trial: Trial) -> dict[str, Any]:
    """Score a trial: best at a rate of 1e-3, and the more frames the better."""
    config = trial.config
    score = config.data.window.frames / 256 - abs(math.log10(config.training.adapter_lr) + 3) / 10
    return {"state": "finished", "map_avg": score, "peak_bytes": config.data.window.frames}


def search_all(source: PointSource) -> Counter[int]:
    """Run every job to a good end; return how often each number of frames was run."""
    ran: Counter[int] = Counter()
    while (found := source.next()) is not None:
        trial = source.drawn[found.digest]
        ran[trial.config.data.window.frames] += 1
        source.ended(found.digest, finished(trial))
    return ran


def test_a_search_finds_the_best_rate_and_frames(tmp_path: Path) -> None:
    kept = history(tmp_path, samples=30)
    search_all(PointSource(kept, job, budget_bytes=BUDGET))
    best = max(kept.told, key=lambda point: point.values[0] if point.values else -9)
    assert best.params["data.window.frames"] == 128
    assert 5e-4 < best.params["training.adapter_lr"] < 2e-3
    assert len(kept.told) == 30


@pytest.mark.parametrize("objectives", [("map_avg",), ("map_avg", "peak_bytes")])
def test_what_does_not_fit_is_told_as_infeasible_and_drawn_less_often(
    objectives: tuple[str, ...], tmp_path: Path
) -> None:
    kept = history(tmp_path, samples=40, objectives=objectives)
    source = PointSource(
        kept,
        lambda trial: too_large(trial) if trial.config.data.window.frames == 128 else job(trial),
        budget_bytes=BUDGET,
    )
    ran = search_all(source)
    assert ran[128] == 0
    refused = [point for point in kept.told if point.params["data.window.frames"] == 128]
    assert all(point.state == TrialState.PRUNED and point.values is None for point in refused)
    assert all(point.constraints == {"fits": 1.0} for point in refused)
    assert all(point.constraints == {"fits": 0.0} for point in kept.told if point not in refused)
    late = [point.params["data.window.frames"] for point in kept.told[20:]]
    assert late.count(128) < len(late) / 3, "a third of the points are there if nothing is learnt"


def test_out_of_memory_is_infeasible_although_it_was_predicted_to_fit(tmp_path: Path) -> None:
    kept = history(tmp_path, samples=1)
    source = PointSource(kept, job, budget_bytes=BUDGET)
    found = source.next()
    assert found is not None
    source.ended(found.digest, {"state": "out_of_memory"})
    (point,) = kept.told
    assert point.constraints["fits"] > 0
    assert point.values is None


def test_what_the_tables_know_is_not_run_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def consider(trial: Trial) -> Any:
        asked.append(trial.digest)
        return {"digest": trial.digest, **finished(trial)}

    kept = history(tmp_path, samples=12, ranges={})
    assert PointSource(kept, consider, budget_bytes=BUDGET).next() is None
    assert len(kept.told) == 12
    assert len(asked) == len(set(asked)) <= 6, "six different points exist; each is asked for once"


def test_a_search_goes_on_where_its_driver_was_killed(tmp_path: Path) -> None:
    first = PointSource(history(tmp_path, samples=6), job, budget_bytes=BUDGET)
    done, lost = first.next(), None
    assert done is not None
    first.ended(done.digest, finished(first.drawn[done.digest]))
    lost = first.next()
    assert lost is not None
    again = history(tmp_path, samples=6)
    second = PointSource(again, job, budget_bytes=BUDGET)
    resumed = second.next()
    assert resumed is not None
    assert resumed.digest == lost.digest, "the trial that was under way continues first"
    second.ended(resumed.digest, finished(second.drawn[resumed.digest]))
    search_all(second)
    assert len(again.told) == 6
    digests = [point.user_attrs["digest"] for point in again.told]
    assert done.digest in digests


def test_an_interrupted_trial_is_drawn_first_by_the_next_start(tmp_path: Path) -> None:
    first = PointSource(history(tmp_path, samples=3), job, budget_bytes=BUDGET)
    found = first.next()
    assert found is not None
    first.ended(found.digest, {"state": "interrupted"})
    again = PointSource(history(tmp_path, samples=3), job, budget_bytes=BUDGET).next()
    assert again is not None
    assert again.digest == found.digest


def test_failed_trials_are_drawn_for_anew_but_not_for_ever(tmp_path: Path) -> None:
    source = PointSource(history(tmp_path, samples=5), job, budget_bytes=BUDGET)
    drawn = 0
    while (found := source.next()) is not None:
        drawn += 1
        source.ended(found.digest, None)
    assert drawn == 15


@pytest.mark.parametrize(("metric", "shown"), [("map", 0.25), ("loss", -0.75)])
def test_what_a_trial_that_was_stopped_had_reached_is_kept(
    metric: SchedulerMetric, shown: float, tmp_path: Path
) -> None:
    kept = history(tmp_path, samples=1)
    source = PointSource(kept, job, budget_bytes=BUDGET, metric=metric)
    found = source.next()
    assert found is not None
    source.progress(found.digest, {"epoch": 1, "epochs": 9, "loss": 0.75, "map_avg": 0.25})
    source.progress(found.digest, {"test_batch": 1, "map_avg": 0.5})
    source.ended(found.digest, {"state": "stopped_early", "map_avg": 0.25})
    (point,) = kept.told
    assert (point.state, point.intermediate_values) == (TrialState.PRUNED, {1: shown})


def test_grid_trials_are_in_the_file_once_each(tmp_path: Path) -> None:
    space = Space(GRID, Search())
    kept = History(tmp_path / "study", space)
    for params, trial in [*space.listed(), *space.listed()]:
        kept.note(params, {"digest": trial.digest, **finished(trial)})
    again = History(tmp_path / "study", space)
    for params, trial in space.listed():
        again.note(params, {"digest": trial.digest, **finished(trial)})
    assert [point.user_attrs["digest"] for point in again.told] == [trial.digest for trial in GRID.trials()]
    assert all(len(point.values) == 2 for point in again.told), "mAP and memory, for the front between them"


def test_a_grid_trial_that_fails_and_later_finishes_is_there_with_both_ends(tmp_path: Path) -> None:
    space = Space(GRID, Search())
    params, trial = next(iter(space.listed()))
    for state in ("failed", "failed", "finished", "finished"):
        History(tmp_path / "study", space).note(params, {"digest": trial.digest, **finished(trial), "state": state})
    kept = History(tmp_path / "study", space)
    assert [point.user_attrs["state"] for point in kept.told] == ["finished"]
    assert len(kept._study.get_trials()) == 2
