"""A worker notices what a trial left behind in its process, and is not disturbed by what every trial needs."""

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from harness.data.guard import NoSignOfLife, guarded
from harness.orchestrate import leftovers
from harness.orchestrate.leftovers import Leftovers

MIB = 2**20


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Give what was set aside back to the garbage collector."""
    yield
    gc.unfreeze()


def test_a_trial_that_leaves_arrays_behind_is_noticed_and_freed_memory_is_not() -> None:
    watch = Leftovers()
    assert watch.of_last_trial() is None, "the first one may import what all of them need"
    passing = np.ones(400 * MIB, dtype=np.uint8)
    del passing
    assert watch.of_last_trial() is None
    kept = np.ones(400 * MIB, dtype=np.uint8)
    left = watch.of_last_trial()
    assert left is not None
    assert left.endswith("of host memory")
    assert 300 < float(left.split()[0]) < 600, left
    assert "MiB" in left
    del kept


def test_what_is_only_held_by_a_cycle_is_collected_first() -> None:
    watch = Leftovers()
    watch.of_last_trial()
    cycle: list[object] = [np.ones(400 * MIB, dtype=np.uint8)]
    cycle.append(cycle)
    del cycle
    assert watch.of_last_trial() is None


def test_small_leaks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([1000, 1200, 1350, 1400, 1460])
    monkeypatch.setattr(leftovers, "_host_bytes", lambda: next(held) * MIB)
    watch = Leftovers()
    assert [watch.of_last_trial() for _ in range(4)] == [None, None, None, "260.0 MiB of host memory"]


def test_a_first_trial_that_leaves_gigabytes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([100, 2500])
    monkeypatch.setattr(leftovers, "_host_bytes", lambda: next(held) * MIB)
    assert Leftovers().of_last_trial() == "2.34 GiB of host memory"


def test_what_stays_on_the_card_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_card_bytes", lambda: 65 * MIB)
    assert Leftovers().of_last_trial() == "65.0 MiB on the card"


def test_a_thread_that_hangs_is_noticed_until_it_ends() -> None:
    released = threading.Event()
    watch = Leftovers()
    with pytest.raises(NoSignOfLife):
        guarded(released.wait, 0.1, lambda: 0.0, name="batch-loader")
    assert watch.of_last_trial() == "a thread that hangs (batch-loader)"
    released.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "batch-loader" in thread.name:
            thread.join(60)
    assert watch.of_last_trial() is None
