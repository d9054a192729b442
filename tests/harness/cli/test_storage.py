"""`--results URI` and `--storage`: the tables elsewhere, checkpoints on this machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.fresh import set_aside
from harness.cli.options import UserError, below, read_options
from harness.cli.plan import Plan, make_plan
from harness.cli.terminal import Terminal
from harness.tables import load
from harness.trial import TrialJob, ended_without_row
from studies.scale_frames import STUDY


def plan_for(*argv: str) -> Plan:
    return make_plan(STUDY, read_options(STUDY, ["--dry-run", *argv]), Terminal(quiet=True), prepare=False)


def write_one_row(plan: Plan, root: Path) -> str:
    trial = plan.trials[0]
    tables = plan.tables if isinstance(plan.tables, str) else None
    job = TrialJob(
        study=STUDY.name,
        name=plan.name(trial),
        config=trial.config,
        attempt=1,
        results=plan.folder,
        dataset=root,
        weights=None,
        device="cpu",
        threads=1,
        data_workers=0,
        predicted_peak_bytes=1,
        slot="warm",
        tables=tables,
    )
    ended_without_row(TrialJob.from_json(job.to_json()), "out_of_memory", "none left")
    return trial.digest


@pytest.mark.parametrize("option", ["--results", "--storage"])
def test_rows_lie_at_the_uri_and_are_found_and_set_aside_there(option: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = (tmp_path / "elsewhere").as_uri()
    plan = plan_for(option, uri)
    assert plan.folder == Path("results/scale_frames")
    assert plan.rows() == {}
    digest = write_one_row(plan, tmp_path)
    assert not list(Path("results").rglob("*.parquet"))
    assert [row["state"] for row in plan.rows().values()] == ["out_of_memory"]
    assert digest not in {trial.digest for trial in plan.missing(plan.rows())}
    plan.folder.mkdir(parents=True)
    copy = tmp_path / "elsewhere/scale_frames/work" / digest / "checkpoint.pt"
    copy.parent.mkdir(parents=True)
    copy.touch()
    set_aside(plan, Terminal(quiet=True))
    assert plan.rows() == {}
    assert len(load(uri)) == 0, "what was set aside is not read with the rest"
    assert len(list((tmp_path / "elsewhere/archive").rglob("*.parquet"))) == 1
    assert not copy.exists(), "a trial that begins anew would go on from it"
    assert len(list((tmp_path / "elsewhere/archive").rglob(f"{digest}/checkpoint.pt"))) == 1


def test_a_shared_folder_holds_everything(tmp_path: Path) -> None:
    plan = plan_for("--storage", str(tmp_path / "shared"))
    assert plan.tables == plan.folder == tmp_path / "shared/scale_frames"


def test_a_uris_options_stay_at_its_end() -> None:
    assert below("s3://bucket/a?endpoint_override=localhost:9000", "study") == (
        "s3://bucket/a/study?endpoint_override=localhost:9000"
    )


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--results", "s3://a/b", "--storage", "s3://c/d"], "expected one URI"),
        (["--results", "here", "--storage", "there"], "expected one of them or a URI"),
        (["--results", "gopher://a/b"], "gopher://a/b is not a place"),
    ],
)
def test_places_that_make_no_sense_are_refused(argv: list[str], names: str) -> None:
    with pytest.raises((UserError, ValueError), match=names):
        read_options(STUDY, argv)


def test_local_results_stay_where_they_were(tmp_path: Path) -> None:
    plan = plan_for("--results", str(tmp_path))
    assert plan.tables == tmp_path / "scale_frames"
    assert replace(plan.options, storage=None) == plan.options
