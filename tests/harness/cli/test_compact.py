"""`tadscale compact`: files become one, rows stay, a running study is left alone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.cli.lease import one_machine
from harness.cli.lock import one_driver
from harness.cli.tadscale import main
from harness.config import TrialConfig, digest, flatten, with_values
from harness.tables import load, write_row
from models.config import VIDEOMAE, DetectorConfig


@pytest.fixture
def results(tmp_path) -> Path:
    base = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], tuning="frozen"))
    for seed in range(3):
        config = with_values(base, {"seed": seed})
        row = {"study": "s", "trial": f"seed {seed}", "digest": digest(config), "attempt": 1, "state": "finished"}
        write_row(tmp_path / "s", {**row, "ended_utc": datetime(2026, 1, 1, tzinfo=UTC), **flatten(config)})
    return tmp_path


def run(results: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["compact", "--results", str(results)])
    return int(ended.value.code or 0)


def test_many_files_become_one_and_no_row_is_lost(results, capsys):
    before = load(results).sort_by("digest")
    assert run(results) == 0
    assert len(list((results / "s").glob("*.parquet"))) == 1
    assert load(results).sort_by("digest").equals(before)
    assert "3 files are one now, with 3 rows" in capsys.readouterr().out
    assert run(results) == 0
    assert "nothing to compact" in capsys.readouterr().out


def test_the_folder_of_a_running_study_is_refused(results, capsys):
    with one_driver(results / "s"):
        assert run(results) == 2
    assert "is running this study" in capsys.readouterr().err
    assert len(list((results / "s").glob("*.parquet"))) == 3


def test_a_store_on_which_a_study_runs_is_refused(results, capsys):
    with one_machine(f"file://{results}/s", pytest.fail):
        assert run(f"file://{results}") == 2
    assert "runs this study" in capsys.readouterr().err
    assert run(f"file://{results}") == 0
    assert "3 files are one now" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert run(tmp_path / "elsewhere") == 2
    assert "elsewhere" in capsys.readouterr().err
