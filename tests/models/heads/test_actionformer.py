import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.presets import TINY_HEADS
from models.config import VIDEOMAE, ActionFormerConfig
from models.heads.actionformer import ActionFormerHead, Predictions, padded_length
from models.heads.points import Points, assign_targets, make_points
from models.published import ACTIONFORMER, ACTIONFORMER_CLASSES

CPU = torch.device("cpu")


def head(config: ActionFormerConfig, **kwargs: Any) -> ActionFormerHead:
    return ActionFormerHead(config, **({"channels": 8, "num_classes": 3, "length": 32} | kwargs))


def awake(config: ActionFormerConfig, **kwargs: Any) -> ActionFormerHead:
    """A head in float64 whose every parameter matters."""
    network = head(config, **kwargs).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


@pytest.mark.parametrize(
    ("name", "thumos", "activitynet"),
    [
        ("videomae-s", 26_695_708, 6_845_193),
        ("videomae-b", 27_285_532, 7_140_105),
        ("videomae-l", 27_678_748, 7_336_713),
        ("videomae-h", 28_071_964, 7_533_321),
        ("videomae-g", 28_268_572, 7_631_625),
    ],
)
def test_published_parameter_counts(name: str, thumos: int, activitynet: int) -> None:
    width = VIDEOMAE[name].width
    with torch.device("meta"):
        first = head(ActionFormerConfig(), channels=width, num_classes=20, length=768)
        second = head(ActionFormerConfig(width=256, position_embedding=True), channels=width, num_classes=1, length=192)
    assert sum(p.numel() for p in first.parameters()) == thumos
    assert sum(p.numel() for p in second.parameters()) == activitynet


def test_published_parameter_counts_of_other_datasets() -> None:
    large = VIDEOMAE["videomae-l"].width
    with torch.device("meta"):
        noun = head(ACTIONFORMER["epic_noun"], channels=large, num_classes=293, length=768)
        verb = head(ACTIONFORMER["epic_verb"], channels=large, num_classes=97, length=768)
        ego4d = head(ACTIONFORMER["ego4d"], channels=large, num_classes=110, length=1800)
    counts = [sum(p.numel() for p in network.parameters()) for network in (noun, verb, ego4d)]
    assert counts == [28_098_349, 27_797_097, 40_465_530]


def test_the_published_settings_are_the_ones_of_the_facts() -> None:
    assert {name: config.normaliser_init for name, config in ACTIONFORMER.items()} == {
        "thumos14": 100, "activitynet": 200, "epic_noun": 250, "epic_verb": 250, "ego4d": 100, "multithumos": 100,
        "charades": 100,
    }  # fmt: skip
    assert {name for name, config in ACTIONFORMER.items() if config.position_embedding} == {
        "activitynet", "ego4d", "charades"
    }  # fmt: skip
    assert [config.label_smoothing for config in ACTIONFORMER.values()] == [0, 0.1, 0.1, 0, 0, 0, 0]
    assert [config.regression_weight for config in ACTIONFORMER.values()] == [1, 2, 0.5, 0.5, 1, 1, 1]
    assert [config.levels for config in ACTIONFORMER.values()] == [6, 6, 6, 6, 10, 6, 8]
    assert [ACTIONFORMER["ego4d"].window_at(level) for level in range(10)] == [17] * 7 + [0] * 3
    assert ACTIONFORMER_CLASSES.width == 512


