"""Joining and sizing, as far as they need no running cluster."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.orchestrate.cluster import Cluster, connect, num_slots


def test_a_dead_address_is_one_sentence_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(ValueError, match=f"no Ray cluster answers at {address}"):
        connect(address)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:port"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ValueError, match=f"the Ray address is {address}, expected HOST:PORT"):
        connect(address)


def test_slots_are_what_jobs_cpus_and_gpus_allow() -> None:
    cluster = Cluster(own=True, dashboard_url=None, resources={"CPU": 8.0, "GPU": 1.0}, storage="/tmp")
    assert num_slots(cluster, 100, workers=1, cpus_per_worker=1, gpus_per_worker=0) == 8
    assert num_slots(cluster, 3, workers=1, cpus_per_worker=1, gpus_per_worker=0) == 3
    assert num_slots(cluster, 100, workers=2, cpus_per_worker=2, gpus_per_worker=0) == 2
    assert num_slots(cluster, 100, workers=1, cpus_per_worker=1, gpus_per_worker=0.25) == 4
    with pytest.raises(ValueError, match="one trial needs 2 GPUs, but the cluster has 1"):
        num_slots(cluster, 1, workers=2, cpus_per_worker=1, gpus_per_worker=1)


@pytest.mark.parametrize("name", ["head", "raylet"])
def test_a_dead_head_or_raylet_is_noticed_at_once(name: str) -> None:
    from ray.exceptions import RayError

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        processes = {name: psutil.Process(started.pid)}
        cluster = Cluster(own=True, dashboard_url=None, resources={}, storage="/tmp", _processes=processes)
        cluster.check()
        started.kill()
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)  # what nobody asked for its exit code is a zombie
        with pytest.raises(RayError, match=f"its {name} process was killed"):
            cluster.check()


def test_a_cluster_that_does_not_come_up_is_started_again_and_then_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started: list[subprocess.Popen[bytes]] = []

    def init(**options: object) -> None:
        # As Ray does when its own 30 s have passed: parts of it run, and a bare exception says so.
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(ConnectionError, match="Ray did not start on this machine: The current node timed out"):
        connect()
    assert [process.wait(timeout=30) for process in started] == [-signal.SIGKILL] * 3
    assert not list(Path("/tmp").glob(f"tad-{os.getpid()}-*"))
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
