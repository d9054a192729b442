"""`tadscale report` from the command line: which study, where the page goes, mistakes in one sentence, watching."""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from harness.cli.tadscale import main
from harness.tables import write_row

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_study", Path(__file__).parents[2] / "simulated_study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(simulated: ModuleType, tmp_path: Path) -> Path:
    """Return a results folder with two studies of one trial each."""
    for study in ("first", "second"):
        write_row(tmp_path / "results" / study, simulated.make_row({}, study=study))
    return tmp_path / "results"


def report(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["report", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_without_a_name_every_study_gets_its_page(results: Path, capsys: pytest.CaptureFixture[str]):
    assert report("--results", str(results)) == 0
    pages = sorted(results.glob("*/report.html"))
    assert [page.parent.name for page in pages] == ["first", "second"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{page}: {page.parent.name}, 1 of 1 trials have a result" for page in pages]


def test_a_study_is_named_or_its_folder_given(results: Path, tmp_path: Path):
    assert report("first", "--results", str(results), "--title", "Mine") == 0
    assert "<h1>Mine</h1>" in (results / "first" / "report.html").read_text()
    assert not (results / "second" / "report.html").exists()
    assert report(str(results / "second"), "--output", str(tmp_path / "x.html")) == 0
    assert "<h1>second</h1>" in (tmp_path / "x.html").read_text()


def test_the_same_study_twice_shows_no_trial_twice(results: Path):
    assert report("first", "--results", str(results)) == 0
    page = results / "first" / "report.html"
    once = page.read_text().count("data-id=")
    assert report("first", "--results", str(results)) == 0
    assert page.read_text().count("data-id=") == once == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["third"], "STUDY is third, expected one of first, second or a folder"),
        (["first", "--x", "data.frames"], "data.frames is no config path of first"),
        (["--output", "page.html"], "--output is one file for 2 studies (first, second), expected STUDY to name one"),
        (["--watch", "0"], "argument --watch: 0 is not a whole number of seconds above 0"),
    ],
)
def test_a_mistake_is_one_sentence(
    results: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
):
    assert report("--results", str(results), *arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {complaint}")
    assert said.err.count("\n") == 1
    assert not list(results.glob("**/*.html"))


def test_a_folder_without_results_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert report("--results", str(tmp_path / "nowhere")) == 2
    assert "expected a folder with results tables" in capsys.readouterr().err


def test_tables_and_pictures_are_exported_for_a_paper(results: Path, tmp_path: Path):
    assert report("first", "--results", str(results), "--export", str(tmp_path / "paper")) == 0
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"settings.tex", "settings.md", "trials.tex", "provenance.md", "pareto.svg", "bubbles.png"} <= names


def test_opening_hands_the_page_to_the_browser(results: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert report("first", "--results", str(results), "--open") == 0
    assert opened == [(results / "first" / "report.html").as_uri()]


def test_watching_waits_for_rows_writes_anew_and_ends_with_a_quiet_page(simulated: ModuleType, tmp_path: Path):
    folder, page = tmp_path / "results" / "live", tmp_path / "results" / "live" / "report.html"
    command = [sys.executable, "-c", "from harness.cli.tadscale import main; main()", "report", "live", "--watch", "1"]
    watching = subprocess.Popen(
        [*command, "--results", str(tmp_path / "results")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "waiting for the first trial to end\n"
        for seed in range(2):
            write_row(folder, simulated.make_row({}, seed=seed, study="live"))
            assert watching.stdout.readline() == f"{page}: live, {seed + 1} of {seed + 1} trials have a result\n"
            assert page.read_text().count("data-id=") == seed + 1
            assert 'http-equiv="refresh" content="1"' in page.read_text()
        time.sleep(0.2)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
        watching.wait()
        if watching.stdout:
            watching.stdout.close()
    assert 'http-equiv="refresh"' not in page.read_text()
    assert page.read_text().count("data-id=") == 2
