"""Warm slots on a real Ray: out of memory, memory left behind, an early end, with one worker and with two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate.cluster import Cluster
from harness.orchestrate.jobs import Event, Job, Outcome
from harness.orchestrate.stopping import Judging

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster(own_cluster: Any) -> Iterator[Cluster]:
    with own_cluster(num_cpus=2) as connected:
        yield connected


def sweep(
    cluster: Cluster, folder: Path, specs: dict[str, dict[str, Any]], **options: Any
) -> tuple[dict[str, Outcome], list[Event]]:
    from harness.orchestrate.sweep import run_sweep

    jobs = [Job(digest=name, name=name, payload={"work": str(folder), **spec}) for name, spec in specs.items()]
    events: list[Event] = []
    outcomes = run_sweep(
        cluster, jobs, execute="fake_trial.execute", num_slots=1, on_event=events.append, log_dir=folder, **options
    )
    return outcomes, events


def test_a_warm_worker_goes_on_after_out_of_memory_and_is_renewed_after_a_leak(
    cluster: Cluster, tmp_path: Path
) -> None:
    specs = {"full": {"full": True}, "first": {}, "leaks": {"leaks_mib": 600}, "next": {}, "last": {}}
    outcomes, events = sweep(cluster, tmp_path, specs)
    assert outcomes["full"].state == "out_of_memory"
    assert outcomes["full"].error == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    results = {digest: dict(outcome.result or {}) for digest, outcome in outcomes.items() if digest != "full"}
    assert all(result["state"] == "finished" for result in results.values())
    pids = {digest: result["pid"] for digest, result in results.items()}
    assert pids["first"] == pids["leaks"], "nothing was left before"
    assert pids["leaks"] != pids["next"] == pids["last"]
    assert results["next"]["left_behind"] == 0, "the next trial finds the process as if it were the first"
    (renewed,) = [event.reason or "" for event in events if event.kind == "renewed"]
    assert renewed.startswith("its last trial left 6")
    assert renewed.endswith("MiB of host memory behind")
    assert not [event for event in events if event.kind == "retried"]


def test_two_workers_end_early_together_and_are_renewed_together_when_one_leaks(
    cluster: Cluster, tmp_path: Path
) -> None:
    def trial(loss: float, **more: Any) -> dict[str, Any]:
        return {"loss": loss, "epochs": 8, "sleep_s": 0.2, **more}

    specs = {"a": trial(1.0), "b": trial(2.0), "c": trial(0.5, leaks_mib=600, leaking_rank=1), "d": trial(0.25)}
    judging = Judging(scheduler="asha", metric="loss", epochs=8)
    outcomes, events = sweep(cluster, tmp_path, specs, workers_per_slot=2, judging=judging)
    states = {digest: outcome.state for digest, outcome in outcomes.items()}
    assert states == {"a": "finished", "b": "stopped_early", "c": "finished", "d": "finished"}
    stopped_at = {int((tmp_path / f"b.{rank}").read_text()) for rank in (0, 1)}
    assert len(stopped_at) == 1, "both ranks ended in the same epoch"
    assert stopped_at < {2, 3, 4, 5, 6, 7}
    results = {digest: dict(outcomes[digest].result or {}) for digest in "acd"}
    assert [result["world_size"] for result in results.values()] == [2, 2, 2]
    assert results["a"]["pid"] == results["c"]["pid"], "an early end costs no worker"
    assert results["c"]["pid"] != results["d"]["pid"]
    assert len([event for event in events if event.kind == "renewed"]) == 1, "one line, though two workers ended"
