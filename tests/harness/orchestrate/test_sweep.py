"""Sweeps on a real local Ray: order, failures, a killed worker, both kinds of slot, Ctrl-C and kill -9."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from harness.orchestrate.cluster import Cluster
from harness.orchestrate.jobs import Event, Job, Outcome
from harness.orchestrate.stopping import Judging

# Ray and what it imports warn of their own deprecations.
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent


class Swept(NamedTuple):
    outcomes: dict[str, Outcome]
    events: list[Event]


@pytest.fixture(scope="module")
def cluster(own_cluster: Any) -> Iterator[Cluster]:
    with own_cluster(num_cpus=2) as connected:
        yield connected


def sweep(cluster: Cluster, folder: Path, specs: dict[str, dict[str, Any]], **options: Any) -> Swept:
    from harness.orchestrate.sweep import run_sweep

    jobs = [Job(digest=name, name=name, payload={"work": str(folder), **spec}) for name, spec in specs.items()]
    events: list[Event] = []
    outcomes = run_sweep(
        cluster, jobs, execute="fake_trial.execute", on_event=events.append, log_dir=folder / "logs", **options
    )
    return Swept(outcomes, events)


@pytest.fixture(scope="module")
def warm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    specs: dict[str, dict[str, Any]] = {"e": {}, "d": {"fails": True}, "c": {"deaths": 1}, "b": {}, "a": {}, "f": {}}
    return sweep(cluster, tmp_path_factory.mktemp("warm"), specs, num_slots=2)


def test_every_job_of_a_warm_sweep_ends_in_the_order_given(warm: Swept) -> None:
    states = {digest: outcome.state for digest, outcome in warm.outcomes.items()}
    assert list(states) == ["e", "d", "c", "b", "a", "f"]
    assert states == {
        "e": "finished",
        "d": "failed",
        "c": "finished",
        "b": "finished",
        "a": "finished",
        "f": "finished",
    }
    assert {event.digest for event in warm.events if event.kind == "ended"} == set(states)


def test_a_trial_that_raises_fails_with_its_reason_and_a_log(warm: Swept) -> None:
    outcome = warm.outcomes["d"]
    assert outcome.error == "ValueError: no such luck"
    assert outcome.result is None
    assert outcome.log is not None
    assert "fake_trial.py" in Path(outcome.log).read_text()


def test_a_trial_whose_worker_was_killed_goes_on_from_its_checkpoint(warm: Swept) -> None:
    result = warm.outcomes["c"].result
    assert result is not None
    assert result["resumed_at"] == 1
    retried = [event for event in warm.events if event.kind == "retried"]
    assert [event.reason for event in retried] == ["the worker process was killed"]


def test_warm_slots_keep_their_workers_between_trials(warm: Swept) -> None:
    results = [outcome.result for outcome in warm.outcomes.values() if outcome.result]
    assert len({result["pid"] for result in results}) <= 3, "two slots, and one worker that was started again"


def test_the_tune_process_and_the_study_load_no_torch(warm: Swept) -> None:
    code = "import sys, harness.orchestrate.sweep, harness.orchestrate.trainer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fresh_slots_start_a_worker_group_per_trial(cluster: Cluster, tmp_path: Path) -> None:
    swept = sweep(cluster, tmp_path, {"a": {}, "b": {}}, num_slots=1, slots="fresh")
    results = [outcome.result for outcome in swept.outcomes.values()]
    assert [outcome.state for outcome in swept.outcomes.values()] == ["finished", "finished"]
    assert len({result["pid"] for result in results if result}) == 2


def test_several_workers_share_a_trial(cluster: Cluster, tmp_path: Path) -> None:
    swept = sweep(cluster, tmp_path, {"a": {}, "b": {}}, num_slots=1, workers_per_slot=2)
    assert [outcome.result and outcome.result["world_size"] for outcome in swept.outcomes.values()] == [2, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.0", "a.1", "b.0", "b.1"]


def test_a_warm_group_of_two_that_dies_is_started_again_and_takes_further_trials(
    cluster: Cluster, tmp_path: Path
) -> None:
    swept = sweep(cluster, tmp_path, {"a": {"deaths": 1}, "b": {}}, num_slots=1, workers_per_slot=2)
    results = {digest: outcome.result for digest, outcome in swept.outcomes.items()}
    assert {digest: outcome.state for digest, outcome in swept.outcomes.items()} == {"a": "finished", "b": "finished"}
    assert [(result["world_size"], result["resumed_at"]) for result in results.values() if result] == [(2, 1), (2, 0)]


def test_a_scheduler_ends_a_trial_that_lags_behind_and_its_worker_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    # The losses say the opposite, as they may between heads.
    trials = (("a", 0.02, 2.0), ("b", 0.01, 1.0), ("c", 0.04, 3.0))
    specs = {name: {"map": score, "loss": loss, "epochs": 12, "sleep_s": 0.2} for name, score, loss in trials}
    judging = Judging(scheduler="asha", metric="map", epochs=12)
    swept = sweep(cluster, tmp_path, specs, num_slots=1, judging=judging)
    states = {digest: outcome.state for digest, outcome in swept.outcomes.items()}
    assert states == {"a": "finished", "b": "stopped_early", "c": "finished"}
    assert 3 <= int((tmp_path / "b.0").read_text()) < 9, "it ended at its first rung"


def test_a_search_draws_points_until_there_are_enough(cluster: Cluster, tmp_path: Path) -> None:
    from harness import presets
    from harness.orchestrate.history import History
    from harness.orchestrate.points import PointSource
    from harness.orchestrate.space import Space
    from harness.study import Grid, Range, Search, Trial

    grid = Grid(base=presets.synthetic_adatad(), axes={"training.adapter_lr": (1e-4, 1e-3)})
    search = Search(method="optuna", samples=5, ranges={"training.adapter_lr": Range(low=1e-4, high=1e-2)})
    history = History(tmp_path / "study", Space(grid, search))

    def consider(trial: Trial) -> Job:
        return Job(digest=trial.digest, name="one", payload={"work": str(tmp_path)})

    source = PointSource(history, consider, budget_bytes=100)
    swept = sweep(cluster, tmp_path, {}, num_slots=2, source=source)
    assert [outcome.state for outcome in swept.outcomes.values()] == ["finished"] * 5
    assert {event.job.digest for event in swept.events if event.job} == swept.outcomes.keys()
    assert [point.values for point in history.told] == [[0.25]] * 5
    assert {point.user_attrs["digest"] for point in history.told} == swept.outcomes.keys()


def processes(title: str) -> list[psutil.Process]:
    """Return the processes of this test's Ray that go by a name."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if " ".join(child.cmdline()).startswith(title):
                found.append(child)
    return found


