"""A cluster of several raylets on this machine that grows and shrinks while a study runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.packing import Need, Node, Packing

# A minute and more, and of all tests the one that leans most on Ray's own test cluster.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


def test_a_node_that_joins_runs_trials_and_one_that_leaves_leaves_its_trial_to_the_other(
    nodes: Any, remove_one: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.orchestrate.cluster import connect
    from harness.orchestrate.following import Following
    from harness.orchestrate.nodes import survey
    from harness.orchestrate.sweep import run_sweep

    first = nodes.add_node(num_cpus=1)
    joined: list[Any] = []
    left: list[Any] = []
    ran_on: dict[str, set[str]] = {}
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        if event.kind == "started" and not joined:
            joined.append(nodes.add_node(num_cpus=1))
        used = {name for names in ran_on.values() for name in names}
        if event.kind == "ended" and len(used) == 2 and not left:
            left.append(remove_one([first, *joined]))

    def ended(outcome: Any) -> None:
        if outcome.result:
            ran_on.setdefault(outcome.digest, set()).add(outcome.result["node"])

    payload = {"work": str(tmp_path), "epochs": 6, "sleep_s": 0.5}
    with connect(nodes.address, storage=str(tmp_path / "ray")) as cluster:
        machines = survey(own=False)
        assert len(machines) == 1
        grown: list[int] = []

        def slots_for(nodes: Sequence[Node]) -> int:
            grown.append(len(nodes))
            return len(nodes)

        outcomes = run_sweep(
            cluster,
            [Job(digest=name, name=name, payload=payload, need=Need(host_bytes=1)) for name in "abcdefghijklmnop"],
            execute="fake_trial.execute",
            num_slots=1,
            packing=Packing(machines),
            following=Following(machines),
            slots_for=slots_for,
            on_event=hear,
            on_end=ended,
        )
    assert [outcome.state for outcome in outcomes.values()] == ["finished"] * 16
    assert grown[:2] == [2, 1], "the second machine was seen to come, and one to go"
    assert len({name for names in ran_on.values() for name in names}) == 2, "both machines ran trials"
