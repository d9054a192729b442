"""A ladder without Ray: which trials there are, who climbs, and that a study which was killed climbs no other way."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from harness import presets
from harness.config import with_values
from harness.orchestrate.fidelity import ladder, promoted, rung_sizes, rungs
from harness.orchestrate.halving import Halving
from harness.orchestrate.history import History
from harness.orchestrate.jobs import Job
from harness.orchestrate.listed import ListedSource
from harness.orchestrate.points import PointSource
from harness.orchestrate.sources import LATER
from harness.orchestrate.space import Space
from harness.study import Fidelity, Grid, Search, Trial

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
GRID = Grid(
    base=presets.synthetic_adatad(),
    axes={"data.window.frames": (32, 64, 128), "training.adapter_lr": RATES},
    seeds=(0, 1, 2),
)
FRAMES = Fidelity(path="data.window.frames", values=(32, 64, 128), eta=2)
SCORES = st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=30)
ETAS = st.integers(2, 5)


@given(scores=SCORES, eta=ETAS)
def test_one_in_eta_climbs_rounded_up_and_they_are_the_best(scores: dict[str, float], eta: int) -> None:
    chosen = promoted(scores, eta)
    assert len(chosen) == len(set(chosen)) == math.ceil(len(scores) / eta)
    left = [score for point, score in scores.items() if point not in chosen]
    assert all(scores[point] >= other for point in chosen for other in left)
    assert not scores or scores[chosen[0]] == max(scores.values())


@given(scores=SCORES, eta=ETAS, data=st.data())
def test_what_does_not_fit_at_the_next_rung_does_not_climb_and_the_next_best_does(
    scores: dict[str, float], eta: int, data: st.DataObject
) -> None:
    fitting = data.draw(st.sets(st.sampled_from(sorted(scores)))) if scores else set()
    chosen = promoted(scores, eta, fitting.__contains__)
    assert set(chosen) <= fitting
    assert len(chosen) == min(math.ceil(len(scores) / eta), len(fitting))
    assert set(chosen) == set(
        sorted(fitting, key=lambda point: (-scores[point], list(scores).index(point)))[: len(chosen)]
    )


def test_equal_points_climb_in_the_order_given() -> None:
    assert promoted({"b": 0.5, "a": 0.5, "c": 0.5, "d": 0.1}, 2) == ("b", "a")


def test_the_highest_rung_has_trials_of_the_study_and_each_rung_the_same_points() -> None:
    whole = ladder(GRID, FRAMES)
    low, middle, high = rungs(whole)
    own = {trial.digest for trial in GRID.trials()}
    assert {trial.digest for trial in whole.trials()} == {
        t.digest for t in (*low.trials(), *middle.trials(), *high.trials())
    }
    assert {trial.digest for trial in high.trials()} <= own
    for rung, frames in ((low, 32), (middle, 64), (high, 128)):
        found = [(t.config.data.window.frames, t.config.training.adapter_lr, t.config.seed) for t in rung.trials()]
        assert found == [(frames, rate, 0) for rate in RATES]


def test_a_schedule_keeps_its_shape_when_it_is_short() -> None:
    base = with_values(GRID.base, {"training.epochs": 60, "training.cosine_epochs": 100, "training.warmup_epochs": 5})
    grid = Grid(base=base, axes={"training.adapter_lr": RATES})
    low, high = rungs(ladder(grid, Fidelity(path="training.epochs", values=(12, 60))))
    schedules = [
        (t.epochs, t.cosine_epochs, t.warmup_epochs) for t in (r.trials()[0].config.training for r in (low, high))
    ]
    assert schedules == [(12, 20, 1), (60, 100, 5)]
    assert [trial.digest for trial in high.trials()] == [trial.digest for trial in grid.trials()]


@pytest.mark.parametrize(
    ("path", "values", "names"),
    [
        ("seed", (0, 1), "the fidelity is seed, which is no amount"),
        ("training.precision", (1, 2), "training.precision is 1, expected one of"),
        ("engine.compile", (0, 1), "engine.compile is 0, expected true or false"),
        ("data.window.framez", (1, 2), "unknown config path data.window.framez"),
        ("training.epochs", (1.5, 2), "training.epochs is 1.5, expected a whole number"),
        ("data.window", (1, 2), "data.window is a group of settings"),
        ("data.window.frames", (16, 100), "data.window.span 256 is not a multiple of data.window.frames 100"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_one_sentence(path: str, values: tuple[float, ...], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        ladder(GRID, Fidelity(path=path, values=values)).trials()


def test_what_changes_together_with_others_is_no_ladder() -> None:
    grid = Grid(base=GRID.base, axes=presets.paired({"data.window.frames": 64, "data.window.resolution": 32}))
    with pytest.raises(ValueError, match=r"changes together with data.window.resolution here"):
        ladder(grid, FRAMES)


def test_a_ladder_rises_and_excludes_what_it_replaces() -> None:
    for values in ((64,), (64, 64), (64, 32)):
        with pytest.raises(ValueError, match="expected at least two rising values"):
            Fidelity(path="data.window.frames", values=values)
    with pytest.raises(ValueError, match="both end trials that lag behind"):
        Search(fidelity=FRAMES, scheduler="asha")
    with pytest.raises(ValueError, match="points climb by mAP alone"):
        Search(fidelity=FRAMES, objectives=("map_avg", "peak_bytes"))


class World:
    """Tables and an Optuna file that outlive drivers; a trial scores by its rate and its frames."""

    def __init__(self, folder: Path, search: Search, score: Callable[[Trial], float]) -> None:
        self.search = search
        self.rows: dict[str, dict[str, Any]] = {}
        self.ran: list[str] = []
        self.score = score
        self.states: dict[tuple[int, float], str] = {}
        self._folder = folder / "study"
        self.spaces = [Space(rung, search) for rung in rungs(ladder(GRID, FRAMES))]

    def histories(self) -> list[History]:
        return [History(self._folder, space, rung=str(number)) for number, space in enumerate(self.spaces)]

    def consider(self, trial: Trial) -> Job | Mapping[str, Any]:
        if trial.digest in self.rows:
            return self.rows[trial.digest]
        if self.state(trial) == "too_large":
            self.rows[trial.digest] = self.row(trial)
            return self.rows[trial.digest]
        return Job(digest=trial.digest, name="n", payload={"trial": trial})

    def state(self, trial: Trial) -> str:
        config = trial.config
        return self.states.get((config.data.window.frames, config.training.adapter_lr), "finished")

    def row(self, trial: Trial) -> dict[str, Any]:
        state = self.state(trial)
        score = self.score(trial) if state == "finished" else None
        return {"digest": trial.digest, "state": state, "map_avg": score, "peak_bytes": 1, "predicted_peak_bytes": 200}

    def drive(self, kill_after: int | None = None) -> Halving:
        """Run a driver until nothing is left or it is killed after so many trials."""
        histories = self.histories()

        def note(rung: int, params: Mapping[str, Any], row: Mapping[str, Any]) -> None:
            histories[rung].note(params, row, budget_bytes=100)

        first = (
            ListedSource(self.spaces[0].listed(), self.consider, lambda params, row: note(0, params, row))
            if self.search.method == "grid"
            else PointSource(histories[0], self.consider, budget_bytes=100)
        )
        ladder = Halving(self.spaces, first, self.consider, eta=FRAMES.eta, note=note)
        running: list[Job] = []
        done = 0
        while True:
            job = ladder.next()
            if isinstance(job, Job):
                running.append(job)
                if len(running) < 2:
                    continue  # two at a time
            if not running:
                assert job is None, "nothing runs, so there is nothing to wait for"
                return ladder
            if done == kill_after:
                return ladder
            ended = running.pop(0)
            trial = ended.payload["trial"]
            row = self.row(trial)
            self.ran.append(trial.digest)
            if row["state"] != "failed":
                self.rows[trial.digest] = row
            ladder.ended(trial.digest, row)
            done += 1

    def climbed(self) -> list[list[tuple[int, float]]]:
        """Return frames and rate of what each rung's Optuna study holds, in its order."""
        return [
            [(int(p.params["data.window.frames"]), p.params["training.adapter_lr"]) for p in history.told]
            for history in self.histories()
        ]