@contextlib.contextmanager
def killing(title: str, times: int) -> Iterator[set[int]]:
    """Kill processes of a name, each as soon as it is there, while the block runs; give the numbers of the dead."""
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.wait(0.1):
            for process in processes(title)[: times - len(killed)]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    killed.add(process.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("times", [1, 4])
def test_killed_relays_cost_no_trial_its_run(cluster: Cluster, tmp_path: Path, times: int) -> None:
    # Tune starts a relay again once; after four deaths it has given up on both trials.
    with killing("ray::ImplicitFunc", times) as killed:
        swept = sweep(cluster, tmp_path, {name: {"epochs": 20, "sleep_s": 0.3} for name in "ab"}, num_slots=1)
    assert len(killed) == times
    assert [outcome.state for outcome in swept.outcomes.values()] == ["finished", "finished"]
    assert [outcome.result and outcome.result["resumed_at"] for outcome in swept.outcomes.values()] == [0, 0]
    started = [event.digest for event in swept.events if event.kind == "started"]
    ended = [event.digest for event in swept.events if event.kind == "ended"]
    # Each once; which comes first is up to whose relay died first.
    assert sorted(started) == sorted(ended) == ["a", "b"]


def test_a_ladder_is_climbed_rung_by_rung_and_what_it_knows_is_not_run_again(cluster: Cluster, tmp_path: Path) -> None:
    from harness import presets
    from harness.orchestrate.fidelity import ladder, rungs
    from harness.orchestrate.halving import Halving
    from harness.orchestrate.history import History
    from harness.orchestrate.listed import ListedSource
    from harness.orchestrate.space import Space
    from harness.study import Fidelity, Grid, Search, Trial

    rates = {1e-4: 0.1, 3e-4: 0.5, 1e-3: 0.3, 3e-3: 0.4}
    grid = Grid(base=presets.synthetic_adatad(), axes={"training.adapter_lr": tuple(rates)})
    fidelity = Fidelity(path="data.window.frames", values=(32, 64, 128), eta=2)
    spaces = [Space(rung, Search()) for rung in rungs(ladder(grid, fidelity))]
    rows: dict[str, Any] = {}

    def climb(*, crash: bool) -> Swept:
        histories = [History(tmp_path / "study", space, rung=str(number)) for number, space in enumerate(spaces)]

        def consider(trial: Trial) -> Any:
            rate, frames = trial.config.training.adapter_lr, trial.config.data.window.frames
            payload = {"work": str(tmp_path), "final_map": rates[rate] + frames / 1e4}
            payload |= {"fails": True} if crash and frames == 64 else {}
            return rows.get(trial.digest) or Job(digest=trial.digest, name=f"{rate} {frames}", payload=payload)

        first = ListedSource(spaces[0].listed(), consider, lambda params, row: histories[0].note(params, row))
        source = Halving(
            spaces, first, consider, eta=2, note=lambda rung, params, row: histories[rung].note(params, row)
        )
        swept = sweep(cluster, tmp_path, {}, num_slots=2, source=source)
        rows.update(
            {digest: {"digest": digest, **done.result} for digest, done in swept.outcomes.items() if done.result}
        )
        return swept

    def names(swept: Swept) -> list[str]:
        return sorted(event.job.name for event in swept.events if event.job)

    crashed, whole = climb(crash=True), climb(crash=False)
    low = [f"{rate} 32" for rate in sorted(rates)]
    assert names(crashed) == sorted([*low, "0.0003 64", "0.003 64"]), "nobody climbs from a rung without a score"
    assert names(whole) == sorted(["0.0003 64", "0.003 64", "0.0003 128"]), "the lowest rung is known"
    assert [outcome.state for outcome in whole.outcomes.values()] == ["finished"] * 3
    top = History(tmp_path / "study", spaces[2], rung="2").told
    assert [(point.values, point.params["training.adapter_lr"]) for point in top] == [([0.5 + 128 / 1e4, 1.0], 3e-4)]


def start_study(folder: Path) -> subprocess.Popen[str]:
    """Start a long sweep in a process group of its own and wait for its first trial."""
    study = subprocess.Popen(
        [sys.executable, str(HERE / "long_sweep.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert study.stdout is not None
    for line in study.stdout:
        if line.startswith("started"):
            return study
    raise AssertionError("the study ended before its first trial started")


def test_ctrl_c_lets_the_running_trial_save_and_leaves_nothing_behind(tmp_path: Path) -> None:
    study = start_study(tmp_path)
    children = psutil.Process(study.pid).children(recursive=True)
    os.killpg(study.pid, signal.SIGINT)
    output, _ = study.communicate(timeout=60)
    assert study.returncode == 0
    assert output.splitlines()[-1] == "{'a': 'interrupted'}", "b never began, so nothing is said of it"
    assert "Traceback" not in output
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_a_killed_study_takes_its_workers_with_it(tmp_path: Path) -> None:
    study = start_study(tmp_path)
    children = psutil.Process(study.pid).children(recursive=True)
    os.kill(study.pid, signal.SIGKILL)
    study.communicate(timeout=30)
    epochs = tmp_path / "a.0"
    time.sleep(3)
    before = epochs.read_text() if epochs.exists() else None
    # Two agents of Ray's dashboard notice a little later than the rest; neither works or holds memory to speak of.
    alive = [child for child in psutil.wait_procs(children, timeout=12)[1] if "Agent" not in " ".join(child.cmdline())]
    assert alive == []
    assert (epochs.read_text() if epochs.exists() else None) == before
