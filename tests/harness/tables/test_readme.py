"""`results/README.md`: it says what the schema says, and its examples run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.tables import write_curves, write_row
from harness.tables.readme import render_readme
from harness.tables.schema import CONFIG_UNITS, TRIALS

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "results" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_readme_is_what_the_schema_says():
    assert README.read_text() == render_readme(), "run: python -m harness.tables.readme > results/README.md"


def test_units_are_those_of_config_values_that_exist():
    assert {path for paths in CONFIG_UNITS.values() for path in paths} <= set(TRIALS.names)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[1])
def test_examples_run(example, tmp_path, make_row):
    for package in re.findall(r"^import (\w+)", example, re.MULTILINE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    for seed in range(2):
        row = make_row({"seed": seed})
        write_row(tmp_path / "results" / "scale_frames", row)
        write_curves(tmp_path / "results" / "scale_frames", row["digest"], 1, [{"epoch": 0, "step": 0, "loss": 1.0}])
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{example}\nprint('done')"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.stderr == ""
    assert ended.stdout.endswith("done\n")


def test_every_way_to_read_has_an_example():
    text = "".join(EXAMPLES)
    assert all(f"import {name}" in text for name in ("duckdb", "pandas", "polars"))
