"""Axes as Optuna sees them: there and back, and what is refused."""

import pytest

from harness import presets
from harness.orchestrate.space import Space
from harness.study import Grid, Range, Search
from models.config import ActionFormerConfig, TriDetConfig

BASE = presets.synthetic_adatad()
GRID = Grid(
    base=BASE,
    axes={
        "data.window.frames": (32, 64, 128),
        ("training.head_lr", "training.adapter_lr"): ((1e-3, 1e-4), (2e-3, 2e-4)),
        "training.weight_decay": (0.05, 0.1),
    },
    seeds=(0, 1),
)


def test_listed_points_are_the_grids_trials_and_come_back_from_their_parameters() -> None:
    space = Space(GRID, Search())
    listed = list(space.listed())
    assert [trial for _, trial in listed] == list(GRID.trials())
    assert all(space.trial(params) == trial for params, trial in listed)
    assert {name for params, _ in listed for name in params} == space.distributions.keys()


def test_a_range_draws_values_between_the_listed_ones() -> None:
    search = Search(method="optuna", ranges={"training.weight_decay": Range(low=0.01, high=0.2)})
    space = Space(GRID, search)
    params = {
        "data.window.frames": 64,
        "training.head_lr + training.adapter_lr": "0.002, 0.0002",
        "training.weight_decay": 0.07,
    }
    trial = space.trial(params)
    assert trial.config.training.weight_decay == 0.07
    assert trial.config.training.adapter_lr == 2e-4
    assert trial.config.seed == 0
    assert Space(GRID, Search(ranges=search.ranges)).ranges == {}, "a grid runs the listed values"


def test_values_of_one_kind_keep_labels_of_their_own() -> None:
    heads = (ActionFormerConfig(), ActionFormerConfig(levels=4), TriDetConfig())
    space = Space(Grid(base=BASE, axes={"model.head": heads}), Search(method="random"))
    labels = space.labels("model.head")
    assert list(labels.values()) == list(heads)
    assert all(space.trial({"model.head": label}).config.model.head == head for label, head in labels.items())


def test_points_of_different_settings_do_not_share_a_study() -> None:
    name = Space(GRID, Search(method="optuna")).name
    assert Space(GRID, Search(method="optuna", samples=99)).name == name, "more points are the same search"
    others = [
        Space(GRID, Search(method="random")),
        Space(GRID, Search(method="optuna", objectives=("map_avg", "peak_bytes"))),
        Space(GRID, Search(method="optuna", ranges={"training.weight_decay": Range(low=0.01, high=0.2)})),
        Space(Grid(base=presets.synthetic_adatad(quick=True), axes=GRID.axes), Search(method="optuna")),
        Space(Grid(base=BASE, axes={"data.window.frames": (32, 64)}), Search(method="optuna")),
    ]
    names = [space.name for space in others]
    assert len({name, *names}) == len(names) + 1


@pytest.mark.parametrize(
    ("ranges", "names"),
    [
        ({"training.epochs": Range(low=1, high=9)}, "expected one of the study's axes"),
        ({"data.window.frames": Range(low=16.5, high=64)}, "is a whole number, but its range is 16.5 to 64"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(ranges: dict[str, Range], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Space(GRID, Search(method="optuna", ranges=ranges))


@pytest.mark.parametrize(("low", "high", "log"), [(1.0, 1.0, False), (2.0, 1.0, True), (0.0, 1.0, True)])
def test_bounds_enclose_something(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match="expected a lower and a higher bound"):
        Range(low=low, high=high, log=log)