@pytest.mark.parametrize(
    ("name", "length", "padded"),
    [
        ("thumos14", 768, 768),
        ("thumos14", 769, 800),
        ("ego4d", 1800, 2048),
        ("epic_verb", 768, 768),
        ("activitynet", 192, 192),
        ("charades", 512, 512),
    ],
)
def test_sequences_are_padded_as_published(name: str, length: int, padded: int) -> None:
    assert padded_length(length, ACTIONFORMER[name]) == padded


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("thumos14", [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 1e4)]),
        ("epic_noun", [(0, 4), (2, 8), (4, 16), (8, 32), (16, 64), (32, 1e4)]),
        ("charades", [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 1e4)]),
        (
            "ego4d",
            [(0, 4), (2, 8), (4, 16), (8, 32), (16, 64), (32, 128), (64, 256), (128, 512), (256, 1024), (512, 1e4)],
        ),
    ],
)
def test_points_follow_the_published_strides_and_ranges(name: str, ranges: list[tuple[float, float]]) -> None:
    points = make_points(2048, ACTIONFORMER[name], CPU)
    start = 0
    for level, (low, high) in enumerate(ranges):
        stride, count = 2**level, 2048 // 2**level
        part = slice(start, start + count)
        assert points.position[part].tolist() == [index * stride for index in range(count)]
        assert points.stride[part].unique().tolist() == [stride]
        assert points.shortest[part].unique().tolist() == [low]
        assert points.longest[part].unique().tolist() == [high]
        start += count
    assert len(points.position) == start


def test_offsets_are_in_strides() -> None:
    points = Points(torch.tensor([8.0]), torch.tensor([2.0]), torch.tensor([0.0]), torch.tensor([4.0]))
    predictions = Predictions(torch.zeros(1, 1, 3), torch.tensor([[[1.0, 2.0]]]), torch.ones(1, 1).bool(), points)
    assert predictions.segments().tolist() == [[[6, 12]]]


def naive_targets(
    length: int, config: ActionFormerConfig, actions: list[tuple[float, float, int]], num_classes: int
) -> list[Any]:
    """For every point: (classes, offsets or None), by a loop over levels, points and actions."""
    result = []
    for level in range(config.levels):
        stride = 2**level
        low = 0 if level == 0 else 2**level if config.overlapping_ranges else 2 * 2**level
        high = 1e4 if level == config.levels - 1 else 4 * 2**level
        for index in range(length // stride):
            p, candidates = index * stride, []
            for start, end, label in actions:
                centre = (start + end) / 2
                inside = p - max(centre - 1.5 * stride, start) > 0 and min(centre + 1.5 * stride, end) - p > 0
                if inside and low <= max(p - start, end - p) <= high:
                    candidates.append((end - start, start, end, label))
            classes = [0.0] * num_classes
            if not candidates:
                result.append((classes, None))
                continue
            shortest = min(candidates, key=lambda candidate: candidate[0])
            for duration, _, _, label in candidates:
                if duration <= shortest[0] + 1e-3 or not config.share_similar:
                    classes[label] = 1.0
            result.append((classes, ((p - shortest[1]) / stride, (shortest[2] - p) / stride)))
    return result


# Multiples of 1/8 are exact in binary, so that ties and edges fall on the same side in both versions.
ACTION = st.tuples(st.integers(-16, 500), st.integers(1, 400), st.integers(0, 2)).map(
    lambda a: (a[0] / 8, (a[0] + a[1]) / 8, a[2])
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ACTION, min_size=0, max_size=6), st.booleans(), st.booleans())
def test_targets_equal_a_loop_over_points_and_actions(
    actions: list[tuple[float, float, int]], overlapping: bool, share: bool
) -> None:
    config = ActionFormerConfig(levels=5, overlapping_ranges=overlapping, share_similar=share)
    padded = [*actions, *([(0.0, 0.0, -1)] * (8 - len(actions)))]
    segments = torch.tensor([[action[:2] for action in padded]], dtype=torch.float64)
    labels = torch.tensor([[action[2] for action in padded]])
    targets = assign_targets(make_points(64, config, CPU), segments, labels, 3, config)
    expected = naive_targets(64, config, actions, 3)
    assert targets.classes[0].tolist() == [classes for classes, _ in expected]
    for got, (_, offsets) in zip(targets.offsets[0].tolist(), expected, strict=True):
        if offsets is not None:
            assert got == list(offsets)


def test_equally_short_actions_share_a_point_and_longer_ones_do_not() -> None:
    segments = torch.tensor([[[2.0, 6.0], [2.0005, 6.0], [2.0, 6.5], [0.0, 0.0]]])
    labels = torch.tensor([[0, 1, 2, -1]])
    config = ActionFormerConfig(levels=1)
    targets = assign_targets(make_points(8, config, CPU), segments, labels, 3, config)
    assert targets.classes[0, 4].tolist() == [1, 1, 0]
    torch.testing.assert_close(targets.segments[0, 4], torch.tensor([2.0005, 6.0]))


