"""`--set PATH=best:STUDY`: what another study found best, for each backbone, or one sentence that says why not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import presets
from harness.cli.arguments import UserError
from harness.cli.best_value import with_best
from harness.cli.options import read_options
from harness.cli.plan import make_plan
from harness.cli.terminal import Terminal
from harness.config import digest, flatten, with_values
from harness.study import Grid
from harness.tables import write_row
from studies import scale_backbone, scale_frames, tune_learning_rate

PATH = "training.adapter_lr"
TINY, SMALLER = presets.TINY_SIZES["s"], presets.TINY_SIZES["xs"]
BASE = presets.synthetic()


def write(folder: Path, values: Mapping[str, Any], score: float | None, state: str = "finished") -> None:
    config = with_values(BASE, dict(values))
    row = {
        "study": folder.name,
        "trial": "t",
        "digest": digest(config),
        "attempt": 1,
        "state": state,
        "seed": config.seed,
    }
    write_row(folder, {**row, "map_avg": score, **flatten(config)})


def write_search(folder: Path, scores: Mapping[float, Sequence[float]], **values: Any) -> None:
    """Write a finished trial per rate and seed."""
    for rate, maps in scores.items():
        for seed, score in enumerate(maps):
            write(
                folder, {PATH: rate, "seed": seed, **{name.replace("__", "."): v for name, v in values.items()}}, score
            )


def rates(grid: Grid) -> list[tuple[str, float]]:
    return [(t.config.model.backbone.name, t.config.training.adapter_lr) for t in grid.trials()]


def test_the_rate_with_the_best_mean_over_seeds_is_taken(tmp_path: Path) -> None:
    write_search(tmp_path / "tune", {1e-3: (0.3, 0.3), 2e-3: (0.1, 0.9), 4e-3: (0.45, 0.48)})
    write(tmp_path / "tune", {PATH: 8e-3}, 0.99, state="stopped_early")
    write(tmp_path / "tune", {PATH: 9e-3, "data.name": "custom"}, 0.99)
    grid = Grid(base=BASE, axes={"data.window.frames": (32, 64)})
    changed, (line,) = with_best(grid, PATH, "tune", tmp_path / "tune", "synthetic")
    assert rates(changed) == [(TINY.name, 2e-3)] * 2
    assert line == f"{PATH} with videomae-tiny: 0.002, 50.0 % mAP, best of 0.001, 0.002, 0.004 (tune)"


def test_an_end_of_the_range_is_said(tmp_path: Path) -> None:
    write_search(tmp_path / "tune", {1e-3: (0.3,), 2e-3: (0.4,)})
    _, (line,) = with_best(Grid(base=BASE, axes={}), PATH, "tune", tmp_path / "tune", "synthetic")
    assert line.endswith("best of 0.001, 0.002; it is an end of that range (tune)")


def test_every_backbone_of_an_axis_gets_its_own_whatever_is_paired_with_it(tmp_path: Path) -> None:
    write_search(tmp_path / "tune", {1e-3: (0.3,), 2e-3: (0.4,)})
    write_search(tmp_path / "tune", {1e-3: (0.5,), 2e-3: (0.2,)}, model__backbone=SMALLER)
    plain: dict[Any, Any] = {"model.backbone": (SMALLER, TINY)}
    paired = presets.paired(
        {"model.backbone": SMALLER, PATH: 7e-3, "data.window.frames": 32},
        {"model.backbone": TINY, PATH: 7e-3, "data.window.frames": 64},
    )
    for axes in (plain, paired, {**plain, PATH: (5e-3, 6e-3)}):
        changed, lines = with_best(Grid(base=BASE, axes=axes), PATH, "tune", tmp_path / "tune", "synthetic")
        assert rates(changed) == [(SMALLER.name, 1e-3), (TINY.name, 2e-3)]
        assert len(lines) == 2


def test_only_trials_that_differ_in_nothing_else_are_compared(tmp_path: Path) -> None:
    # At 128 frames everything is better, but only a poor rate was tried there.
    write_search(tmp_path / "tune", {8e-3: (0.9,)}, data__window__frames=128)
    write_search(tmp_path / "tune", {1e-3: (0.3,), 2e-3: (0.4,), 8e-3: (0.1,)})
    changed, _ = with_best(Grid(base=BASE, axes={}), PATH, "tune", tmp_path / "tune", "synthetic")
    assert rates(changed) == [(TINY.name, 2e-3)]


def test_what_is_lacking_is_one_sentence(tmp_path: Path) -> None:
    grid = Grid(base=BASE, axes={})
    with pytest.raises(UserError, match=r"tune has no finished trial with videomae-tiny on synthetic; expected some"):
        with_best(grid, PATH, "tune", tmp_path / "tune", "synthetic")
    write(tmp_path / "tune", {PATH: 1e-3}, None, state="failed")
    write_search(tmp_path / "tune", {1e-3: (0.5,)}, model__backbone=SMALLER)
    with pytest.raises(UserError, match="no finished trial with videomae-tiny on synthetic"):
        with_best(grid, PATH, "tune", tmp_path / "tune", "synthetic")
    with pytest.raises(ValueError, match=r"unknown config path training.adapter_rl"):
        with_best(grid, "training.adapter_rl", "tune", tmp_path / "tune", "synthetic")
    arms = Grid(base=BASE, axes=presets.paired({"data.window.frames": 32, PATH: 1e-3}))
    write_search(tmp_path / "tune", {1e-3: (0.5,)})
    with pytest.raises(UserError, match=r"training.adapter_lr changes together with data.window.frames here"):
        with_best(arms, PATH, "tune", tmp_path / "tune", "synthetic")


@pytest.mark.parametrize("study", [scale_frames.STUDY, scale_backbone.STUDY])
def test_a_study_takes_the_rates_that_tune_learning_rate_found(study: Any, tmp_path: Path) -> None:
    """The whole way: the rows of one study, the command line of the other."""
    grid = tune_learning_rate.STUDY.presets["tiny"]
    backbones = {trial.config.model.backbone for trial in study.presets["tiny"].trials()}
    for number, backbone in enumerate(sorted(backbones, key=lambda each: each.name)):
        for trial in replace(grid, seeds=(0,)).trials():
            rate = trial.config.training.adapter_lr
            wanted = sorted(grid.axes[PATH])[number]
            values = {PATH: rate, "model.backbone": backbone}
            write(tmp_path / "tune_learning_rate", values, 0.5 - abs(rate - wanted))
    options = read_options(
        study, ["--results", str(tmp_path), "--dry-run", "--set", f"{PATH}=best:tune_learning_rate", "--seeds", "1"]
    )
    plan = make_plan(study, options, Terminal(json=False, quiet=True), prepare=False)
    found = dict(rates(plan.grid))
    names = sorted(each.name for each in backbones)
    assert found == {name: sorted(grid.axes[PATH])[number] for number, name in enumerate(names)}
