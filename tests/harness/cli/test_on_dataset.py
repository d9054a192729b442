"""`--on NAME` puts a study on another data set: its settings beneath the study's own and beneath `--set`."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness import presets
from harness.cli.dataset import on_dataset
from harness.cli.options import UserError, read_options
from harness.cli.plan import make_plan
from harness.cli.terminal import Terminal
from harness.config import TrialConfig, flatten, with_values
from harness.data.datasets import DATASETS
from harness.study import Grid, Study
from models.config import VIDEOMAE, TriDetConfig

PAPER = presets.paper(DATASETS["thumos14"], "videomae-l")


def moved(base: TrialConfig, name: str, variant: str = "paper", external: bool = True) -> TrialConfig:
    return on_dataset(Grid(base=base, axes={}), DATASETS[name], variant, external=external).base


def differences(one: TrialConfig, other: TrialConfig) -> set[str]:
    a, b = flatten(one), flatten(other)
    return {path for path in a.keys() | b.keys() if a.get(path) != b.get(path)}


@pytest.mark.parametrize("name", ["activitynet", "epic_verb", "epic_noun", "ego4d", "multithumos", "charades"])
def test_a_published_study_becomes_the_data_sets_published_setting(name: str) -> None:
    spec = DATASETS[name]
    settings = {**spec.settings(), "training.adapter_lr": spec.adapter_lr("videomae-l")}
    assert moved(PAPER, name) == with_values(PAPER, settings)


@pytest.mark.parametrize("name", ["activitynet", "ego4d", "epic_noun", "custom"])
def test_there_and_back_is_where_it_was(name: str) -> None:
    assert moved(moved(PAPER, name), "thumos14") == PAPER


def test_without_class_scores_the_head_names_the_segments() -> None:
    direct = moved(PAPER, "activitynet", external=False)
    assert (direct.detection.external, direct.head_classes, direct.model.head.width) == ("none", 200, 512)
    assert moved(direct, "thumos14") == PAPER


def test_its_own_data_set_changes_nothing() -> None:
    assert moved(PAPER, "thumos14") == PAPER
    assert moved(presets.synthetic_adatad(), "synthetic") == presets.synthetic_adatad()


def test_what_a_study_sets_apart_stays() -> None:
    base = with_values(PAPER, {"data.window.resolution": 224, "training.epochs": 50, "model.head.width": 256})
    new = moved(base, "epic_verb")
    assert (new.data.window.resolution, new.training.epochs, new.model.head.width) == (224, 50, 256)
    assert (new.training.cosine_epochs, new.model.head.attention_window, new.data.min_kept) == (250, 9, 0.3)


def test_a_head_that_was_never_published_there_stays_the_studys() -> None:
    base = with_values(PAPER, {"model.head": replace(DATASETS["thumos14"].heads["tridet"], bins=8)})
    assert isinstance(moved(base, "epic_noun").model.head, TriDetConfig)
    assert moved(base, "epic_noun").model.head.sgp_hidden == 1024
    assert moved(base, "epic_noun").model.head.bins == 8
    assert moved(base, "ego4d").model.head == base.model.head


def test_a_laptops_study_keeps_its_size_on_real_data() -> None:
    new = moved(presets.synthetic_adatad(), "epic_verb")
    assert differences(new, presets.synthetic_adatad()) == {
        "data.name",
        "data.num_classes",
        "data.train_subset",
        "data.test_subset",
        "evaluation.tious",
    }


def test_the_released_arms_follow_the_studys_tuning() -> None:
    frozen = {"model.tuning": "frozen", "model.adapter": None}
    spec = DATASETS["thumos14"]
    base = with_values(PAPER, {**frozen, **spec.settings("opentad", "frozen")})
    new = moved(base, "activitynet", "opentad")
    assert new.model.head.input_dropout == 0.2
    assert new.data.augment.flip == 0.0
    assert new.data.window.mode == "resize"
    assert moved(with_values(PAPER, spec.settings("opentad")), "activitynet", "opentad").data.augment.flip == 0.5


def test_a_studys_paper_base_becomes_the_released_setting() -> None:
    frozen = with_values(PAPER, {"model.tuning": "frozen", "model.adapter": None})
    new = moved(frozen, "thumos14", "opentad")
    assert (new.detection.nms_sigma, new.detection.nms_min_score, new.model.head.input_dropout) == (0.5, 0.001, 0.2)
    assert moved(frozen, "thumos14") == frozen
    assert moved(PAPER, "ego4d", "opentad").data.window.features == 1800


def test_an_axis_over_backbones_has_the_rates_of_the_data_set_and_keeps_its_own() -> None:
    sizes = [VIDEOMAE[f"videomae-{size}"] for size in "slg"]
    points = tuple(zip(sizes, (2e-4, 1e-4, 7e-3), strict=True))
    axis = ("model.backbone", "training.adapter_lr")
    grid = on_dataset(Grid(base=PAPER, axes={axis: points}), DATASETS["charades"])
    assert grid.axes[axis] == tuple(zip(sizes, (4e-4, 2e-4, 7e-3), strict=True))


def test_adapters_sit_where_the_released_config_has_them() -> None:
    assert moved(PAPER, "ego4d", "opentad").model.adapter.last_layers == 12
    assert moved(PAPER, "ego4d", "paper").model.adapter.last_layers is None
    beside = with_values(PAPER, {"model.adapter.placement": "outside"})
    assert moved(beside, "ego4d", "opentad").model.adapter.last_layers is None


STUDY = Study(
    name="one_axis",
    title="one axis",
    presets={"paper": Grid(base=PAPER, axes={"data.window.frames": (768, 1536)})},
    x="data.window.frames",
)


def plan_of(*words: str) -> tuple[TrialConfig, ...]:
    options = read_options(STUDY, ["--preset", "paper", "--dry-run", *words])
    plan = make_plan(STUDY, options, Terminal(json=True, quiet=True), prepare=False)
    return tuple(trial.config for trial in plan.trials)


def test_axes_and_set_come_on_top_of_the_data_set(tmp_path: Path) -> None:
    first, second = plan_of("--on", "EPIC-Kitchens-100 verb", "--set", "training.epochs=7", "--results", str(tmp_path))
    assert (first.data.window.frames, second.data.window.frames) == (768, 1536)
    assert (first.data.name, first.data.window.span, first.training.epochs) == ("epic_verb", 12288, 7)
    assert first.data.train_subset == "train"


def test_axes_that_do_not_fit_the_data_set_are_one_sentence() -> None:
    with pytest.raises(UserError, match=r"span 14400 is not a multiple of .*frames 768; .* thumos14, --set PATH=V"):
        plan_of("--on", "ego4d")


def test_a_data_set_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(UserError, match="argument --on: there is no data set hmdb51, expected one of synthetic"):
        plan_of("--on", "hmdb51")
