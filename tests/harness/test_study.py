"""A grid expands to the trials it declares and to nothing else."""

import pytest

from harness.config import TrialConfig, flatten
from harness.study import Grid
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig

BASE = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-s"], adapter=AdapterConfig()))
GRID = Grid(base=BASE, axes={"data.window.frames": (768, 1536), "data.window.resolution": (160, 224)}, seeds=(0, 1))


def test_a_grid_has_every_combination_once_for_every_seed():
    trials = GRID.trials()
    assert len(trials) == len({trial.digest for trial in trials}) == 8
    assert [GRID.describe(trial.config) for trial in trials][1] == {
        "data.window.frames": 768,
        "data.window.resolution": 224,
        "seed": 0,
    }


def test_trials_differ_from_the_base_on_declared_axes_and_seed_only():
    base = flatten(BASE)
    for trial in GRID.trials():
        changed = {path for path, value in flatten(trial.config).items() if base[path] != value}
        assert changed <= {*GRID.paths, "seed"}


def test_paired_axes_change_together():
    grid = Grid(
        base=BASE,
        axes={("model.tuning", "model.adapter"): (("adapter", AdapterConfig()), ("frozen", None))},
    )
    assert [trial.config.model.tuning for trial in grid.trials()] == ["adapter", "frozen"]
    with pytest.raises(ValueError, match="cannot be set alone"):
        grid.with_overrides({"model.tuning": ["full"]})


def test_an_override_replaces_an_axis_or_the_base_or_adds_an_axis():
    assert len(GRID.with_overrides({"data.window.frames": [768]}).trials()) == 4
    assert len(GRID.with_overrides({"model.adapter.kernel": [3, 7, 13]}).trials()) == 24
    fixed = GRID.with_overrides({"model.tuning": ["frozen"], "model.adapter": [None]})
    assert all(trial.config.model.adapter is None for trial in fixed.trials())


def test_the_same_trial_twice_is_refused():
    with pytest.raises(ValueError, match="the same"):
        GRID.with_overrides({"data.window.frames": [768, 768]}).trials()
