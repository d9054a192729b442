"""`tadscale watch`: what a study writes about itself is what another terminal shows."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.cli.commands import watch
from harness.cli.options import Parser, UserError
from harness.orchestrate import gpu_use, live
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.live import FILE, LiveFile
from harness.orchestrate.progress import Progress

MIB = 2**20


class Study:
    """A study that runs on a clock of ours."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        jobs = [Job(digest=name, name=f"frames {name}", payload={}, predicted_peak_bytes=300 * MIB) for name in "abc"]
        display = Progress(jobs, done_before=1, quiet=True, console=Console(file=io.StringIO()), clock=self.clock)
        self.file = folder / FILE
        self.live = LiveFile(self.file, display, clock=self.clock)

    def clock(self) -> float:
        return self.now_s

    def say(self, kind, digest: str | None = None, *, after_s: float = 0.0, **more) -> None:
        self.now_s += after_s
        self.live.handle(Event(kind=kind, digest=digest, **more))

    @property
    def state(self) -> dict:
        return json.loads(self.file.read_text())


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "study").mkdir()
    made = Study(tmp_path / "study")
    made.say("slots", values={"up": 1, "wanted": 1})
    made.say("started", "a", values={"hand_out": 1})
    made.say("report", "a", after_s=30, values={"epoch": 1, "epochs": 4, "loss": 0.5, "peak_bytes": 310 * MIB})
    return made


def shown(state: dict, price: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(watch.render(state, price))
    return console.export_text()


def test_running_trials_are_shown_with_memory_against_prediction_and_time_left(study: Study) -> None:
    text = shown(study.state)
    assert "1 of 4 trials done, 1 running, 2 waiting, about 5 min 30 s left" in text
    assert all(part in text for part in ("frames a", "1/4", "0.500", "310 MiB", "300 MiB", "30 s"))


def test_the_cost_is_that_of_the_time_spent_and_left(study: Study) -> None:
    left_s = study.state["left_s"]
    text = shown(study.state, price=12.0)
    assert f"cost {12 * 30 / 3600:.2f} of about {12 * (30 + left_s) / 3600:.2f}" in text


def test_states_that_need_attention_are_counted(study: Study) -> None:
    study.say("ended", "a", state="failed", reason="ValueError: no")
    assert study.state["states"] == {"failed": 1}
    assert "1 failed" in shown(study.state)


def test_the_file_is_written_at_most_once_a_second_and_gone_at_the_end(study: Study) -> None:
    before = study.file.read_bytes()
    study.say("report", "a", after_s=0.1, values={"epoch": 2})
    assert study.file.read_bytes() == before
    study.say("report", "a", after_s=1.0, values={"epoch": 2})
    assert study.state["running"][0]["epoch"] == 2
    study.live.__exit__(None, None, None)
    assert not study.file.exists()
    assert shown({}).strip() == "the study has ended"


def test_a_study_that_fell_silent_is_said_to_be(study: Study) -> None:
    state = {**study.state, "written": time.time() - 300}
    assert "not heard of for 5 min" in shown(state)


def test_the_command_finds_the_one_study_that_runs(study: Study, tmp_path: Path, capsys) -> None:
    parser = Parser()
    watch.add(parser.add_subparsers(parser_class=Parser))
    assert watch.run(parser.parse_args(["watch", "--once", "--results", str(tmp_path)])) == 0
    assert "1 of 4 trials done" in capsys.readouterr().out
    with pytest.raises(UserError, match="no study elsewhere is running"):
        watch.run(parser.parse_args(["watch", "elsewhere", "--results", str(tmp_path)]))


@pytest.mark.parametrize("option", ["--price-per-hour", "--price"])
def test_a_price_is_a_number_above_zero(option: str) -> None:
    parser = Parser()
    watch.add(parser.add_subparsers(parser_class=Parser))
    assert parser.parse_args(["watch", option, "2.5"]).price == 2.5
    for wrong in ("0", "-1", "nan", "cheap"):
        with pytest.raises(UserError, match=f"{wrong} is not a price above 0"):
            parser.parse_args(["watch", option, wrong])


def test_the_use_of_this_machines_gpus_is_shown(study: Study, monkeypatch) -> None:
    monkeypatch.setattr(gpu_use, "query", lambda: [(93.0, 40 * 2**30), (0.0, 2**29)])
    assert "GPU 0 93 % 40.00 GiB, GPU 1 0 % 512.0 MiB" in shown(study.state)


def test_a_study_is_seen_before_its_first_event_and_while_an_epoch_takes_long(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(live, "QUIET_S", 0.02)
    study = Study(tmp_path)
    with study.live:
        assert "starting Ray workers" in shown(study.state)
        before = study.state["written"]
        end = time.monotonic() + 30
        while study.state["written"] == before and time.monotonic() < end:
            time.sleep(0.02)
        assert study.state["written"] > before
    assert not study.file.exists()