def test_padding_of_the_ground_truth_changes_nothing(head_config: ActionFormerConfig) -> None:
    network = awake(head_config)
    features, mask = torch.randn(1, 8, 32, dtype=torch.float64), torch.ones(1, 32, dtype=torch.bool)
    segments, labels = torch.tensor([[[3.0, 9.0], [10.0, 20.0]]]), torch.tensor([[0, 2]])
    more = torch.cat((segments, torch.tensor([[[4.0, 5.0], [float("nan"), 7.0]]])), 1)
    first = network.loss(features, mask, segments, labels)
    second = network.loss(features, mask, more.nan_to_num(0), torch.tensor([[0, 2, -1, -1]]))
    assert first["positives"] > 0
    assert torch.equal(first["loss"], second["loss"])


def naive_loss(network: ActionFormerHead, predictions: Predictions, actions: list[Any]) -> tuple[float, float, int]:
    """Unnormalised classification and regression sums, and the number of positives, of one window."""
    smoothing, classes = network.config.label_smoothing, network.num_classes
    length = int(predictions.points.position.amax()) + 1
    targets = naive_targets(length, network.config, actions, classes)
    classification = regression = 0.0
    positives = 0
    for index, (target, offsets) in enumerate(targets):
        if not predictions.valid[0, index]:
            continue
        for logit, wanted in zip(predictions.logits[0, index].tolist(), target, strict=True):
            t = wanted * (1 - smoothing) + smoothing / (classes + 1)
            p = 1 / (1 + math.exp(-logit))
            entropy = -t * math.log(p) - (1 - t) * math.log(1 - p)
            classification += (0.25 * t + 0.75 * (1 - t)) * (1 - p * t - (1 - p) * (1 - t)) ** 2 * entropy
        if offsets is None:
            continue
        positives += 1
        stride, p = predictions.points.stride[index].item(), predictions.points.position[index].item()
        r0, r1 = predictions.offsets[0, index].tolist()
        a, b = (p - r0 * stride, p + r1 * stride), (p - offsets[0] * stride, p + offsets[1] * stride)
        shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
        union = max(a[1] - a[0] + b[1] - b[0] - shared, 1e-7)
        hull = max((max(a[1], b[1]) - min(a[0], b[0])) ** 2, 1e-7)
        regression += 1 - shared / union + ((a[0] + a[1] - b[0] - b[1]) / 2) ** 2 / hull
    return classification, regression, positives


@pytest.mark.parametrize(("smoothing", "weight"), [(0.0, 1.0), (0.1, 2.0)])
def test_loss_equals_a_loop(head_config: ActionFormerConfig, smoothing: float, weight: float) -> None:
    network = awake(replace(head_config, label_smoothing=smoothing, regression_weight=weight))
    features = torch.randn(1, 8, 32, dtype=torch.float64)
    mask = (torch.arange(32) < 25)[None]
    actions = [(2.0, 6.5, 0), (10.0, 24.0, 2), (20.0, 30.0, 1)]
    segments = torch.tensor([[action[:2] for action in actions]])
    labels = torch.tensor([[action[2] for action in actions]])
    got = network.loss(features, mask, segments, labels)
    classification, regression, positives = naive_loss(network, network(features, mask), actions)
    assert positives > 3
    assert got["positives"].item() == positives
    assert got["classification"].item() == pytest.approx(classification / positives, rel=1e-9)
    assert got["regression"].item() == pytest.approx(regression / positives, rel=1e-9)
    assert got["loss"].item() == pytest.approx((classification + weight * regression) / positives, rel=1e-9)


