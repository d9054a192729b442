"""Configs survive flattening, digests tell trials apart, and mistakes are named."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import (
    ADDED,
    NAMED,
    TrialConfig,
    WindowConfig,
    digest,
    flatten,
    parse_value,
    unflatten,
    with_value,
    with_values,
)
from models.config import BACKBONES, VIDEOMAE, AdapterConfig, DetectorConfig, OfflineConfig, TriDetConfig
from models.published import ACTIONFORMER, GTAD, TRIDET


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


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
@pytest.mark.parametrize("head", ["actionformer", "tridet", "gtad"])
def test_every_kind_of_branch_survives_flattening_and_json(backbone, head):
    config = trial(backbone=BACKBONES[backbone], adapter=AdapterConfig(layers=(0, 1)), head=NAMED["model.head"][head])
    assert unflatten(json.loads(json.dumps(flatten(config)))) == config
    assert flatten(config)["model.head.kind"] == head


@pytest.mark.parametrize("published", [ACTIONFORMER, TRIDET, GTAD])
def test_published_heads_survive_flattening(published):
    for head in published.values():
        config = DetectorConfig(backbone=VIDEOMAE["videomae-s"], adapter=AdapterConfig(), head=head)
        assert unflatten(flatten(config), DetectorConfig) == config


def test_an_unknown_kind_is_named():
    flat = flatten(trial()) | {"model.backbone.kind": "resnet"}
    with pytest.raises(ValueError, match="kind is resnet, expected one of videomae, slowfast, videoswin, offline"):
        unflatten(flat)


def test_a_named_head_or_adapter_keeps_what_it_shares_with_the_one_before():
    narrow = with_value(trial(), "model.head.width", 64)
    tridet = parse_value(narrow, "model.head", "tridet")
    assert isinstance(tridet, TriDetConfig)
    assert (tridet.width, tridet.levels, tridet.bins) == (64, 6, 16)
    assert parse_value(narrow, "model.head", "actionformer") == narrow.model.head
    outside = with_value(trial(), "model.adapter.placement", "outside")
    plain = parse_value(outside, "model.adapter", "plain")
    assert (plain.kind, plain.placement) == ("plain", "outside")
    assert parse_value(outside, "model.adapter", "none") is None
    assert parse_value(trial(), "model.backbone", "slowfast-r50") == BACKBONES["slowfast-r50"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.tuning": "full", "model.adapter.placement": "outside"}, "outside, where no gradient reaches"),
        (
            {"model.representation.kind": "snippet", "model.adapter.placement": "outside"},
            "a snippet is encoded alone; expected frame",
        ),
        ({"model.tuning": "features"}, "model.tuning is features but model.adapter is tia; set model.adapter=none"),
        ({"model.adapter.layers": (0, 12)}, r"model.adapter.layers is (0, 12), but videomae-s has 12 layers"),
        (
            {"model.adapter.placement": "outside", "model.adapter.layers": (1, 2)},
            "expected the last block (11) among them",
        ),
        ({"model.backbone": OfflineConfig(name="i3d", channels=2048), "model.adapter": None}, "is adapter but"),
        (
            {"model.backbone": OfflineConfig(name="i3d", channels=8), "model.adapter": None, "model.tuning": "full"},
            "model.backbone is i3d, which is features from files; expected features",
        ),
        (
            {"model.representation.kind": "snippet", "model.representation.snippet_frames": 8},
            "snippet_frames is 8, expected a multiple of the 16-frame clip",
        ),
        (
            {"model.representation.kind": "snippet", "model.representation.snippet_stride": 5},
            "data.window.frames is 768, expected a multiple of model.representation.snippet_stride (5)",
        ),
        (
            {"model.backbone": BACKBONES["slowfast-r50"], "data.window.resolution": 24},
            "at least 32 pixels for slowfast",
        ),
        (
            {"model.head": NAMED["model.head"]["gtad"], "data.window.features": 48},
            "expected at most data.window.features",
        ),
        ({"model.head": GTAD["thumos14"]}, "no external classifier to name them"),
    ],
)
def test_combinations_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        with_values(trial(), values)
    assert message in str(error.value)


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


def test_a_field_that_came_later_changes_the_digest_once_it_is_used():
    flat = flatten(trial())
    for path, value in ADDED.items():
        assert flat[path] == value, path
    for path, value in (("model.head.masking", "strict"), ("model.representation.kind", "snippet")):
        assert digest(with_value(trial(), path, value)) != digest(trial())


def test_the_digest_of_a_config_never_drifts():
    # A changed digest makes every stored row unreachable: a new field goes into config.ADDED instead.
    assert digest(trial()) == "f0486382a7e0df2d"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.window.frames", 100, "data.window.span 3072 is not a multiple of data.window.frames 100"),
        ("data.window.frames", 24, "data.window.frames is 24, expected a multiple of 16 for videomae-s"),
        ("data.window.frames", "many", "data.window.frames is 'many', expected int"),
        ("data.window.resolution", 8, "expected at least 16 pixels for videomae-s"),
        ("model.adapter.kernel", 4, "model.adapter.kernel is 4, expected an odd number of tubelets"),
        ("model.adapter", None, "model.tuning is adapter but model.adapter is none"),
        ("model.tuning", "frozen", "set model.adapter=none with it"),
        ("model.tuning", "thawed", "expected one of features, frozen, full, adapter"),
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
