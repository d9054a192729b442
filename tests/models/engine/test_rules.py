from dataclasses import replace
from typing import Any

import pytest

from models.config import (
    SLOWFAST,
    VIDEO_SWIN,
    VIDEOMAE,
    AdapterConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    TriDetConfig,
)
from models.detector import build_detector
from models.engine.rules import check_engine

TINY = VIDEOMAE["videomae-tiny"]
INSIDE = DetectorConfig(backbone=TINY, adapter=AdapterConfig())
OUTSIDE = DetectorConfig(backbone=TINY, adapter=AdapterConfig(placement="outside"))
FROZEN = DetectorConfig(backbone=TINY, tuning="frozen")
FEATURES = DetectorConfig(backbone=TINY, tuning="features")
FULL = DetectorConfig(backbone=TINY, tuning="full")
SLOW = DetectorConfig(backbone=SLOWFAST["slowfast-tiny"], adapter=AdapterConfig())
SWIN = DetectorConfig(backbone=VIDEO_SWIN["videoswin-tiny"], adapter=AdapterConfig())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every": 0}, "engine.every is 0, expected at least 1"),
        ({"clips": -1}, "engine.clips is -1, expected at least 0"),
        ({"policy": "auto", "clips": 4}, "engine.clips is 4 but engine.policy is auto"),
        ({"policy": "reference", "weights": "bf16"}, "engine.weights is bf16 but engine.policy is reference"),
        ({"keep": "everything", "keep_on": "host"}, "engine.keep_on is host but engine.keep is everything"),
        ({"keep": "nothing", "every": 2}, "engine.every is 2 but engine.keep is nothing"),
    ],
)
def test_values_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineConfig(**fields)


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (INSIDE, {"keep": "nothing"}, "engine.keep is nothing, but gradients pass through videomae-tiny"),
        (FULL, {"keep": "nothing"}, "engine.keep is nothing, but gradients pass through videomae-tiny"),
        (SLOW, {"keep": "nothing"}, "slowfast-tiny mixes time in its blocks"),
        (SWIN, {"clips": 2}, "engine.clips is 2"),
        (SWIN, {"compile": True}, "engine.compile is True"),
        (SLOW, {"weights": "bf16"}, "folds its normalisations into its kernels; expected fp32"),
        (INSIDE, {"keep": "everything", "clips": 4}, "engine.clips is 4"),
        (INSIDE, {"keep": "everything", "residual": "bf16"}, "engine.residual is bf16"),
        (OUTSIDE, {"positions": 4}, "engine.positions is 4"),
        (OUTSIDE, {"every": 2}, "engine.every is 2"),
        (FROZEN, {"keep_on": "host"}, "engine.keep_on is host"),
        (FROZEN, {"positions": 3}, "engine.positions is 3"),
        (FULL, {"weights": "int8"}, "engine.weights is int8"),
        (FULL, {"residual": "bf16"}, "engine.residual is bf16"),
        (FEATURES, {"inputs_on": "host"}, "engine.inputs_on is host"),
        (FEATURES, {"weights": "bf16"}, "engine.weights is bf16"),
        (replace(INSIDE, head=GTADConfig()), {"checkpoint_head": True}, "model.head.kind is gtad"),
        (replace(INSIDE, adapter=AdapterConfig(spatial_kernel=3)), {"positions": 2}, "engine.positions is 2"),
        (replace(OUTSIDE, adapter=AdapterConfig(placement="outside", spatial_kernel=3)), {"keep": "nothing"}, "whole"),
    ],
)
def test_what_a_detector_cannot_follow_or_would_ignore_is_refused(
    model: DetectorConfig, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_engine(EngineConfig(**fields), model, "bf16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["weights", "residual"])
def test_half_storage_is_for_half_precision(precision: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"engine.{name} is bf16 but training.precision is {precision}, expected bf16"):
        check_engine(EngineConfig(**{name: "bf16"}), INSIDE, precision)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (INSIDE, {"every": 3, "keep_on": "host", "clips": 2, "positions": 2, "weights": "int8", "residual": "bf16"}),
        (OUTSIDE, {"keep": "nothing", "clips": 1, "weights": "bf16", "inputs_on": "host", "compile": True}),
        (FROZEN, {"keep": "nothing", "clips": 1}),
        (FULL, {"every": 2, "keep_on": "host", "clips": 1, "averages_on": "host", "optimizer_on": "host"}),
        (FEATURES, {"averages_on": "host", "optimizer_on": "host", "checkpoint_head": True}),
        (SLOW, {"keep_on": "host", "inputs_on": "host"}),
        (replace(SWIN, head=TriDetConfig()), {"keep_on": "host", "weights": "bf16", "checkpoint_head": True}),
        (INSIDE, {"policy": "auto"}),
        (FULL, {"policy": "reference"}),
    ],
)
def test_what_makes_sense_is_accepted(model: DetectorConfig, fields: dict[str, Any]) -> None:
    check_engine(EngineConfig(**fields), model, "bf16")


def test_a_detector_is_built_for_a_decided_policy_only() -> None:
    with pytest.raises(ValueError, match=r"engine.policy is auto, expected one that the planner has decided on"):
        build_detector(FROZEN, num_classes=2, features=8, resolution=48, engine=EngineConfig(policy="auto"))