def test_a_window_without_actions_has_a_finite_loss_and_gradient(head_config: ActionFormerConfig) -> None:
    network = head(head_config)
    out = network.loss(torch.randn(1, 8, 32), torch.ones(1, 32).bool(), torch.zeros(1, 16, 2), torch.full((1, 16), -1))
    out["loss"].backward()
    assert out["positives"] == 0
    assert out["regression"] == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_normaliser_runs_in_training_only_and_is_a_float_buffer(head_config: ActionFormerConfig) -> None:
    network = head(replace(head_config, normaliser_init=100.0))
    batch = (
        torch.randn(1, 8, 32),
        torch.ones(1, 32).bool(),
        torch.tensor([[[2.0, 6.5], [10.0, 24.0]]]),
        torch.tensor([[0, 2]]),
    )
    assert network.state_dict()["normaliser.value"].dtype == torch.float32
    value = 100.0
    for _ in range(3):
        out = network.loss(*batch)
        value = 0.9 * value + 0.1 * max(out["positives"].item(), 1)
        assert network.normaliser.value.item() == pytest.approx(value, rel=1e-6)
    network.eval()
    out = network.loss(*batch)
    assert network.normaliser.value.item() == pytest.approx(value, rel=1e-6)
    training = network.train().loss(*batch)
    ratio = training["classification"] / out["classification"]
    assert ratio.item() == pytest.approx(out["positives"].item() / network.normaliser.value.item(), rel=1e-4)


def test_losses_of_two_steps_can_be_summed_before_backward(head_config: ActionFormerConfig) -> None:
    network = head(head_config)
    batch = (
        torch.randn(1, 8, 32),
        torch.ones(1, 32).bool(),
        torch.tensor([[[2.0, 6.5]]]),
        torch.tensor([[0]]),
    )
    (network.loss(*batch)["loss"] + network.loss(*batch)["loss"]).backward()


def test_untrained_points_are_almost_sure_of_nothing(head_config: ActionFormerConfig) -> None:
    network = head(head_config)
    assert network.classification.out.bias is not None
    assert network.classification.out.bias.tolist() == pytest.approx([-4.59512] * 3, abs=1e-5)
    assert network.scales.tolist() == [1] * 4
    assert network.regression.out.bias is not None
    assert network.regression.out.bias.any(), "the published code leaves this one at PyTorch's default"


def silent_sides(config: ActionFormerConfig, seed: int) -> int:
    """Count the sides without any gradient on a new head: features that hardly differ from cell to cell."""
    torch.manual_seed(seed)
    network = ActionFormerHead(config, channels=96, num_classes=8, length=64).eval()
    features = torch.randn(1, 96, 1) + 0.1 * torch.randn(1, 96, 64)
    predictions = network(features, torch.ones(1, 64).bool())
    return int((predictions.offsets.detach().amax(dim=(0, 1)) == 0).sum())


def test_a_bias_keeps_both_sides_from_being_silent_at_the_start() -> None:
    config = TINY_HEADS["actionformer"]
    assert isinstance(config, ActionFormerConfig)
    assert sum(silent_sides(replace(config, offset_bias=0.0), seed) for seed in range(20)) > 0
    assert sum(silent_sides(config, seed) for seed in range(20)) == 0


def test_the_bias_of_the_offsets_is_added_and_changes_nothing_else(head_config: ActionFormerConfig) -> None:
    torch.manual_seed(0)
    plain = head(head_config).state_dict()
    torch.manual_seed(0)
    moved = head(replace(head_config, offset_bias=1.5)).state_dict()
    differ = {name for name, value in plain.items() if not torch.equal(value, moved[name])}
    assert differ == {"regression.out.bias"}
    torch.testing.assert_close(moved["regression.out.bias"], plain["regression.out.bias"] + 1.5)


