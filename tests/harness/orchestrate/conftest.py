"""What the tests on Ray share."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate.cluster import Cluster, connect, in_use

OwnCluster = Callable[..., AbstractContextManager[Cluster]]


@pytest.fixture(scope="module")
def own_cluster() -> OwnCluster:
    """Return what starts a cluster of the module's own, whose workers find the fake trials of this folder.

    A study leaves the threads that are still inside Ray behind, and ends with them. Here another module comes after it.
    """

    @contextlib.contextmanager
    def start(**how: int) -> Iterator[Cluster]:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RAY_ADDRESS", raising=False)
            patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
            with connect(**how) as connected:
                yield connected
                give_up_at = time.monotonic() + 60
                while in_use() and time.monotonic() < give_up_at:
                    time.sleep(0.1)

    return start


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a cluster to which raylets can be added on this machine; its head runs no trial."""
    from ray.cluster_utils import Cluster

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def remove_one(nodes: Any) -> Callable[..., Any]:
    """Return what kills the first of several raylets that this process does not speak to Ray through, and returns it.

    Ray connects a driver to any raylet of its machine; with that one gone the test itself would end.
    """

    def remove(candidates: list[Any]) -> Any:
        from ray._private.worker import global_worker

        spoken_to: Any = global_worker.node
        victim = next(node for node in candidates if node._raylet_socket_name != spoken_to._raylet_socket_name)
        nodes.remove_node(victim, allow_graceful=False)
        return victim

    return remove


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the clusters that ask for no token: a process that has sent one to Ray cannot go without again."""
    items.sort(key=lambda item: "nodes" not in getattr(item, "fixturenames", ()))
