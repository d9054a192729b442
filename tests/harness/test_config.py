"""Configs survive flattening, digests tell trials apart, and mistakes are named."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import TrialConfig, WindowConfig, digest, flatten, parse_value, unflatten, with_value, with_values
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig


def trial(**model: object) -> TrialConfig:
    settings = {"backbone": VIDEOMAE["videomae-s"], "adapter": AdapterConfig(), **model}
    return TrialConfig(model=DetectorConfig(**settings))  # type: ignore[arg-type]


@given(
    frames=st.integers(1, 40).map(lambda n: 16 * n),
    backbone=st.sampled_from(sorted(VIDEOMAE)),
    adapter=st.sampled_from([None, AdapterConfig(), AdapterConfig(kind="plain", last_layers=2)]),
    seed=st.integers(0, 10**9),
)
def test_a_config_survives_flattening_and_json(frames, backbone, adapter, seed):
    window = WindowConfig(frames=frames, span=frames * 4, features=64 if (frames * 4) % 64 == 0 else 32)
    config = TrialConfig(
        model=DetectorConfig(backbone=VIDEOMAE[backbone], adapter=adapter, tuning="adapter" if adapter else "full"),
        seed=seed,
    )
    config = replace(config, data=replace(config.data, window=window))
    flat = json.loads(json.dumps(flatten(config)))
    assert unflatten(flat) == config
    assert digest(unflatten(flat)) == digest(config)


def test_every_leaf_changes_the_digest():
    config = trial()
    seen = {digest(config)}
    for path, value in flatten(config).items():
        if isinstance(value, str | tuple):
            other_value = "other" if isinstance(value, str) else (*value, 0.9)
        else:
            other_value = (value or 0) * 2 + 1
        try:
            other = digest(unflatten({**flatten(config), path: other_value}))
        except ValueError:
            continue  # the value is refused, so no trial can have it
        assert other not in seen, path
        seen.add(other)
    assert len(seen) > 50


def test_a_whole_number_in_a_float_field_is_the_same_trial():
    assert digest(with_value(trial(), "training.head_lr", 1)) == digest(with_value(trial(), "training.head_lr", 1.0))


def test_the_digest_of_a_config_never_drifts():
    # A changed digest makes every stored row unreachable: change this only together with a migration.
    assert digest(trial()) == "f0486382a7e0df2d"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.window.frames", 100, "data.window.span 3072 is not a multiple of data.window.frames 100"),
        ("data.window.frames", 24, "data.window.frames is 24, expected a multiple of the backbone's 16-frame clip"),
        ("data.window.frames", "many", "data.window.frames is 'many', expected int"),
        ("data.window.resolution", 8, "expected at least one patch (16 pixels)"),
        ("model.adapter.kernel", 4, "model.adapter.kernel is 4, expected an odd number of tubelets"),
        ("model.adapter", None, "model.tuning is adapter but model.adapter is none"),
        ("model.tuning", "frozen", "set model.adapter=none with it"),
        ("model.tuning", "thawed", "expected one of frozen, full, adapter"),
        ("model.adapter.colour", 1, "unknown config path model.adapter.colour"),
        ("training.epochs", 0, "training.epochs is 0, expected at least 1"),
        ("modle.tuning", "full", "unknown config path modle.tuning"),
    ],
)
def test_an_impossible_value_is_refused_by_name(path, value, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        with_value(trial(), path, value)
    assert message in str(error.value)


def test_values_that_only_fit_together_change_together():
    frozen = with_values(trial(), {"model.tuning": "frozen", "model.adapter": None})
    assert frozen.model.adapter is None


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("data.window.frames", "1536", 1536),
        ("training.adapter_lr", "5e-5", 5e-5),
        ("model.adapter.last_layers", "none", None),
        ("model.adapter", "none", None),
        ("model.adapter", "plain", AdapterConfig(kind="plain")),
        ("model.backbone", "videomae-g", VIDEOMAE["videomae-g"]),
        ("evaluation.tious", "0.3+0.5", (0.3, 0.5)),
        ("model.head.position_embedding", "true", True),
        ("seed", "7", 7),
    ],
)
def test_values_are_read_by_the_type_of_their_field(path, text, value):
    assert parse_value(trial(), path, text) == value


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("data.window.frames", "a lot"),
        ("data.window.frames", "1.5"),
        ("model.tuning", "partly"),
        ("model.backbone", "videomae-xxl"),
        ("model.head.position_embedding", "maybe"),
        ("data.window", "768"),
        ("data.nothing.frames", "768"),
        ("data.window.frame", "768"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_path(path, text):
    with pytest.raises(ValueError, match=path.split(".")[0]) as error:
        parse_value(trial(), path, text)
    assert "\n" not in str(error.value)
