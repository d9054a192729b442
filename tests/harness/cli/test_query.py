"""`tadscale query`: formats, files, pipes and mistakes, through the command itself."""

import csv
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest

from harness.cli.commands.query import FORMATS
from harness.cli.tadscale import main
from harness.config import TrialConfig, digest, flatten, with_values
from harness.tables import formats, write_row
from models.config import VIDEOMAE, DetectorConfig

QUERY = "select frames, map_avg, error from best order by frames"
COMMAND = [sys.executable, "-c", "from harness.cli.tadscale import main; main()", "query"]


def test_the_command_offers_every_format_and_needs_no_arrow_to_say_so():
    assert get_args(formats.Format) == FORMATS
    program = "import argparse, sys; from harness.cli.commands import query\n"
    program += "query.add(argparse.ArgumentParser().add_subparsers())\n"
    program += "print({'pyarrow', 'duckdb', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"set()\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("results")
    base = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], tuning="frozen"))
    for frames in (384, 768):
        config = with_values(base, {"data.window.frames": frames})
        row = {"study": "s", "trial": f"frames {frames}", "digest": digest(config), "attempt": 1, "state": "finished"}
        row |= {"map_avg": frames / 1024, "ended_utc": datetime(2026, 1, 1, tzinfo=UTC), "error": "50 % | <b>"}
        write_row(root / "s", {**row, **flatten(config)})
    return root


@pytest.fixture
def query(capfdbinary):
    """Return a function that runs the command here and returns its exit code, output and complaint."""

    def run(*arguments) -> tuple[int, bytes, str]:
        with pytest.raises(SystemExit) as ended:
            main(["query", *map(str, arguments)])
        out, complaint = capfdbinary.readouterr()
        return int(ended.value.code or 0), out, complaint.decode()

    return run


def test_every_format_reaches_standard_output(results, query):
    answers = {}
    for form in FORMATS:
        code, answers[form], complaint = query(QUERY, "--results", results, "--format", form)
        assert (code, complaint) == (0, "")
    assert [row["frames"] for row in json.loads(answers["json"])] == [384, 768]
    assert list(csv.DictReader(answers["csv"].decode().splitlines()))[1]["map_avg"] == "0.75"
    assert answers["parquet"][:4] == b"PAR1"
    assert b"| 384 | 0.375 | 50 % \\| &lt;b> |" in answers["markdown"]
    assert rb"384 & 0.375 & 50 \% \textbar{} \textless{}b\textgreater{} \\" in answers["latex"]
    assert "0.375" in answers["table"].decode()


@pytest.mark.parametrize("ending", ["csv", "json", "md", "tex", "txt", "parquet"])
def test_the_ending_of_the_file_decides_its_format(results, query, tmp_path, ending):
    path = tmp_path / "new folder" / f"answer.{ending}"
    assert query(QUERY, "--results", results, "--output", path) == (0, b"", "")
    form = {"md": "markdown", "tex": "latex", "txt": "table"}.get(ending, ending)
    assert path.read_bytes() == query(QUERY, "--results", results, "--format", form)[1]
    assert list(path.parent.iterdir()) == [path]


def test_format_decides_over_the_ending(results, query, tmp_path):
    query(QUERY, "--results", results, "--format", "parquet", "--output", tmp_path / "answer.data")
    assert pq.read_table(tmp_path / "answer.data")["frames"].to_pylist() == [384, 768]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["select framse from best", "--results", "{results}"],
            "error: there is no column framse; did you mean frames",
        ),
        (
            ["select 1", "--results", "{tmp}/nothing"],
            "--results is {tmp}/nothing, expected a folder with results tables",
        ),
        (["select 1", "--results", "nowhere://x"], "nowhere://x is not a place that can be opened"),
        (
            ["select 1", "--results", "{results}", "--output", "{tmp}/answer"],
            "expected an ending among .txt, .csv, .json",
        ),
        (["select 1", "--results", "{results}", "--output", "{tmp}", "--format", "csv"], "a folder; expected a file"),
        (["select 1", "--results", "{results}", "--output", "{results}/s/x.parquet"], "inside --results"),
        (["copy best to '{tmp}/x.csv'", "--results", "{results}"], "expected a single SELECT"),
        (["select 1", "--format", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(results, query, tmp_path, arguments, complaint):
    names = {"results": results, "tmp": tmp_path}
    code, out, text = query(*(argument.format_map(names) for argument in arguments))
    assert (code, out) == (2, b"")
    assert complaint.format_map(names) in text
    assert text.startswith("error: ")
    assert len(text.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error(results):
    wide = "select repeat('x', 200000) || range from range(50)"
    command = [*COMMAND, wide, "--results", results, "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_terminal_gets_a_table_that_fits_and_no_parquet(results):
    def on_terminal(*arguments):
        mine, theirs = pty.openpty()
        os.system(f"stty cols 40 < {os.ttyname(theirs)}")
        process = subprocess.Popen(
            [*COMMAND, QUERY, "--results", results, *arguments], stdout=theirs, stderr=subprocess.PIPE
        )
        _, complaint = process.communicate(timeout=60)
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(mine, 4096):
                shown += chunk
        except OSError:
            pass  # the terminal is closed
        os.close(mine)
        return shown.decode(), complaint.decode()

    shown, _ = on_terminal()
    assert "384" in shown
    assert max(len(line) for line in shown.splitlines()) <= 40
    assert "not for a terminal" in on_terminal("--format", "parquet")[1]
