"""What becomes of a study's jobs around the sweep; Ray is made up here."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from rich.console import Console

from harness import presets
from harness.orchestrate import run
from harness.orchestrate.cluster import Cluster
from harness.orchestrate.packing import Node
from harness.orchestrate.telling import Telling
from harness.tables import load
from harness.trial import TrialJob

GIB = 2**30


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_job: Callable[..., TrialJob]) -> Callable[..., bool]:
    """Return a function that runs one trial on a machine of 4 GiB with a sweep of the test's own."""

    before: list[Callable[[], None]] = [lambda: None]

    @contextlib.contextmanager
    def connect(address: str | None) -> Iterator[Cluster]:
        before[0]()
        yield Cluster(own=True, dashboard_url=None, resources={"CPU": 2.0}, storage=str(tmp_path))

    def start(
        sweep: Callable[..., Any],
        *,
        peak: int,
        on_row: Callable[[Any], None] = print,
        survey: Callable[[bool], list[Node]] = lambda own: [Node(name="a", cpus=2, host_bytes=4 * GIB)],
        starting: Callable[[], None] = lambda: None,
    ) -> bool:
        before[0] = starting
        monkeypatch.setattr(run, "run_sweep", sweep)
        monkeypatch.setattr(run, "connect", connect)
        monkeypatch.setattr(run, "survey", survey)
        job = make_job(presets.synthetic_adatad(), predicted_peak_bytes=peak, slot="warm")
        options = run.SweepOptions(slots="warm", workers=1, gpus_per_worker=0.0, max_concurrent=None, address=None)
        telling = Telling(folder=tmp_path, console=Console(), quiet=True, on_row=on_row)
        return run.run_trials([job], options=options, done_before=0, telling=telling)

    return start


def test_a_board_that_dies_is_one_sentence_that_says_how_to_go_on(
    run_with: Callable[..., bool], tmp_path: Path
) -> None:
    def dies(*args: Any, **options: Any) -> None:
        raise ActorDiedError

    with pytest.raises(ConnectionError, match=r"Ray went away .* start the same command again to go on"):
        run_with(dies, peak=GIB)
    assert not (tmp_path / "live.json").exists()


def test_a_trial_that_fits_nowhere_is_a_row_at_once(run_with: Callable[..., bool], tmp_path: Path) -> None:
    ran: list[Any] = []
    rows: list[Any] = []

    def sweep(cluster: Cluster, jobs: list[Any], **options: Any) -> dict[str, Any]:
        ran.extend(jobs)
        return {}

    assert not run_with(sweep, peak=8 * GIB, on_row=rows.append), "nobody stopped the study"
    assert ran == []
    assert [row["state"] for row in rows] == ["too_large"]
    (row,) = load(tmp_path).to_pylist()
    assert row["error"] == "needs 8.68 GiB of host memory, which no machine of the cluster has"


def test_an_interrupt_that_the_sweep_never_saw_stops_the_study_all_the_same(run_with: Callable[..., bool]) -> None:
    def sweep(*arguments: Any, **options: Any) -> dict[str, Any]:
        signal.raise_signal(signal.SIGINT)
        return {}

    assert run_with(sweep, peak=GIB)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_ray_starts_waits_until_it_is_up_and_then_runs_nothing(
    run_with: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    started: list[str] = []

    def survey(own: bool) -> list[Node]:
        raise AssertionError("the study went on")

    def sweep(*arguments: Any, **options: Any) -> dict[str, Any]:
        raise AssertionError("the study went on")

    def start() -> None:
        # Ray takes SIGTERM for itself on its way.
        signal.raise_signal(number)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        started.append("ray")

    with pytest.raises(KeyboardInterrupt):
        run_with(sweep, peak=GIB, survey=survey, starting=start)
    assert started == ["ray"]


def test_ray_that_a_signal_took_away_with_the_study_is_no_error(run_with: Callable[..., bool]) -> None:
    def sweep(*arguments: Any, **options: Any) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        raise ActorDiedError

    with pytest.raises(KeyboardInterrupt):
        run_with(sweep, peak=GIB)
