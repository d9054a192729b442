"""Every study is a controlled comparison, fits on one page, and can be planned; none of it runs anything."""

import ast
from pathlib import Path

import pytest

from harness.analysis.paper import BACKBONE, DATA, TABLES, tables_of
from harness.analysis.paper.rows import is_at
from harness.config import digest, flatten, with_values
from harness.study import FOLLOWING, Grid, Study, axis_paths
from studies.all import STUDIES

FOLDER = Path(__file__).resolve().parents[2] / "studies"
EVERY = pytest.mark.parametrize("study", STUDIES, ids=[study.name for study in STUDIES])
GRIDS = [(study, preset) for study in STUDIES for preset in study.presets]
GRID = pytest.mark.parametrize(("study", "preset"), GRIDS, ids=[f"{study.name}-{preset}" for study, preset in GRIDS])


def declared(grid: Grid) -> set[str]:
    return {path for axis in grid.axes for path in axis_paths(axis)} | {"seed", *FOLLOWING}


@GRID
def test_trials_differ_on_declared_axes_and_seed_only(study: Study, preset: str) -> None:
    grid = study.presets[preset]
    trials = [flatten(trial.config) for trial in grid.trials()]
    assert len({trial.digest for trial in grid.trials()}) == len(trials)
    paths = {path for trial in trials for path in trial}
    varying = {path for path in paths if len({str(trial.get(path, "absent")) for trial in trials}) > 1}
    free = declared(grid)
    assert {path for path in varying if not any(path == axis or path.startswith(f"{axis}.") for axis in free)} == set()


@GRID
def test_the_curves_axis_is_one_of_the_grids(study: Study, preset: str) -> None:
    paths = study.presets[preset].paths
    assert study.x in paths
    assert study.by is None or study.by in paths


@EVERY
def test_a_study_is_one_page_of_data(study: Study) -> None:
    text = (FOLDER / f"{study.name}.py").read_text()
    module = ast.parse(text)
    assert len(text.splitlines()) <= 60
    assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(module))
    said = ast.get_docstring(module) or ""
    assert f"python studies/{study.name}.py" in said
    assert "xpect" in said


def test_every_study_of_the_folder_is_run_by_all() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "all"}
    assert {study.name for study in STUDIES} == scripts


def test_every_table_of_the_paper_has_a_study() -> None:
    assert {table.study for table in TABLES} <= {study.name for study in STUDIES}
    assert [table.number for table in TABLES if tables_of(table.study)]


@pytest.mark.parametrize("table", TABLES, ids=[f"{table.number} {table.setting[DATA]}" for table in TABLES])
def test_every_row_of_a_table_is_a_trial_of_its_study(table) -> None:
    """What the paper ran, the study's paper preset runs: on its own data set, or moved to the table's."""
    study = next(study for study in STUDIES if study.name == table.study)
    grid = study.presets.get(table.setting[DATA], study.presets["paper"])
    same = {path: value for path, value in table.setting.items() if path != DATA}
    trials = [flatten(trial.config) for trial in grid.trials()]
    for row in table.rows:
        wanted = {**same, **{path: value for path, value in row.at.items() if path != DATA}}
        assert any(is_at(trial, wanted) for trial in trials), wanted


@EVERY
def test_tiny_trials_need_no_download_and_say_it_with_three_seeds(study: Study) -> None:
    grid = study.presets["tiny"]
    # memory_frontier is about memory, which seeds do not change.
    assert len(grid.seeds) == (1 if study.name == "memory_frontier" else 3)
    for trial in grid.trials():
        assert trial.config.data.name == "synthetic"
        assert flatten(trial.config)[BACKBONE].endswith("-tiny")


def test_the_published_rows_keep_their_digests() -> None:
    grid = next(study for study in STUDIES if study.name == "scale_frames").presets["tiny"]
    # The rows in results/published were run with this data set and these weights.
    made = with_values(grid.trials()[0].config, {"data.fingerprint": "", "model.weights": ""})
    assert digest(made) == "40b36b92d7860aa4"


def test_the_index_names_every_study_with_its_presets_and_only_figures_that_exist() -> None:
    text = (FOLDER / "README.md").read_text()
    lines = {line.split("]")[0][3:]: line.split("|") for line in text.splitlines() if line.startswith("| [")}
    assert set(lines) == {study.name for study in STUDIES}
    for study in STUDIES:
        assert lines[study.name][4].strip() == ", ".join(study.presets)
    pictures = [part.split('"')[0] for part in text.split('<img src="')[1:]]
    assert pictures
    assert all((FOLDER / picture).is_file() for picture in pictures)
