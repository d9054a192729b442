"""The speed figures: that they measure what they say. Their size is for a quiet machine to tell."""

import json

import pytest

from harness.config import TrialConfig, unflatten
from harness.tables import TRIALS, bench, config_values, read_trials


def test_every_figure_is_there_with_its_limit(capsys):
    code = bench.main(["--rows", "100", "--files", "20", "--repeats", "1", "--json"])
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(figure["what"], figure["limit_seconds"]) for figure in figures] == [
        ("100 rows: load and group by", 1.0),
        ("100 rows: the same in SQL", None),
        ("20 single files: load", 10.0),
        ("20 single files: compact", None),
        ("20 rows after compaction: load", 1.0),
    ]
    assert all(figure["seconds"] > 0 for figure in figures)
    assert code == int(any(f["limit_seconds"] is not None and f["seconds"] > f["limit_seconds"] for f in figures))


def test_a_figure_above_its_limit_is_a_failure(monkeypatch, capsys):
    slow = bench.Measurement(what="x", seconds=2.0, limit_seconds=1.0, load=0.0)
    monkeypatch.setattr(bench, "measure", lambda *_: iter([slow]))
    assert bench.main([]) == 1
    assert "at most 1 s" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 7])
def test_the_rows_are_such_as_trials_leave(tmp_path, count):
    table = bench.example_rows(count)
    assert table.schema.equals(TRIALS)
    bench.write_singles(tmp_path / "study", table)
    loaded = read_trials(tmp_path)
    assert loaded.skipped == ()
    assert loaded.table.equals(table.sort_by("ended_utc"))
    for row in table.to_pylist():
        unflatten(config_values(row), TrialConfig)
