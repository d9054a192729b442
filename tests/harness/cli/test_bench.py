"""`tadscale bench`: every name leads to a measurement with options of its own."""

import importlib
import json

import pytest

from harness.cli.commands.bench import BENCHES
from harness.cli.tadscale import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", BENCHES)
def test_every_measurement_explains_its_options(name, capsys):
    assert callable(importlib.import_module(BENCHES[name][0]).main)
    assert run(name, "--help") == 0
    assert "usage:" in capsys.readouterr().out


def test_options_after_the_name_reach_the_measurement(capsys):
    assert run("nms", "--proposals", "30", "--classes", "2", "--rounds", "1", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["classes"] == 2
    assert figures["ratio"] > 0


def test_an_unknown_measurement_is_named_with_those_there_are(capsys):
    assert run("speed") == 2
    complaint = capsys.readouterr().err
    assert "speed" in complaint
    assert "nms" in complaint
