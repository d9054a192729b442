"""What goes wrong around a trial, its loader and its disk, ends in a row; what is on the disk stays whole."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.config import TrialConfig, with_values
from harness.data import loader_windows
from harness.data.guard import GIVEN_UP
from harness.tables import load
from harness.training import loop
from harness.training.report import SilentReporter
from harness.trial import UNWRITTEN, TrialJob, execute, write_record

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def job(small_world, small_trial: TrialConfig, tmp_path: Path, make_job) -> TrialJob:
    """Return a trial of one epoch."""
    training = replace(small_trial.training, epochs=1, warmup_epochs=0)
    return make_job(replace(small_trial, training=training), results=tmp_path / "results", dataset=small_world.index)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let the reading of one video hang until the event is set, where no decoder's timeout sees it."""
    released = threading.Event()
    read = loader_windows._read

    def hang(video, *arguments):
        if video.video_id == "video_2":
            released.wait()
        return read(video, *arguments)

    monkeypatch.setattr(loader_windows, "_read", hang)
    yield released
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith(GIVEN_UP):
            thread.join(60)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_hung_loader_is_a_failed_row_that_names_the_video_and_the_next_attempt_runs(
    job: TrialJob, hanging: threading.Event, workers: int
) -> None:
    job = replace(job, data_workers=workers, batch_timeout_s=3.0)
    execute(job.to_json(), SilentReporter())
    (row,) = load(job.results).to_pylist()
    assert row["state"] == "failed"
    assert "no batch and no sign of life from the loader for 3 s; it hangs in video video_2" in row["error"]
    assert "\n" not in row["error"]
    hanging.set()
    assert execute(replace(job, attempt=2, batch_timeout_s=600.0).to_json(), SilentReporter())["state"] == "finished"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse larger files of this process, as it does where a disk is full."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@contextmanager
def full_for(name: str) -> Iterator[None]:
    """Let the disk be full for files whose name has this in it, when they are flushed."""
    flush = os.fsync

    def refuse(handle: int) -> None:
        if name in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(28, "No space left on device")
        flush(handle)

    os.fsync = refuse
    try:
        yield
    finally:
        os.fsync = flush


@pytest.mark.parametrize(
    ("full", "file"),
    [
        (lambda: files_of_at_most(40_000), "checkpoint.pt"),
        (lambda: full_for("checkpoint.pt"), "checkpoint.pt"),
        (lambda: full_for("curve.jsonl"), "curve.jsonl"),
        (lambda: full_for("detector.pt"), "detector.pt"),
        (lambda: full_for("detections.json"), "detections.json"),
    ],
    ids=["refused by the system", "checkpoint", "curve", "detector", "detections"],
)
def test_a_full_disk_is_a_failed_row_that_names_the_file_and_the_trial_can_go_on(
    job: TrialJob, full: Callable[[], AbstractContextManager[None]], file: str
) -> None:
    with full():
        summary = execute(job.to_json(), SilentReporter())
    (row,) = load(job.results).to_pylist()
    assert row["state"] == summary["state"] == "failed"
    assert file in row["error"]
    assert "File too large" in row["error"] or "No space left on device" in row["error"]
    assert "\n" not in row["error"]
    assert not list(job.work.rglob("*.tmp")), "nothing half-written is left"
    assert execute(replace(job, attempt=2).to_json(), SilentReporter())["state"] == "finished"


def test_a_disk_that_fills_up_in_the_middle_costs_one_epoch_and_changes_no_number(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job, config=with_values(job.config, {"training.epochs": 2}))
    whole = execute(replace(job, results=job.results / "whole").to_json(), SilentReporter())
    save, saved = loop.save_checkpoint, []

    def full_from_the_second_on(path: Path, *arguments, **settings) -> None:
        saved.append(path)
        with full_for("checkpoint.pt" if len(saved) > 1 else "nothing"):
            save(path, *arguments, **settings)

    monkeypatch.setattr(loop, "save_checkpoint", full_from_the_second_on)
    assert execute(job.to_json(), SilentReporter())["state"] == "failed"
    monkeypatch.undo()
    reporter = SilentReporter()
    again = execute(replace(job, attempt=2).to_json(), reporter)
    assert [report["epoch"] for report in reporter.reports if "epoch" in report] == [2]
    assert again["map_avg"] == whole["map_avg"]


def test_features_that_do_not_fit_on_the_disk_fail_the_trial_and_those_that_did_are_kept(job: TrialJob) -> None:
    config = with_values(job.config, {"model.tuning": "features", "model.adapter": None})
    job = replace(job, config=config)
    with full_for("video_3.npy"):
        execute(job.to_json(), SilentReporter())
    (row,) = load(job.results).to_pylist()
    assert row["state"] == "failed"
    assert "video_3.npy" in row["error"]
    assert sorted(path.stem for path in job.results.rglob("*.npy")) == ["video_0", "video_1", "video_2"]
    assert execute(replace(job, attempt=2).to_json(), SilentReporter())["state"] == "finished"


def test_a_frame_cache_without_room_changes_nothing(small_world, job: TrialJob, monkeypatch, tmp_path: Path) -> None:
    from harness.data.cache import FrameCache

    kept = FrameCache(folder=tmp_path / "frames", max_bytes=2**30)
    monkeypatch.setattr("harness.data.cache.cache_here", lambda size: kept)
    with full_for(".raw"):
        summary = execute(job.to_json(), SilentReporter())
    assert summary["state"] == "finished"
    assert not list(kept.folder.rglob("*.raw"))
    monkeypatch.setattr("harness.data.cache.cache_here", lambda size: None)
    plain = execute(replace(job, results=job.results / "plain").to_json(), SilentReporter())
    assert plain["map_avg"] == summary["map_avg"]


def test_a_traceback_that_cannot_be_kept_takes_no_row_away(job: TrialJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_luck(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(loop, "train_step", no_luck)
    (job.work / "traceback-1.txt").mkdir(parents=True)
    execute(job.to_json(), SilentReporter())
    (row,) = load(job.results).to_pylist()
    assert (row["state"], row["error"]) == ("failed", "ValueError: no such luck")


@pytest.mark.parametrize("name", [".parquet", "/curves/"])
def test_a_row_that_cannot_be_written_travels_on_and_can_be_written_later(job: TrialJob, name: str) -> None:
    with full_for(name):
        outcome = execute(job.to_json(), SilentReporter())
    assert outcome["state"] == "finished"
    assert (job.work / "checkpoint.pt").is_file(), "the next start need not train again"
    assert len(load(job.results)) == 0
    write_record(job, outcome[UNWRITTEN]["row"], outcome[UNWRITTEN]["curve"])
    (row,) = load(job.results).to_pylist()
    assert (row["state"], row["map_avg"]) == ("finished", outcome["map_avg"])
    assert row["data.window.frames"] == 32
    assert list((job.results / "curves").glob("*.parquet"))


def test_the_host_peak_of_a_trial_is_not_that_of_an_earlier_one(job: TrialJob) -> None:
    before = psutil.Process().memory_info().rss
    earlier = np.ones(2**30, dtype=np.uint8)
    del earlier
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > before + 0.9 * 2**30
    execute(job.to_json(), SilentReporter())
    (row,) = load(job.results).to_pylist()
    assert row["host_peak_bytes"] < before + 700 * 2**20
