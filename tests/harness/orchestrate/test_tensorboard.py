"""TensorBoard's event files: what the driver hears is what is read back, over crashes and full disks."""

from pathlib import Path
from typing import Any

import pytest

from harness.orchestrate import event_files
from harness.orchestrate.event_files import PATTERN, EventFile, read_events, read_scalars
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.tensorboard import TensorBoard, run_name

JOB = Job(digest="0123456789abcdef", name="frames 16, seed 0", payload={})
AXES = {"data.window.frames": 16, "model.adapter": None, "model.head": "tridet", "seed": 0}


class Study:
    """A study's driver: what it says of its one trial goes into event files."""

    def __init__(self, folder: Path) -> None:
        self.warnings: list[str] = []
        self.board = TensorBoard(folder, lambda digest: AXES, self.warnings.append)
        self.board.know(JOB)
        self.run = folder / "frames-16,seed-0.01234567"

    def say(self, kind: Any, *, state: str | None = None, **values: Any) -> None:
        self.board.handle(Event(kind=kind, digest=JOB.digest, values=values, state=state))

    def epochs(self, first: int, last: int) -> None:
        for epoch in range(first, last + 1):
            self.say("report", epoch=epoch, epochs=4, loss=1 / epoch, regression=0.5, learning_rate=1e-4, peak_bytes=2)

    @property
    def points(self) -> list[tuple[str, int, float]]:
        return list(read_scalars(self.run))

    def curve(self, tag: str) -> list[tuple[int, float]]:
        return [(step, pytest.approx(value)) for found, step, value in self.points if found == tag]


def test_a_trials_reports_come_back_as_curves(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.say("started")
    study.epochs(1, 2)
    study.say("report", map_avg=0.4)
    study.say("ended", state="finished", map_avg=0.4, step_seconds=0.25, attempt=1)
    assert study.curve("train/loss") == [(1, 1.0), (2, 0.5)]
    assert study.curve("train/regression") == [(1, 0.5), (2, 0.5)]
    assert study.curve("train/learning_rate") == [(1, 1e-4), (2, 1e-4)]
    assert study.curve("cost/peak_bytes") == [(1, 2), (2, 2)]
    assert study.curve("test/map_avg") == [(2, 0.4)]
    assert study.curve("cost/step_seconds") == [(2, 0.25)]
    assert {tag.partition("/")[2] for tag, _, _ in study.points}.isdisjoint({"epoch", "epochs", "attempt"})


def test_the_axes_are_hyper_parameters(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.say("started")
    study.epochs(1, 1)
    study.say("ended", state="out_of_memory")
    data = event_files.message("plugin_hparams").HParamsPluginData
    found = {}
    for path in study.run.glob(PATTERN):
        for event in read_events(path):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    found[value.tag.rpartition("/")[2]] = data.FromString(value.metadata.plugin_data.content)
    given = found["session_start_info"].session_start_info.hparams
    assert given["data.window.frames"].number_value == 16
    assert given["model.head"].string_value == "tridet"
    assert given["model.adapter"].string_value == "None"
    metrics = {metric.name.tag for metric in found["experiment"].experiment.metric_infos}
    assert metrics == {"test/map_avg", "cost/peak_bytes", "cost/step_seconds"}
    failure = event_files.message("api").Status.Value("STATUS_FAILURE")
    assert found["session_end_info"].session_end_info.status == failure


def test_a_restarted_study_goes_on_without_a_step_twice(tmp_path: Path) -> None:
    killed = Study(tmp_path)
    killed.say("started")
    killed.epochs(1, 3)
    # Killed in the middle of a record, which stays cut off.
    (file,) = killed.run.glob(PATTERN)
    file.write_bytes(file.read_bytes()[:-5])
    again = Study(tmp_path)
    again.say("started")
    again.epochs(2, 4)
    again.say("report", map_avg=0.5)
    assert [step for step, _ in again.curve("train/loss")] == [1, 2, 3, 4]
    assert again.curve("test/map_avg") == [(4, 0.5)]
    assert len(list(again.run.glob(PATTERN))) == 2
    third = Study(tmp_path)
    third.say("started")
    third.say("report", map_avg=0.5)
    assert third.curve("test/map_avg") == [(4, 0.5)]


def test_a_trial_that_only_failed_to_start_has_no_points(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.say("started")
    study.say("ended", state="failed")
    assert study.points == []
    study.say("report", epoch=1, loss=float("nan"))
    assert study.points == []


def test_a_full_disk_is_said_once_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(tmp_path)
    study.say("started")

    def full(self: EventFile, **event: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "_write", full)
    study.epochs(1, 3)
    study.say("ended", state="finished")
    assert len(study.warnings) == 1
    assert "No space left on device" in study.warnings[0]
    assert str(tmp_path) in study.warnings[0]


def test_a_folder_that_cannot_be_made_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder belongs")
    study = Study(tmp_path / "tensorboard")
    study.say("started")
    study.epochs(1, 1)
    assert len(study.warnings) == 1


def test_a_damaged_record_ends_the_reading_of_its_file(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.scalars(1, {"a": 1.0})
    file.scalars(2, {"a": 2.0})
    (path,) = tmp_path.glob(PATTERN)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    assert list(read_scalars(tmp_path)) == [("a", 1, 1.0)]


def test_a_jobs_folder_has_no_odd_characters_and_is_its_own() -> None:
    assert run_name("kernel (3, 5), placement in/out, seed 0", "0123456789abcdef") == (
        "kernel-3,5-,placement-in-out,seed-0.01234567"
    )
    long = [run_name("x" * 300, digest) for digest in ("a" * 16, "b" * 16)]
    assert len(set(long)) == 2
    assert all(len(name) < 140 for name in long)


def test_a_search_adds_its_trials_later(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, lambda digest: AXES, pytest.fail)
    board.handle(Event(kind="started", digest=JOB.digest))
    board.handle(Event(kind="added", digest=JOB.digest, job=JOB))
    board.handle(Event(kind="report", digest=JOB.digest, values={"epoch": 1, "loss": 0.5}))
    assert list(read_scalars(tmp_path / run_name(JOB.name, JOB.digest))) == [("train/loss", 1, 0.5)]