def by_rate(trial: Trial) -> float:
    return 0.5 - abs(math.log10(trial.config.training.adapter_lr) + 3) / 10 + trial.config.data.window.frames / 1e4


def test_a_grid_climbs_and_every_trial_is_in_the_optuna_file(tmp_path: Path) -> None:
    world = World(tmp_path, Search(), by_rate)
    assert world.drive().complete
    low, middle, high = world.climbed()
    assert sorted(low) == [(32, rate) for rate in RATES]
    assert middle == [(64, 1e-3), (64, 3e-3), (64, 3e-4)], "3 of 5, best first"
    assert high == [(128, 1e-3), (128, 3e-3)]
    assert len(world.ran) == len(set(world.ran)) == 10 == sum(rung_sizes(5, 3, 2))
    top = world.histories()[2].told[0]
    assert top.state == TrialState.COMPLETE
    (below,) = [p for p in world.histories()[1].told if p.user_attrs["digest"] == top.user_attrs["promoted_from"]]
    assert below.user_attrs["map_avg"] == top.user_attrs["promoted_with"]


@pytest.mark.parametrize("method", ["random", "optuna"])
def test_a_search_climbs_with_the_points_that_it_drew(method: Any, tmp_path: Path) -> None:
    world = World(tmp_path, Search(method=method, samples=6), by_rate)
    assert world.drive().complete
    low, middle, high = world.climbed()
    assert len(low) == 6
    distinct = set(low)
    assert len(middle) == math.ceil(len(distinct) / 2)
    assert len(high) == math.ceil(len(middle) / 2)
    scores = {rate: by_rate(Trial(config=with_values(GRID.base, {"training.adapter_lr": rate}))) for _, rate in low}
    assert scores[middle[0][1]] == max(scores.values())