def on_valid(predictions: Predictions) -> tuple[Tensor, Tensor]:
    return predictions.logits[predictions.valid], predictions.segments()[predictions.valid]


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("position_embedding", [False, True])
def test_more_padding_changes_nothing(head_config: ActionFormerConfig, window: int, position_embedding: bool) -> None:
    config = replace(head_config, attention_window=window, position_embedding=position_embedding)
    network = awake(config, length=64)
    features = torch.randn(2, 8, 64, dtype=torch.float64)
    # Every level has a padded cell in both: the published neck does not mask again, so the tower of a level that is
    # valid to its last cell sees the convolution's zeros where it would see the norm's bias.
    valid = torch.tensor([21, 24])[:, None]
    short = network(features[..., :32], torch.arange(32) < valid)
    long = network(features, torch.arange(64) < valid)
    for first, second in zip(on_valid(short), on_valid(long), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


def test_what_lies_in_the_padding_does_not_matter(head_config: ActionFormerConfig) -> None:
    network = awake(head_config)
    features = torch.randn(1, 8, 32, dtype=torch.float64)
    mask = (torch.arange(32) < 20)[None]
    other = features.clone()
    # One padded cell is seen by the first convolution (adatad-facts 12.25); nothing beyond it is.
    other[..., 21:] = 1e3
    for first, second in zip(on_valid(network(features, mask)), on_valid(network(other, mask)), strict=True):
        assert torch.equal(first, second)


def test_a_length_that_cannot_be_halved_is_padded(head_config: ActionFormerConfig) -> None:
    network = awake(head_config)
    features, mask = torch.randn(1, 8, 27, dtype=torch.float64), torch.ones(1, 27).bool()
    got = network(features, mask)
    padded = network(torch.nn.functional.pad(features, (0, 5)), torch.nn.functional.pad(mask, (0, 5)))
    assert got.valid.sum() == 27 + 14 + 7 + 4
    assert torch.equal(got.logits, padded.logits)


def test_a_longer_sequence_stretches_the_position_table(head_config: ActionFormerConfig) -> None:
    network = awake(replace(head_config, position_embedding=True), length=16)
    out = network(torch.randn(1, 8, 32, dtype=torch.float64), torch.ones(1, 32).bool())
    assert out.logits.isfinite().all()
    assert "pyramid.positions" not in network.state_dict()


def test_input_dropout_drops_whole_channels(head_config: ActionFormerConfig) -> None:
    network = head(replace(head_config, input_dropout=0.5))
    seen: list[Tensor] = []
    network.pyramid.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    network(torch.ones(4, 8, 32), torch.ones(4, 32).bool())
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}
    assert torch.equal(seen[0].amin(-1), seen[0].amax(-1))


def test_strict_masking_hides_all_padding_whatever_its_extent(head_config: ActionFormerConfig) -> None:
    network = awake(replace(head_config, masking="strict"), length=64)
    features = torch.randn(1, 8, 64, dtype=torch.float64)
    other = features.clone()
    other[..., 20:] = 1e3
    mask = (torch.arange(64) < 20)[None]
    whole, changed = network(features, mask), network(other, mask)
    cut = network(features[..., :24], mask[:, :24])
    for first, second, third in zip(on_valid(whole), on_valid(changed), on_valid(cut), strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, third, rtol=1e-9, atol=1e-9)


def test_the_published_masking_lets_one_padded_cell_and_the_norms_bias_through(head_config: ActionFormerConfig) -> None:
    network = awake(head_config)
    features, mask = torch.randn(1, 8, 32, dtype=torch.float64), (torch.arange(32) < 20)[None]
    other = features.clone()
    other[..., 20] += 1
    assert not torch.equal(on_valid(network(features, mask))[0], on_valid(network(other, mask))[0])
    strict = awake(replace(head_config, masking="strict"))
    strict.load_state_dict(network.state_dict())
    full = torch.ones(1, 32, dtype=torch.bool)
    torch.testing.assert_close(network(features, full).logits, strict(features, full).logits)
    assert not torch.allclose(network(features, mask).logits, strict(features, mask).logits)


def test_the_coarsest_levels_attend_fully_where_the_config_says_so(head_config: ActionFormerConfig) -> None:
    config = replace(head_config, levels=4, attention_window=5, full_attention_levels=2)
    network = awake(config, length=64)
    assert [block.attention.reach for block in network.pyramid.stem] == [2] * config.stem_layers
    assert [block.attention.reach for block in network.pyramid.branch] == [2, 0, 0]
