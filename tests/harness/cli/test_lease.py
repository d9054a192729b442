"""One driver per study on a store that machines share; a folder below a view stands for the store."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pyarrow import fs

from harness.cli import claims, lease
from harness.cli.claims import Claim, Claims
from harness.cli.interrupts import interruptible
from harness.cli.lease import Lease, one_machine
from harness.cli.options import UserError
from harness.tables.storage import Place

FOREIGN = "another-machine"


@pytest.fixture
def store(tmp_path: Path) -> Place:
    return Place(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "lab/study", "s3://")


class Driver:
    """A driver that holds or wants the study."""

    def __init__(self, store: Place) -> None:
        self.lost: list[str] = []
        self.lease = Lease(store, self.lost.append)

    @property
    def name(self) -> str:
        return self.lease._claim.name


@pytest.fixture
def drivers(store: Place) -> Iterator[list[Driver]]:
    made = [Driver(store) for _ in range(3)]
    yield made
    for driver in made:
        if driver.lease._renewing.is_alive():
            driver.lease.release()


def age(store: Place, tmp_path: Path, name: str, seconds: float) -> None:
    """Let a claim have been renewed so long ago."""
    file = tmp_path / "lab/study/.driver" / f"{name}.json"
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def names(store: Place) -> set[str]:
    return set(Claims(store).read())


def test_a_second_driver_is_told_who_holds_the_study(store: Place, drivers: list[Driver]) -> None:
    first, second, _ = drivers
    first.lease.take()
    with pytest.raises(UserError, match=rf"s3://lab/study is in use: process {os.getpid()} on .* since .* UTC"):
        second.lease.take()
    assert names(store) == {first.name}


def test_the_study_is_free_once_its_driver_has_ended(store: Place) -> None:
    with one_machine(store, pytest.fail):
        assert len(names(store)) == 1
    assert names(store) == set()
    with one_machine(store, pytest.fail):
        pass


def test_a_driver_elsewhere_is_forgotten_when_it_is_not_heard_of(
    store: Place, tmp_path: Path, drivers: list[Driver]
) -> None:
    gone = Claim(machine=FOREIGN, held=True, host="beta", pid=7)
    Claims(store).write(gone)
    driver = drivers[0]
    age(store, tmp_path, gone.name, lease.STALE_S - 30)
    with pytest.raises(UserError, match="process 7 on beta"):
        driver.lease.take()
    age(store, tmp_path, gone.name, 60)
    driver.lease.take()
    assert names(store) == {driver.name}


def test_a_killed_driver_of_this_machine_is_forgotten_at_once(store: Place, drivers: list[Driver]) -> None:
    unused = max(psutil.pids()) + 4000
    Claims(store).write(Claim(pid=unused, held=True))
    # The same number, given to another process since.
    Claims(store).write(Claim(started=psutil.Process().create_time() - 500, held=True))
    drivers[0].lease.take()
    assert names(store) == {drivers[0].name}


def test_a_driver_that_was_taken_for_dead_learns_of_it(store: Place, tmp_path: Path, drivers: list[Driver]) -> None:
    slept, second, _ = drivers
    slept.lease.take()
    age(store, tmp_path, slept.name, lease.STALE_S + 60)
    second.lease.take()
    # It wakes up in the middle of a heartbeat, and its claim is back.
    Claims(store).write(replace(slept.lease._claim))
    slept.lease.beat()
    assert "has taken over s3://lab/study" in slept.lost[0]
    assert str(os.getpid()) in slept.lost[0]
    second.lease.beat()
    assert second.lost == []


def test_a_mark_that_was_removed_is_a_lost_study(store: Place, drivers: list[Driver]) -> None:
    drivers[0].lease.take()
    Claims(store).remove([drivers[0].name])
    drivers[0].lease.beat()
    assert "is gone" in drivers[0].lost[0]


def test_a_heartbeat_renews(store: Place, tmp_path: Path, drivers: list[Driver]) -> None:
    driver, second, _ = drivers
    driver.lease.take()
    age(store, tmp_path, driver.name, lease.STALE_S + 60)
    driver.lease.beat()
    with pytest.raises(UserError, match="is in use"):
        second.lease.take()


def test_a_store_that_cannot_be_reached_is_borne_for_a_while(
    store: Place, drivers: list[Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drivers[0]
    driver.lease.take()

    def cut_off(self: Claims) -> None:
        raise OSError("Couldn't connect to server")

    with monkeypatch.context() as patch:
        patch.setattr(Claims, "read", cut_off)
        driver.lease.beat()
        assert driver.lost == []
        driver.lease._renewed_s -= lease.STALE_S + 1
        driver.lease.beat()
    assert "could not be reached" in driver.lost[0]


def test_of_many_that_start_at_once_exactly_one_drives(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "TRIES", 40)
    monkeypatch.setattr(lease.time, "sleep", lambda seconds: threading.Event().wait(seconds / 50))
    together = threading.Barrier(6)
    holding: list[Lease] = []
    refused: list[str] = []

    def start() -> None:
        made = Lease(store, lambda reason: None)
        together.wait()
        try:
            made.take()
            holding.append(made)
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for held in holding:
        held.release()
    assert (len(holding), len(refused)) == (1, 5)


def test_a_damaged_claim_holds_until_it_is_stale(store: Place, tmp_path: Path, drivers: list[Driver]) -> None:
    folder = tmp_path / "lab/study/.driver"
    folder.mkdir(parents=True)
    (folder / "abc.json").write_text("{")
    with pytest.raises(UserError, match="some machine"):
        drivers[0].lease.take()
    age(store, tmp_path, "abc", lease.STALE_S + 60)
    drivers[0].lease.take()


def test_losing_the_study_stops_it_as_ctrl_c_does(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.05)
    said: list[str] = []

    def study() -> None:
        with one_machine(store, said.append):
            Claims(store).remove(list(names(store)))
            for _ in range(200):
                threading.Event().wait(0.1)  # what interrupts here is heard between two waits

    # As a study runs: without it, a shell that starts the tests in the background has them ignore Ctrl-C.
    with pytest.raises(KeyboardInterrupt), interruptible():
        study()
    assert said[0].endswith("is gone; stopping")


def test_a_machine_is_itself() -> None:
    assert claims.machine() == claims.machine() != ""
