"""Studies to report on: a grid as the paper's, and one in which much went wrong."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from harness.analysis.report import Report, gather


@pytest.fixture(scope="session")
def simulated() -> ModuleType:
    """Return tests/simulated_study.py; the tests are no package."""
    path = Path(__file__).parents[3] / "simulated_study.py"
    spec = importlib.util.spec_from_file_location("simulated_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def grid_folder(simulated: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "scale_frames"
    simulated.write_grid(folder)
    return folder


@pytest.fixture(scope="session")
def hostile_folder(simulated: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "compare_backbones"
    simulated.write_hostile(folder)
    return folder


@pytest.fixture(scope="session")
def grid(grid_folder: Path) -> Report:
    (report,) = gather(grid_folder)
    return report


@pytest.fixture(scope="session")
def hostile(hostile_folder: Path) -> Report:
    (report,) = gather(hostile_folder)
    return report


@pytest.fixture(scope="session")
def law(simulated: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("results") / "scale_law"
    simulated.write_law(folder)
    (report,) = gather(folder)
    return report
