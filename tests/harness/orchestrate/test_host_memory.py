"""Ray's own memory monitor kills a trial that takes the machine's memory: a row, and the study goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.orchestrate.cluster import Cluster
from harness.orchestrate.failures import HOST_MEMORY
from harness.orchestrate.jobs import Job

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

ROOM = 3 << 30
"""What may be taken before the monitor acts: more than Ray itself needs to start."""


@pytest.fixture(scope="module")
def cluster(own_cluster: Any) -> Iterator[Cluster]:
    memory = psutil.virtual_memory()
    if memory.available < 3 * ROOM:
        pytest.skip(f"{memory.available >> 30} GiB of memory are free, expected {3 * ROOM >> 30}")
    with pytest.MonkeyPatch.context() as patch:
        used = memory.total - memory.available
        patch.setenv("RAY_memory_usage_threshold", f"{(used + ROOM) / memory.total:.3f}")
        patch.setenv("RAY_memory_monitor_refresh_ms", "100")
        with own_cluster(num_cpus=2) as connected:
            yield connected


def test_a_trial_that_takes_the_machines_memory_is_killed_and_the_next_one_runs(
    cluster: Cluster, tmp_path: Path
) -> None:
    from harness.orchestrate.sweep import run_sweep

    specs: dict[str, dict[str, Any]] = {"greedy": {"hogs_mib": 2 * ROOM >> 20}, "modest": {}}
    jobs = [Job(digest=name, name=name, payload={"work": str(tmp_path), **spec}) for name, spec in specs.items()]
    outcomes = run_sweep(cluster, jobs, execute="fake_trial.execute", num_slots=1, log_dir=tmp_path / "logs")
    assert {name: (outcome.state, outcome.error) for name, outcome in outcomes.items()} == {
        "greedy": ("out_of_memory", f"{HOST_MEMORY}; it was started 3 times"),
        "modest": ("finished", None),
    }
