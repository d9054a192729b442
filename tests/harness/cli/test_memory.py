"""`tadscale memory` and `tadscale plan` through the command, at the laptop's size."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness import presets
from harness.cli.tadscale import main
from harness.config import digest, flatten, with_values
from harness.tables import write_row


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Return a function that runs the command here and returns its exit code, output and complaint."""

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def finished_trials(folder: Path, count: int) -> Path:
    for seed in range(count):
        config = with_values(presets.synthetic_adatad(), {"seed": seed})
        row = {"study": "s", "trial": f"seed {seed}", "digest": digest(config), "attempt": 1, "state": "finished"}
        row |= {"memory_source": "cpu_tracker", "predicted_peak_bytes": 1000, "peak_bytes": 1200}
        write_row(folder / "s", {**row, "ended_utc": datetime(2026, 1, 1, tzinfo=UTC), **flatten(config)})
    return folder


def test_the_breakdown_adds_up_to_the_peak_and_stands_beside_the_papers_set_up(run) -> None:
    code, out, _ = run("memory", "--preset", "tiny", "--device", "cpu", "--json")
    found = json.loads(out)
    here, paper = found["here"], found["paper's set-up"]
    assert code == 0
    assert sum(here["breakdown"].values()) == here["peak_bytes"]
    assert paper["breakdown"]["average"] > here["breakdown"]["average"]


def test_measured_trials_correct_the_prediction(run, tmp_path) -> None:
    results = finished_trials(tmp_path, 6)
    _, out, _ = run("memory", "--preset", "tiny", "--device", "cpu", "--json", "--calibrate", results)
    found = json.loads(out)
    assert found["calibration"]["trials"] == 6
    assert found["calibration"]["peak_bytes"] == pytest.approx(1.2 * found["here"]["peak_bytes"], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("memory", "--backbone", "videomae-xxl"), "videomae-xxl"),
        (("memory", "--device", "gtx480"), "gtx480"),
        (("memory", "--set", "data.window.frames=7"), "data.window.frames"),
        (("memory", "--preset", "tiny", "--device", "cpu", "--calibrate", "nowhere"), "nowhere"),
        (("plan", "--budget", "much"), "much"),
        (("plan", "--set", "model.head"), "model.head"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_value(run, arguments, named) -> None:
    code, _, complaint = run(*arguments)
    assert code == 2
    assert named in complaint
    assert complaint.count("\n") == 1


def test_too_few_measured_trials_are_refused_with_their_number(run, tmp_path) -> None:
    results = finished_trials(tmp_path, 2)
    code, _, complaint = run("memory", "--preset", "tiny", "--device", "cpu", "--calibrate", results)
    assert code == 2
    assert "2 finished trials" in complaint


def test_the_plan_names_the_fastest_policy_within_a_budget(run) -> None:
    tiny = ("plan", "--preset", "tiny", "--device", "cpu", "--set", "engine.policy=auto", "--set", "engine.keep=blocks")
    code, wide, _ = run(*tiny, "--budget", "1GiB")
    assert code == 0
    assert "every activation kept" in wide
    _, narrow, _ = run(*tiny, "--budget", "16MiB")
    assert "every activation kept" not in narrow
