"""A cluster of three raylets on this machine: one is killed while it runs a trial, and every trial ends well."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate.jobs import Event, Job

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


def test_a_killed_raylets_trial_goes_on_elsewhere_from_its_checkpoint(
    nodes: Any, remove_one: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.orchestrate.cluster import connect
    from harness.orchestrate.sweep import run_sweep

    workers = [nodes.add_node(num_cpus=1) for _ in range(2)]
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        if len(workers) == 2 and event.kind == "report" and (event.values.get("epoch") or 0) >= 2:
            workers.remove(remove_one(workers))

    payload = {"work": str(tmp_path), "epochs": 12, "sleep_s": 0.5}
    with connect(nodes.address, storage=str(tmp_path / "ray")) as cluster:
        assert cluster.num_cpus == 2
        outcomes = run_sweep(
            cluster,
            [Job(digest=name, name=name, payload=payload) for name in "abc"],
            execute="fake_trial.execute",
            num_slots=2,
            on_event=hear,
        )
    assert {digest: outcome.state for digest, outcome in outcomes.items()} == dict.fromkeys("abc", "finished")
    resumed = {digest: outcome.result["resumed_at"] for digest, outcome in outcomes.items() if outcome.result}
    lost = [str(event.digest) for event in events if event.kind == "retried"]
    assert len(lost) <= 1
    assert all(resumed[digest] >= 1 for digest in lost), "the trial that lost its node did not begin again"
    assert len(workers) == 1
