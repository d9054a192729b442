"""Checkpoints on the store: a trial whose machine is gone goes on elsewhere, as if nothing had happened."""

import threading
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig, digest
from harness.tables import load
from harness.training import copies as copies_module
from harness.training.copies import CHECKPOINT, CURVE, Copies, fetch_if_missing
from harness.training.report import SilentReporter
from harness.trial import TrialJob, execute


class Machine:
    """A machine with a folder of its own, and a store that others share."""

    def __init__(self, root: Path, name: str, store: Path) -> None:
        self.work = root / name / "study/work/0123"
        self.work.mkdir(parents=True, exist_ok=True)
        self.copies = Copies(f"file://{store}", self.work)

    def save(self, epoch: int, step: int = 0, *, curve: bool = True) -> None:
        if curve:
            (self.work / CURVE).write_text("".join(f"{n}\n" for n in range(1, epoch + 1)))
        temporary = self.work / "new"
        torch.save({"position": {"epoch": epoch, "step": step}, "machine": self.work.parts[-4]}, temporary)
        temporary.replace(self.work / CHECKPOINT)
        self.copies.saved()

    @property
    def state(self) -> tuple[str, int, int] | None:
        if not (self.work / CHECKPOINT).is_file():
            return None
        found = torch.load(self.work / CHECKPOINT, weights_only=True)
        return found["machine"], found["position"]["epoch"], found["position"]["step"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_checkpoint_is_found_on_another_machine(tmp_path: Path, store: Path) -> None:
    one, other = (Machine(tmp_path, name, store) for name in ("one", "other"))
    one.save(1)
    one.save(2, 3)
    one.copies.settle()
    assert sorted(path.name for path in (store / "work/0123").iterdir()) == [CHECKPOINT, CURVE]
    other.copies.fetch(alone=True)
    assert other.state == ("one", 2, 3)
    assert (other.work / CURVE).read_text() == "1\n2\n"


@pytest.mark.parametrize(("own", "expected"), [((3, 0), "other"), ((2, 3), "other"), ((2, 2), "one"), ((1, 9), "one")])
def test_whichever_checkpoint_is_further_counts(
    tmp_path: Path, store: Path, own: tuple[int, int], expected: str
) -> None:
    one, other = (Machine(tmp_path, name, store) for name in ("one", "other"))
    one.save(2, 3)
    one.copies.settle()
    Machine(tmp_path, "other", tmp_path / "nowhere").save(*own)
    other.copies.fetch(alone=True)
    assert other.state is not None
    assert other.state[0] == expected
    assert list(other.work.glob(".*")) == []


def test_several_workers_all_take_the_stores(tmp_path: Path, store: Path) -> None:
    one, other = (Machine(tmp_path, name, store) for name in ("one", "other"))
    Machine(tmp_path, "other", tmp_path / "nowhere").save(5)
    other.copies.fetch(alone=False)
    assert other.state is None
    one.save(1)
    one.copies.settle()
    other.copies.fetch(alone=False)
    assert other.state == ("one", 1, 0)


def test_a_damaged_copy_is_not_used(tmp_path: Path, store: Path) -> None:
    one, other = (Machine(tmp_path, name, store) for name in ("one", "other"))
    one.save(2)
    one.copies.settle()
    copy = store / "work/0123" / CHECKPOINT
    copy.write_bytes(copy.read_bytes()[:100])
    other.copies.fetch(alone=True)
    assert other.state is None


def test_a_slow_store_gets_the_newest_and_holds_nobody_up(tmp_path: Path, store: Path, monkeypatch) -> None:
    one, other = (Machine(tmp_path, name, store) for name in ("one", "other"))
    begun, go_on = threading.Event(), threading.Event()
    write, count = copies_module.write_bytes, []

    def slowly(place, data) -> None:
        count.append(place.name)
        begun.set()
        assert go_on.wait(60)
        write(place, data)

    monkeypatch.setattr(copies_module, "write_bytes", slowly)
    one.save(1)
    assert begun.wait(60)
    for epoch in range(2, 8):
        one.save(epoch)
    go_on.set()
    one.copies.settle()
    assert count == [CURVE, CHECKPOINT] * 2
    other.copies.fetch(alone=True)
    assert other.state == ("one", 7, 0)


def test_a_store_that_cannot_be_written_ends_nothing(tmp_path: Path, store: Path, capfd) -> None:
    store.write_text("a file where the folder belongs")
    one = Machine(tmp_path, "one", store)
    one.save(1)
    one.copies.keep_only_results()
    assert "could not be copied" in capfd.readouterr().err


def test_without_a_store_nothing_happens(tmp_path: Path) -> None:
    copies = Copies(None, tmp_path)
    copies.fetch(alone=False)
    copies.saved()
    copies.keep_only_results()
    fetch_if_missing(None, tmp_path / "index.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_thread")
def test_a_trial_goes_on_where_a_machine_that_is_gone_left_it(
    small_world, small_trial: TrialConfig, tmp_path: Path, store: Path, make_job, stop_after
) -> None:
    store.mkdir()
    index = store / "index.json"
    index.write_bytes(small_world.index.read_bytes())

    def job(machine: str, tables: Path | None, attempt: int = 1) -> TrialJob:
        results = tmp_path / machine
        return make_job(
            small_trial,
            attempt=attempt,
            results=results,
            dataset=results / "index.json" if tables else small_world.index,
            tables=f"file://{tables}" if tables else None,
        )

    undisturbed = execute(job("alone", None).to_json(), SilentReporter())
    assert undisturbed["state"] == "finished"
    assert execute(job("gone", store).to_json(), stop_after(5))["state"] == "interrupted"
    later = stop_after(10**6)
    ended = execute(job("another", store, 2).to_json(), later)
    assert (ended["state"], ended["map_avg"]) == ("finished", undisturbed["map_avg"])
    assert len([report for report in later.reports if "epoch" in report]) < small_trial.training.epochs
    left = {path.name for path in (store / "work" / digest(small_trial)).iterdir()}
    assert "detections.json" in left
    assert not {CHECKPOINT, CURVE} & left
    rows = {row["attempt"]: row for row in load(store).to_pylist()}
    assert rows[2]["epochs_done"] == small_trial.training.epochs


@pytest.mark.usefixtures("one_thread")
def test_the_traceback_of_a_failed_trial_is_copied(
    small_world, small_trial: TrialConfig, tmp_path: Path, store: Path, make_job
) -> None:
    store.mkdir()
    broken = make_job(
        small_trial,
        attempt=3,
        results=tmp_path / "one",
        weights=tmp_path / "missing.pth",
        dataset=small_world.index,
        tables=f"file://{store}",
    )
    assert execute(broken.to_json(), SilentReporter())["state"] == "failed"
    assert "missing.pth" in (store / "work" / digest(small_trial) / "traceback-3.txt").read_text()
