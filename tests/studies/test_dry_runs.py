"""Every study lists its trials on a laptop: no data, weights or GPU; here even without the predictor, which is slow."""

import json

import pytest

from harness import presets
from harness.analysis.paper import published_at, tables_of
from harness.cli import conduct
from harness.cli import study as cli
from harness.config import flatten
from harness.memory.plan import Choice
from harness.memory.predict import trace
from harness.study import Study
from studies.all import STUDIES

LISTED = [(study, preset) for study in STUDIES for preset in study.presets]


@pytest.fixture(scope="module")
def foreseen():
    """Return one real choice, to stand for all of them."""
    config = presets.synthetic({"data.window.frames": 16, "data.window.resolution": 32}, quick=True)
    return Choice(engine=config.engine, prediction=trace(config), fits=True)


@pytest.fixture
def predicted(monkeypatch, foreseen):
    """Let the prediction of every trial be that one."""
    monkeypatch.setattr(conduct, "predict", lambda plan, trials, terminal: {trial.digest: foreseen for trial in trials})


@pytest.mark.parametrize(("study", "preset"), LISTED, ids=[f"{study.name}-{preset}" for study, preset in LISTED])
def test_a_dry_run_lists_every_trial(study: Study, preset: str, predicted, capsys, tmp_path) -> None:
    grid = study.presets[preset]
    command = ["--preset", preset, "--on", grid.base.data.name, "--dry-run", "--results", str(tmp_path)]
    assert cli.run(study, [*command, "--device", "h100-80gb", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed["trials"]) == len(grid.trials())
    assert all(trial["fits"] and trial["state"] == "planned" for trial in listed["trials"])
    assert all(trial["flops"] > 0 and trial["predicted_hours"] > 0 for trial in listed["trials"])
    assert cli.run(study, [*command, "--quiet"]) == 0
    assert study.title.split("(")[0].strip() in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("study", [study for study in STUDIES if tables_of(study.name)], ids=lambda study: study.name)
def test_the_papers_rows_are_found_by_the_trials_that_repeat_them(study: Study) -> None:
    rows = [published_at(study.name, flatten(trial.config)) for trial in study.presets["paper"].trials()]
    assert any(row is not None and row.map_avg is not None for row in rows)
