"""What goes wrong around a trial, its loader and its disk, ends in a row; what is on the disk stays whole."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import TrialConfig
from harness.data import loader_windows
from harness.data.loader_wait import WAITING_THREAD
from harness.tables import load
from harness.training.report import SilentReporter
from harness.trial import TrialJob, execute

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def job(small_world, small_trial: TrialConfig, tmp_path: Path) -> TrialJob:
    """Return a trial of one epoch."""
    training = replace(small_trial.training, epochs=1, warmup_epochs=0)
    return TrialJob(
        study="test",
        name="one",
        config=replace(small_trial, training=training),
        attempt=1,
        results=tmp_path / "results",
        dataset=small_world.index,
        weights=None,
        device="cpu",
        threads=1,
        data_workers=0,
        predicted_peak_bytes=None,
        slot="inline",
    )


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
        if thread.name == WAITING_THREAD:
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
