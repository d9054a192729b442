"""What the tests on Ray share."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

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
