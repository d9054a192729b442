"""Presets: the published settings, and axes whose points differ in what they say and nothing else."""

import pytest

from harness import presets
from harness.config import flatten, with_values
from harness.data.datasets import ACTIVITYNET, DATASETS, EGO4D, EPIC_VERB, THUMOS14
from harness.study import Grid


@pytest.mark.parametrize("spec", [THUMOS14, ACTIVITYNET, EPIC_VERB, EGO4D], ids=lambda spec: spec.name)
@pytest.mark.parametrize("variant", ["paper", "opentad"])
def test_a_paper_preset_has_every_setting_of_its_data_set(spec, variant):
    config = presets.paper(spec, "videomae-l", variant)
    assert with_values(config, spec.settings(variant)) == config
    assert config.training.adapter_lr == spec.adapter_lr("videomae-l")
    assert (config.model.tuning, config.model.adapter.kind, config.model.adapter.placement) == (
        *("adapter", "tia", "inside"),
    )


def test_facts_of_the_published_runs():
    """Learning rates of adatad-facts 7.1, windows of 6.3, and Ego4D's adapters in the last 12 blocks (12.6)."""
    assert presets.paper(THUMOS14, "videomae-s").training.adapter_lr == 2e-4
    assert presets.paper(THUMOS14, "videomae-g").training.adapter_lr == 1e-4
    ego = presets.paper(EGO4D, "videomae-l", "opentad")
    assert (ego.data.window.frames, ego.data.window.features, ego.model.adapter.last_layers) == (7200, 1800, 12)
    assert presets.paper(EGO4D, "videomae-l").model.adapter.last_layers is None


def test_an_unknown_backbone_is_named():
    with pytest.raises(ValueError, match="backbone is resnet, expected one of videomae-tiny"):
        presets.paper(THUMOS14, "resnet")


def test_points_of_an_axis_have_the_same_paths():
    with pytest.raises(ValueError, match=r"expected training\.epochs"):
        presets.paired({"training.epochs": 1}, {"training.batch_size": 1})
    assert presets.paired({"a": 1, "b": 2}, {"b": 4, "a": 3}) == {("a", "b"): ((1, 2), (3, 4))}


def test_released_arms_differ_in_what_the_released_configs_do_and_controlled_ones_do_not():
    """Augmentation, input dropout and suppression of the frozen arm (adatad-facts 12.9)."""
    names = ("features", "adatad")
    (controlled,), (released,) = (presets.arms(*names), presets.released_arms(THUMOS14, *names))
    assert set(controlled) == {"model.tuning", "model.adapter", "model.representation"}
    assert {"data.augment.flip", "model.head.input_dropout", "detection.nms_sigma"} <= set(released) - set(controlled)
    grid = Grid(base=presets.paper(THUMOS14), axes=presets.released_arms(THUMOS14, *names))
    features, adatad = (trial.config for trial in grid.trials())
    assert (features.detection.nms_sigma, adatad.detection.nms_sigma) == (0.5, 0.7)
    assert (features.data.augment.flip, adatad.data.augment.flip) == (0.0, 0.5)
    assert (features.model.head.input_dropout, adatad.model.head.input_dropout) == (0.2, 0.0)


def test_the_middle_tiny_size_is_the_tiny_backbone_and_sizes_rise():
    sizes = list(presets.TINY_SIZES.values())
    assert presets.synthetic_adatad().model.backbone == presets.TINY_SIZES["s"]
    assert [size.width * size.depth for size in sizes] == sorted(size.width * size.depth for size in sizes)
    assert flatten(presets.synthetic({"training.epochs": 7}))["training.epochs"] == 7
    assert DATASETS["synthetic"].heads["actionformer"] == presets.TINY_HEADS["actionformer"]
