"""Rows that the driver writes: for trials that were killed, and again where the disk was full."""

from pathlib import Path
from typing import Any

import pytest

from harness import presets
from harness.config import flatten
from harness.orchestrate.jobs import Outcome
from harness.orchestrate.rows import Rows
from harness.tables import TableUnwritable, load
from harness.trial import UNWRITTEN, TrialJob, row_without_result


@pytest.fixture
def job(tmp_path: Path, make_job) -> TrialJob:
    """Return a trial whose rows go to `tables` below the test's folder."""
    return make_job(
        presets.synthetic_adatad(), predicted_peak_bytes=1, slot="warm", tables=(tmp_path / "tables").as_uri()
    )


@pytest.fixture
def said() -> list[str]:
    """Return the lines that were said."""
    return []


@pytest.fixture
def noted() -> list[Any]:
    """Return the rows that were passed on."""
    return []


@pytest.fixture
def rows(said: list[str], noted: list[Any]) -> Rows:
    """Return rows that say and pass on to the test's lists."""
    return Rows(said.append, noted.append)


def finished(job: TrialJob, *, written: bool) -> Outcome:
    whole = {**row_without_result(job, "finished", ""), "error": None, "map_avg": 0.25, **flatten(job.config)}
    core = {"digest": job.digest, "state": "finished", "map_avg": 0.25}
    record = {} if written else {UNWRITTEN: {"row": whole, "curve": [{"epoch": 1, "loss": 0.5}]}}
    return Outcome(digest=job.digest, state="finished", result={**core, **record}, seconds=1.0)


def killed(job: TrialJob, *, seconds: float = 1.0) -> Outcome:
    return Outcome(digest=job.digest, state="failed", error="the worker process was killed", seconds=seconds, log="x")


def test_a_row_that_the_trial_wrote_is_passed_on(rows: Rows, job: TrialJob, noted: list[Any], tmp_path: Path) -> None:
    rows.ended(job, finished(job, written=True))
    rows.settle()
    assert [row["map_avg"] for row in noted] == [0.25]
    assert not (tmp_path / "tables").exists()


def test_a_killed_trial_gets_its_row_and_one_that_never_began_gets_none(
    rows: Rows, job: TrialJob, noted: list[Any], tmp_path: Path
) -> None:
    rows.ended(job, killed(job, seconds=0.0))
    assert noted == []
    rows.ended(job, killed(job))
    (row,) = load(tmp_path / "tables").to_pylist()
    assert (row["state"], row["error"]) == ("failed", "the worker process was killed (log: x)")
    assert len(noted) == 1


def test_a_row_is_kept_while_the_disk_is_full_and_written_when_another_trial_ends(
    rows: Rows, job: TrialJob, said: list[str], noted: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "tables").write_text("no folder")
    rows.ended(job, finished(job, written=False))
    rows.ended(job, killed(job))
    assert noted == []
    assert len(said) == 2
    assert "its row is kept and tried again later: results cannot be written to" in said[0]
    (tmp_path / "tables").unlink()
    rows.ended(job, killed(job, seconds=0.0))
    assert sorted(row["state"] for row in noted) == ["failed", "finished"]
    assert [row["map_avg"] for row in load(tmp_path / "tables").to_pylist()] == [0.25], "the finished row counts"
    assert list((tmp_path / "tables/curves").glob("*.parquet"))
    rows.settle()


def test_what_cannot_be_written_to_the_end_is_said_and_ends_in_one_sentence(
    rows: Rows, job: TrialJob, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "tables").write_text("no folder")
    rows.ended(job, finished(job, written=False))
    with pytest.raises(TableUnwritable, match=r"1 rows could not be written to .*tables; .* start the same command"):
        rows.settle()
    assert said[-1] == "not in the tables: one: finished, mAP 0.2500"
