"""What the display shows, with a clock and a console of our own."""

import io
from typing import Any

import pytest
from rich.console import Console

from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.progress import Progress
from harness.orchestrate.screen import duration

MIB = 2**20


class Stage:
    """A display, its clock and what it printed."""

    def __init__(
        self, *, terminal: bool = False, quiet: bool = False, done_before: int = 0, price: float | None = None
    ):
        jobs = [Job(digest=d, name=f"frames={d}", payload={}, predicted_peak_bytes=300 * MIB) for d in "abcd"]
        self.now_s = 0.0
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=terminal, width=100, color_system=None)
        self.progress = Progress(
            jobs, done_before=done_before, quiet=quiet, console=console, price=price, clock=lambda: self.now_s
        )

    def say(self, kind: Any, digest: str | None = None, *, after_s: float = 0.0, **more: Any) -> None:
        self.now_s += after_s
        self.progress.handle(Event(kind=kind, digest=digest, **more))

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def look(self) -> str:
        console = Console(file=io.StringIO(), width=100, record=True)
        console.print(self.progress.render())
        return console.export_text()


def test_a_log_file_gets_a_line_per_start_and_end_and_one_every_ten_seconds() -> None:
    stage = Stage()
    stage.say("slots", values={"up": 1, "wanted": 1})
    stage.say("started", "a", values={"hand_out": 1})
    for _ in range(50):
        stage.say("report", "a", after_s=0.5, values={"epoch": 1, "epochs": 4, "loss": 0.5})
    stage.say("ended", "a", state="finished", values={"map_avg": 0.512, "peak_bytes": 310 * MIB})
    assert stage.lines[0] == "started frames=a"
    assert stage.lines[-1] == "finished frames=a  mAP 51.2, 310 MiB (predicted 300 MiB), 25 s"
    between = stage.lines[1:-1]
    assert len(between) == 2
    assert all("1 running, 3 waiting" in line for line in between)
    assert all("frames=a: epoch 1/4, loss 0.500" in line for line in between)


def test_a_failure_is_one_line_with_its_reason_and_its_log() -> None:
    stage = Stage()
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("ended", "a", state="failed", reason="ValueError: bad [luck]", log="results/a.log")
    assert stage.lines[-1] == "failed frames=a: ValueError: bad [luck] (traceback in results/a.log)"
    assert "1 failed" in stage.progress.summary()


def test_a_restart_is_said_and_counts_as_the_same_trial() -> None:
    stage = Stage()
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("retried", "a", reason="the worker process was killed")
    stage.say("started", "a", values={"hand_out": 2})
    assert stage.lines[1:] == ["restarting frames=a from its checkpoint: the worker process was killed"]
    assert stage.progress.summary().startswith("0 of 4 trials done, 1 running")


def test_the_terminal_shows_running_trials_with_memory_against_prediction() -> None:
    stage = Stage(terminal=True, done_before=2)
    assert "2 of 6 trials done, 0 running, 4 waiting, starting Ray workers" in stage.look()
    stage.say("slots", values={"up": 2, "wanted": 2})
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("report", "a", after_s=10, values={"epoch": 1, "epochs": 4, "loss": 0.25, "peak_bytes": 310 * MIB})
    row = next(line for line in stage.look().splitlines() if "frames=a" in line)
    assert row.split() == ["frames=a", "1/4", "0.250", "310", "MiB", "300", "MiB", "10", "s"]


@pytest.mark.parametrize(("slots", "left_s"), [(1, 30 + 3 * 40), (2, (30 + 3 * 40) / 2)])
def test_the_time_left_follows_from_epochs_and_slots(slots: int, left_s: float) -> None:
    stage = Stage()
    stage.say("slots", values={"up": slots, "wanted": slots})
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("report", "a", after_s=10, values={"epoch": 1, "epochs": 4})
    assert stage.progress.left_s() == pytest.approx(left_s)


def test_quiet_is_silent() -> None:
    stage = Stage(terminal=True, quiet=True)
    with stage.progress:
        stage.say("started", "a", values={"hand_out": 1})
        stage.say("ended", "a", after_s=60, state="failed", reason="ValueError: no")
    assert stage.lines == []


def test_a_live_display_leaves_the_lines_of_ended_trials_behind() -> None:
    stage = Stage(terminal=True)
    with stage.progress:
        stage.say("started", "a", values={"hand_out": 1})
        stage.say("ended", "a", after_s=5, state="finished", values={"map_avg": 0.5})
    assert any("finished frames=a  mAP 50.0, 5 s" in line for line in stage.lines)


def test_durations_read_as_people_say_them() -> None:
    assert [duration(s) for s in (0.4, 59, 90, 7500)] == ["0 s", "59 s", "1 min 30 s", "2 h 05 min"]


def test_columns_that_nobody_fills_are_not_shown() -> None:
    stage = Stage(terminal=True)
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("report", "a", after_s=10, values={"epoch": 1, "epochs": 4, "loss": 0.25})
    assert "GPU" not in stage.look()
    assert "mAP" not in stage.look()
    gpu = {"gpu_percent": 93.4, "gpu_used_bytes": 40 * 2**30}
    stage.say("report", "a", values={"epoch": 2, "epochs": 4, "map_avg": 0.305, **gpu})
    text = stage.look()
    assert "mAP %" in text
    assert "30.5" in text
    assert "93 % 40.00 GiB" in text


def test_features_are_counted_while_they_are_made() -> None:
    stage = Stage(terminal=True)
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("report", "a", values={"extracted": 12, "videos": 40})
    assert "features 12/40" in stage.look()


def test_trials_are_counted_by_state() -> None:
    stage = Stage(done_before=1)
    stage.say("slots", values={"up": 1, "wanted": 1})
    for digest, state in zip("abc", ("out_of_memory", "failed", "finished"), strict=True):
        stage.say("started", digest, values={"hand_out": 1})
        stage.say("ended", digest, after_s=60, state=state)
    assert stage.progress.summary() == (
        "3 of 5 trials done, 0 running, 1 waiting, 1 out of memory, 1 failed, about 1 min 00 s left"
    )


def test_the_cost_is_that_of_the_time_spent_and_left() -> None:
    stage = Stage(price=3.0)
    stage.say("slots", values={"up": 1, "wanted": 1})
    stage.say("started", "a", values={"hand_out": 1})
    stage.say("report", "a", after_s=1200, values={"epoch": 1, "epochs": 2, "loss": 1.0})
    # 20 min spent; the rest of this trial and three of 40 min are left.
    assert stage.progress.summary().endswith("about 2 h 20 min left, cost 1.00 of about 8.00")
