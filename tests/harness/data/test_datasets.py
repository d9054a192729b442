"""The data sets' settings are the published ones, fit every head, and go by every name."""

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from harness import presets
from harness.config import DatasetName, TrialConfig, flatten, with_values
from harness.data.datasets import DATASETS, THUMOS14_CLASSES, DatasetSpec, dataset_of
from harness.evaluation.settings import SETTINGS, setting_of

RELEASED = json.loads((Path(__file__).parent / "opentad_settings.json").read_text())["configs"]
EVERY = pytest.mark.parametrize("spec", DATASETS.values(), ids=list(DATASETS))

# adatad-facts 6.3: frames, frame stride, frames per cell, resolution.
WINDOWS = {
    "thumos14": (768, 4, 4, 160),
    "epic_verb": (6144, 2, 16, 160),
    "epic_noun": (6144, 2, 16, 160),
    "multithumos": (768, 4, 4, 160),
    "charades": (512, 4, 4, 160),
}
# adatad-facts 7.2: warm-up, cosine length, stop, batch.
SCHEDULES = {
    "thumos14": (5, 100, 60, 2),
    "epic_verb": (5, 250, 35, 2),
    "epic_noun": (5, 250, 35, 2),
    "multithumos": (5, 100, 80, 2),
    "charades": (5, 20, 20, 16),
}
# adatad-facts 8.2: sigma, smallest score, most per video, most before NMS.
NMS = {
    "thumos14": (0.7, 0.0, 2000, 2000),
    "activitynet": (0.7, 0.001, 100, 2000),
    "epic_verb": (0.4, 0.001, 2000, 5000),
    "epic_noun": (0.4, 0.001, 2000, 5000),
    "ego4d": (2.0, 0.001, 2000, 5000),
    "multithumos": (0.5, 0.0, 8000, 8000),
    "charades": (0.3, 0.0, 1000, 2000),
}
# adatad-facts 7.1.
RATES = {
    "thumos14": (2e-4, 1e-4, 1e-4, 1e-4, 1e-4),
    "activitynet": (1e-4, 1e-4, 1e-4, 1e-4, 1e-4),
    "multithumos": (4e-4, 4e-4, 4e-4, 1e-4, 1e-4),
    "charades": (4e-4, 4e-4, 2e-4, 1e-4, 8e-5),
}


def config_on(spec: DatasetSpec, *how: str) -> TrialConfig:
    return with_values(presets.paper(DATASETS["thumos14"]), spec.settings(*how))


def test_every_name_of_a_config_is_a_data_set_and_the_other_way_round() -> None:
    assert set(DATASETS) == set(get_args(DatasetName))
    assert all(spec.data.name == name for name, spec in DATASETS.items())


@EVERY
def test_settings_fit_every_arm_and_head(spec: DatasetSpec) -> None:
    arms, heads = ("adapter", "outside", "frozen", "features", "full"), ("actionformer", "tridet", "gtad")
    for variant, arm, head, external in itertools.product(("paper", "opentad"), arms, heads, (True, False)):
        config = with_values(presets.paper(DATASETS["thumos14"]), spec.settings(variant, arm, head, external=external))
        assert config.data.name == spec.name
        if head in spec.heads:
            assert config.model.head.kind == head


@EVERY
def test_what_evaluate_measures_is_what_a_trial_measures(spec: DatasetSpec) -> None:
    setting = setting_of(spec.name)
    assert config_on(spec).evaluation.tious == setting.tious
    if spec.task != "label":
        assert setting.tasks == (spec.task,)


def test_every_spelling_of_evaluate_is_a_spelling_here() -> None:
    spellings = {"activitynet13", "epic100-verb", "epic100-noun", "ego4d-mq", "thumos14", "multithumos", "charades"}
    for name in (spellings | {"ANet", "anet-1.3", "THUMOS", "Epic Verb", "EPIC-Kitchens-100-noun", "ego4d"}) - {"hacs"}:
        assert setting_of(dataset_of(name).name) is setting_of(name)
    assert {setting_of(spec.name).name for spec in DATASETS.values()} <= set(SETTINGS)


def test_an_unknown_data_set_is_one_sentence() -> None:
    with pytest.raises(
        ValueError, match="there is no data set kinetics, expected one of synthetic, custom, thumos14, activitynet"
    ):
        dataset_of("kinetics")


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_the_published_ones(name: str) -> None:
    window = config_on(DATASETS[name]).data.window
    assert (window.frames, window.stride, window.cell, window.resolution) == WINDOWS[name]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_the_published_ones(name: str) -> None:
    training = config_on(DATASETS[name]).training
    found = (training.warmup_epochs, training.cosine_epochs, training.epochs, training.batch_size)
    assert found == SCHEDULES[name]
    assert (training.head_lr, training.weight_decay, training.clip_norm, training.ema_decay) == (1e-4, 0.05, 1.0, 0.999)


@pytest.mark.parametrize("name", NMS)
def test_post_processing_is_the_published_one(name: str) -> None:
    given = config_on(DATASETS[name]).detection
    assert (given.nms_sigma, given.nms_min_score, given.max_detections, given.pre_nms) == NMS[name]
    # adatad-facts 4.4: a single class has no threshold.
    assert (given.nms, given.min_score) == ("gaussian", 0.0 if name == "activitynet" else 0.001)


