"""A trial that a scheduler ended keeps the last mAP that it had, and nobody takes that for its result."""

import json
from pathlib import Path

import pytest

from harness.analysis.summary import has_result, summarise
from harness.config import TrialConfig, with_values
from harness.tables import best, load, read_curves
from harness.trial import execute

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("state", "every"), [("stopped_early", 1), ("stopped_early", 0), ("interrupted", 1)])
def test_the_row_of_a_trial_that_was_ended_has_its_last_map(
    small_world, small_trial: TrialConfig, tmp_path: Path, make_job, stop_after, state: str, every: int
):
    job = make_job(
        with_values(small_trial, {"evaluation.tious": (0.05, 0.1)}), dataset=small_world.index, validate_every=every
    )
    reporter = stop_after(7, state)  # in the third of three epochs
    execute(json.loads(json.dumps(job.to_json())), reporter)
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == state
    reported = [report["map_avg"] for report in reporter.reports if "map_avg" in report]
    curves = {(point["name"], point["epoch"]): point["value"] for point in read_curves(tmp_path).table.to_pylist()}
    if state == "stopped_early":
        assert row["epochs_done"] == 2
        assert row["map_avg"] == (reported[-1] if every else None)
        assert curves["loss", 2] > 0
        assert [curves.get(("map_avg", epoch)) for epoch in (1, 2)] == (reported or [None, None])
    else:
        assert (row["epochs_done"], row["map_avg"], curves) == (None, None, {})
    assert len(reported) == 2 * every
    assert not has_result(row)
    assert len(best(load(tmp_path))) == 0
    (group,) = summarise([row], ["data.window.frames"])
    assert group.map_avg is None
