"""Trials on a card that Ray only believes in: they share it by bytes and never overfill it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate.cluster import Cluster
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.packing import Need, Packing

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster(own_cluster: Any) -> Iterator[Cluster]:
    with own_cluster(num_cpus=2, num_gpus=1) as connected:
        yield connected


def test_trials_share_a_card_by_bytes(cluster: Cluster, tmp_path: Path) -> None:
    from dataclasses import replace

    from harness.orchestrate.nodes import survey
    from harness.orchestrate.sweep import run_sweep

    (node,) = survey(own=True)
    assert node.cpus == 2
    packing = Packing([replace(node, cards=(100,))])
    needs = {"a": 60, "b": 60, "c": 30}
    jobs = [
        Job(
            digest=name,
            name=name,
            payload={"work": str(tmp_path), "epochs": 3, "sleep_s": 0.5},
            need=Need(cpus=1, card_bytes=need),
        )
        for name, need in needs.items()
    ]
    events: list[Event] = []
    outcomes = run_sweep(
        cluster,
        jobs,
        execute="fake_trial.execute",
        num_slots=2,
        slots="fresh",
        gpus_per_worker=1.0,
        packing=packing,
        on_event=events.append,
    )
    assert [outcome.state for outcome in outcomes.values()] == ["finished"] * 3
    assert {name: outcome.result and outcome.result["card_bytes"] for name, outcome in outcomes.items()} == needs
    running: set[str] = set()
    for event in events:
        if event.kind == "started":
            running.add(str(event.digest))
        if event.kind == "ended":
            running.remove(str(event.digest))
        assert sum(needs[name] for name in running) <= 100