@pytest.mark.parametrize("name", RATES)
def test_adapter_rates_are_the_published_ones(name: str) -> None:
    assert tuple(DATASETS[name].adapter_lr(f"videomae-{size}") for size in "sblhg") == RATES[name]
    assert DATASETS["epic_noun"].adapter_lr("videomae-l") == 8e-5
    assert DATASETS["ego4d"].adapter_lr("videomae-l") == 4e-4


def test_activitynet_sees_a_whole_video_at_once() -> None:
    config = config_on(DATASETS["activitynet"])
    window = config.data.window
    assert (window.mode, window.frames, window.features, window.resolution) == ("resize", 768, 192, 160)
    assert config.data.shortest_share == 0.01
    training = config.training
    assert (training.head_lr, training.batch_size, training.epochs, training.cosine_epochs) == (1e-3, 16, 15, 15)


def test_activitynet_is_named_by_a_classifier_or_by_its_head() -> None:
    spec = DATASETS["activitynet"]
    named = config_on(spec)
    direct = with_values(presets.paper(DATASETS["thumos14"]), spec.settings(external=False))
    assert (named.detection.external, named.detection.external_top, named.head_classes) == ("cuhk", 2, 1)
    assert (named.detection.class_agnostic, named.detection.voting_iou) == (True, 0.9)
    assert (named.model.head.width, named.model.head.regression_weight) == (256, 2.0)
    # OpenTAD's adapter_cls config.
    assert (direct.detection.external, direct.head_classes) == ("none", 200)
    assert (direct.detection.class_agnostic, direct.detection.nms_sigma, direct.detection.min_score) == (
        False,
        0.75,
        0.001,
    )
    assert (direct.model.head.width, direct.model.head.regression_weight) == (512, 1.0)


def test_an_arm_keeps_its_dropout_without_a_classifier() -> None:
    head = DATASETS["activitynet"].settings("opentad", "frozen", external=False)["model.head"]
    assert (head.width, head.input_dropout) == (512, 0.2)


def test_gtad_has_a_map_per_class_where_no_classifier_names_them() -> None:
    on = {name: DATASETS[name].settings(head="gtad")["model.head"] for name in ("thumos14", "activitynet")}
    assert [on[name].class_agnostic for name in on] == [False, True]
    assert not DATASETS["activitynet"].settings(head="gtad", external=False)["model.head"].class_agnostic


def test_ego4d_differs_between_paper_and_code() -> None:
    # adatad-facts 12.5 and 12.6; a clip of 8 minutes at 30 frames per second either way.
    paper, released = (config_on(DATASETS["ego4d"], variant) for variant in ("paper", "opentad"))
    assert [(c.data.window.features, c.data.window.frames, c.data.window.span) for c in (paper, released)] == [
        (900, 7200, 14400),
        (1800, 7200, 14400),
    ]
    assert [(c.data.window.resolution, c.training.epochs) for c in (paper, released)] == [(160, 15), (192, 20)]
    assert DATASETS["ego4d"].adapter_last_layers == {"opentad": 12}


@pytest.mark.parametrize("released", RELEASED, ids=[row["config"] for row in RELEASED])
def test_the_released_settings_are_those_of_the_released_config(released: dict[str, Any]) -> None:
    spec, arm = DATASETS[released["dataset"]], released["arm"]
    config = with_values(presets.paper(spec, released["backbone"], "opentad"), spec.settings("opentad", arm))
    flat = flatten(config)
    for path, value in released["settings"].items():
        assert flat[path] == (tuple(value) if isinstance(value, list) else value), path
    assert config.head_classes == released["head_classes"]
    if arm == "adapter":
        adapter = config.model.adapter
        assert adapter is not None
        assert list(adapter.adapted(config.model.backbone.layers)) == released["adapted"]


def test_arms_of_the_released_configs_differ_in_more_than_the_tuning() -> None:
    # adatad-facts 12.9: what the paper's variant holds equal.
    spec = DATASETS["thumos14"]
    adapter, frozen, outside = (config_on(spec, "opentad", arm) for arm in ("adapter", "frozen", "outside"))
    assert [c.model.head.input_dropout for c in (adapter, frozen, outside)] == [0.0, 0.2, 0.1]
    assert (frozen.detection.nms_sigma, frozen.detection.nms_min_score) == (0.5, 0.001)
    assert (frozen.data.augment.flip, frozen.data.augment.jitter, adapter.data.augment.flip) == (0.0, 0.0, 0.5)
    assert (adapter.data.augment.operators, frozen.data.augment.operators) == (2, 0)
    assert len({str(flatten(config_on(spec, "paper", arm))) for arm in ("adapter", "frozen", "outside", "full")}) == 1


def test_the_released_dropout_goes_only_to_heads_that_have_one() -> None:
    head = config_on(DATASETS["thumos14"], "opentad", "frozen", "tridet").model.head
    assert head == DATASETS["thumos14"].heads["tridet"]


@pytest.mark.parametrize(("name", "num_classes"), [("thumos14", 20), ("activitynet", 200), ("epic_verb", 97)])
def test_classes_are_counted(name: str, num_classes: int) -> None:
    assert config_on(DATASETS[name]).data.num_classes == num_classes


def test_thumos_classes_are_in_the_order_of_opentad() -> None:
    assert sorted(THUMOS14_CLASSES) == list(THUMOS14_CLASSES)
    assert len(set(THUMOS14_CLASSES)) == 20


def test_the_laptops_preset_is_the_synthetic_data_set() -> None:
    base = presets.synthetic_adatad()
    spec = DATASETS["synthetic"]
    assert with_values(base, {**spec.settings(), "training.adapter_lr": spec.adapter_lr("videomae-tiny")}) == base