@settings(max_examples=15, deadline=None)
@given(kills=st.lists(st.integers(0, 9), max_size=3), method=st.sampled_from(["grid", "optuna"]))
def test_a_study_that_is_killed_anywhere_climbs_as_one_that_was_not(
    kills: list[int], method: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def world() -> World:
        return World(tmp_path_factory.mktemp("w"), Search(method=method, samples=5), by_rate)

    whole, parts = world(), world()
    whole.drive()
    for kill in kills:
        parts.drive(kill_after=kill)
    ladder = parts.drive()
    assert ladder.complete
    assert len(parts.ran) == len(set(parts.ran)), "no trial is run twice"
    # With what a killed search had under way another point may come next; a grid's points are always the same.
    if method == "grid":
        assert parts.climbed()[1:] == whole.climbed()[1:]
        assert parts.rows == whole.rows
    again = parts.drive()
    assert again.trials[1:] == ladder.trials[1:]
    assert len(parts.ran) == len(set(parts.ran))


def test_infeasible_points_neither_climb_nor_count(tmp_path: Path) -> None:
    world = World(tmp_path, Search(), by_rate)
    world.states = {
        (32, 1e-3): "out_of_memory",
        (32, 1e-4): "too_large",
        (32, 1e-2): "failed",
        (64, 3e-3): "too_large",
    }
    assert world.drive().complete
    low, middle, high = world.histories()
    ends = {p.params["training.adapter_lr"]: (p.state, p.values) for p in low._study.get_trials()}
    assert ends[1e-3] == ends[1e-4] == (TrialState.PRUNED, None)
    assert ends[1e-2] == (TrialState.FAIL, None)
    assert all(p.constraints["fits"] > 0 for p in low.told if p.state == TrialState.PRUNED)
    # Two of five have a score, so one climbs; the first of the two does not fit there.
    assert [(p.params["training.adapter_lr"], p.state) for p in middle.told] == [
        (3e-3, TrialState.PRUNED),
        (3e-4, TrialState.COMPLETE),
    ]
    assert [p.params["training.adapter_lr"] for p in high.told] == [3e-4]


def test_a_rung_waits_for_its_last_trial(tmp_path: Path) -> None:
    world = World(tmp_path, Search(), by_rate)
    source = ListedSource(world.spaces[0].listed(), world.consider, lambda params, row: None)
    ladder = Halving(world.spaces, source, world.consider, eta=2, note=lambda rung, params, row: None)
    jobs = [ladder.next() for _ in RATES]
    assert all(isinstance(job, Job) for job in jobs)
    assert ladder.next() is LATER
    for job in jobs[:-1]:
        assert isinstance(job, Job)
        ladder.ended(job.digest, world.row(job.payload["trial"]))
        assert ladder.next() is LATER
    last = jobs[-1]
    assert isinstance(last, Job)
    ladder.ended(last.digest, {"state": "interrupted"})
    assert ladder.next() is None, "the rung has no end yet, so nobody climbs"
    assert not ladder.complete
