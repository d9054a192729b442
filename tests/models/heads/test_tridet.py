import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from models.config import TriDetConfig
from models.heads.points import assign_targets
from models.heads.tridet import Predictions, TriDetHead, expected_distance

CONFIG = TriDetConfig(
    width=32,
    embed_layers=1,
    stem_layers=1,
    levels=4,
    sgp_window=3,
    sgp_ratio=1.5,
    sgp_hidden=24,
    bins=4,
    path_dropout=0.0,
)
STRICT = replace(CONFIG, masking="strict")


def head(config: TriDetConfig = CONFIG, **kwargs: Any) -> TriDetHead:
    return TriDetHead(config, **({"channels": 8, "num_classes": 3, "length": 32} | kwargs))


def awake(config: TriDetConfig = CONFIG, **kwargs: Any) -> TriDetHead:
    """A head in float64 whose every parameter matters."""
    network = head(config, **kwargs).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def batch(dtype: torch.dtype = torch.float64, length: int = 32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two windows, one partly padding, with two classes in the same place."""
    features = torch.randn(2, 8, length, dtype=dtype)
    mask = torch.arange(length) < torch.tensor([[32], [25]])
    segments = torch.tensor([[[2.0, 6.5], [2.0, 6.5], [10.0, 24.0]], [[3.0, 9.0], [12.0, 29.0], [0, 0]]], dtype=dtype)
    return features, mask, segments, torch.tensor([[0, 1, 2], [1, 0, -1]])


def slow_distance(boundary: Tensor, centre: Tensor, *, before: bool) -> Tensor:
    """For every cell and class, by a loop over its candidates."""
    samples, length, labels = boundary.shape
    bins = centre.shape[2] - 1
    result = torch.zeros_like(boundary)
    for b in range(samples):
        for t in range(length):
            for label in range(labels):
                weights, distances = [], []
                for distance in range(bins + 1):
                    cell = t - distance if before else t + distance
                    outside = not 0 <= cell < length
                    voice = 0.0 if outside else boundary[b, cell, label].item()
                    # The centre's channels are in the order of time: the farthest first on the left.
                    weights.append(math.exp(voice + centre[b, t, bins - distance if before else distance].item()))
                    distances.append(distance)
                total = sum(weight * d for weight, d in zip(weights, distances, strict=True))
                result[b, t, label] = total / sum(weights)
    return result


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.integers(0, 2**31))
def test_distances_equal_a_loop_over_points_and_bins(
    length: int, bins: int, labels: int, before: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    boundary = torch.randn(2, length, labels, generator=generator, dtype=torch.float64)
    centre = torch.randn(2, length, bins + 1, generator=generator, dtype=torch.float64).relu()
    got = expected_distance(boundary, centre, before=before)
    torch.testing.assert_close(got, slow_distance(boundary, centre, before=before))
    assert (got >= 0).all()
    assert (got <= bins).all()


def test_a_sure_boundary_is_found_by_all_cells_that_can_see_it() -> None:
    boundary = torch.zeros(1, 12, 1)
    boundary[0, 5] = 100
    flat = torch.zeros(1, 12, 5)
    start, end = (expected_distance(boundary, flat, before=before)[0, :, 0].tolist() for before in (True, False))
    assert start[5:10] == pytest.approx([0, 1, 2, 3, 4], abs=1e-30)
    assert end[1:6] == pytest.approx([4, 3, 2, 1, 0], abs=1e-30)
    assert start[10] == end[0] == pytest.approx(2), "out of reach: the middle of the bins"


def slow_loss(
    network: TriDetHead, found: Predictions, actions: list[Any], labels: list[Any]
) -> tuple[float, float, int]:
    """Classification and regression sums over all samples, and the number of positive points."""
    config, classes = network.config, network.num_classes
    targets = assign_targets(found.points, torch.tensor(actions).double(), torch.tensor(labels), classes, config)
    classification = regression = 0.0
    positives = 0
    for sample in range(len(actions)):
        for index in (i for i, valid in enumerate(found.valid[sample].tolist()) if valid):
            position, stride = found.points.position[index].item(), found.points.stride[index].item()
            wanted = targets.classes[sample, index].tolist()
            positives += any(wanted)
            c, d = targets.segments[sample, index].tolist()
            for label, logit in enumerate(found.logits[sample, index].tolist()):
                t = wanted[label] * (1 - config.label_smoothing) + config.label_smoothing / (classes + 1)
                p = 1 / (1 + math.exp(-logit))
                entropy = -t * math.log(p) - (1 - t) * math.log(1 - p)
                focal = (0.25 * t + 0.75 * (1 - t)) * (1 - p * t - (1 - p) * (1 - t)) ** 2 * entropy
                if wanted[label]:
                    start, end = found.offsets[sample, index, label].tolist()
                    a, b = position - start * stride, position + end * stride
                    shared = max(0.0, min(b, d) - max(a, c))
                    overlap = shared / (b - a + d - c - shared)
                    focal *= overlap**config.iou_power
                    hull = max(b, d) - min(a, c)
                    regression += 1 - overlap + ((a + b - c - d) / 2) ** 2 / hull**2
                classification += focal
    return classification, regression, positives


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("smoothing", "power", "weight"), [(0.0, 0.2, 1.0), (0.1, 1.0, 2.0)])
def test_loss_equals_a_loop(smoothing: float, power: float, weight: float, training: bool) -> None:
    config = replace(CONFIG, label_smoothing=smoothing, iou_power=power, regression_weight=weight, normaliser_init=50.0)
    network = awake(config).train(training)
    features, mask, segments, labels = batch()
    segments[1, 2], labels[1, 2] = torch.tensor([24.5, 31.0]), 2  # lies in the padding
    got = network.loss(features, mask, segments, labels)
    slow = slow_loss(network, network(features, mask), segments.tolist(), labels.tolist())
    classification, regression, positives = slow
    assert positives > 6
    mean = 0.9 * 50 + 0.1 * positives if training else 50
    assert network.normaliser.value.item() == pytest.approx(mean, rel=1e-6)
    regression /= mean if training else positives
    assert got["positives"].item() == positives
    assert got["classification"].item() == pytest.approx(classification / mean, rel=1e-6)
    assert got["regression"].item() == pytest.approx(regression, rel=1e-6)
    assert got["loss"].item() == pytest.approx(classification / mean + weight * regression, rel=1e-6)


def gradient_sum(module: torch.nn.Module) -> float:
    return sum(p.grad.abs().sum().item() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize(("power", "learns"), [(0.5, True), (0.0, False)])
def test_classification_alone_moves_segments_through_its_overlap(power: float, learns: bool) -> None:
    network = awake(replace(CONFIG, iou_power=power, regression_weight=0.0))
    network.loss(*batch())["loss"].backward()
    assert gradient_sum(network.classification) > 0
    for tower in (network.centre, network.start, network.end):
        assert (gradient_sum(tower) > 0) == learns


def test_boundary_towers_learn_but_do_not_shape_the_features() -> None:
    network = awake()
    for parameter in network.centre.out.parameters():
        torch.nn.init.zeros_(parameter)
    network(*batch()[:2]).offsets.square().sum().backward()
    assert gradient_sum(network.start) > 0
    assert gradient_sum(network.end) > 0
    assert gradient_sum(network.pyramid) == 0


def test_a_point_of_two_classes_regresses_a_segment_for_each() -> None:
    network = awake()
    features, mask, segments, labels = batch()
    both, one = network.loss(features, mask, segments, labels), labels.clone()
    one[0, 1] = -1
    alone = network.loss(features, mask, segments, one)
    assert both["positives"] == alone["positives"]
    assert both["regression"] > alone["regression"]


@pytest.mark.parametrize("config", [CONFIG, STRICT])
def test_a_window_without_actions_has_a_finite_loss_and_gradient(config: TriDetConfig) -> None:
    network = head(config)
    mask = torch.arange(32) < torch.tensor([[32], [0]])
    out = network.loss(torch.randn(2, 8, 32), mask, torch.zeros(2, 16, 2), torch.full((2, 16), -1))
    out["loss"].backward()
    assert out["positives"] == 0
    assert out["regression"] == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_segment_of_no_length_has_a_finite_gradient() -> None:
    network = awake(replace(CONFIG, iou_power=0.2))
    weight, bias = network.centre.out.parameters()
    with torch.no_grad():
        # Every point is sure that both ends are where it is.
        weight.zero_()
        bias.zero_()
        bias[[CONFIG.bins, CONFIG.bins + 1]] = 1e4
        network.scales.fill_(1)
    features, mask, segments, labels = batch()
    assert not network(features, mask).offsets.any()
    network.loss(features, mask, segments, labels)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def on_valid(found: Predictions) -> tuple[Tensor, Tensor]:
    return found.logits[found.valid], found.segments()[found.valid]


def test_strict_padding_is_as_if_the_window_ended_there() -> None:
    network = awake(replace(STRICT, position_embedding=True), length=64)
    features = torch.randn(2, 8, 64, dtype=torch.float64)
    for valid in (torch.tensor([[32], [32]]), torch.tensor([[21], [9]])):
        short = network(features[..., :32], torch.arange(32) < valid)
        other = features.clone()
        other[~(torch.arange(64) < valid)[:, None].expand(-1, 8, -1)] = 1e3
        long = network(other, torch.arange(64) < valid)
        for first, second in zip(on_valid(short), on_valid(long), strict=True):
            torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


def test_published_masking_lets_padded_boundaries_have_a_say() -> None:
    """Where the pyramid hears nothing of padding, only the candidates there are left, and they lie to the right."""
    network, strict = awake(replace(CONFIG, levels=1)), awake(replace(STRICT, levels=1))
    for name, parameter in network.named_parameters():
        if name == "norms.0.bias" or ("stem" in name and not name.endswith(".norm.weight")):
            torch.nn.init.zeros_(parameter)
    strict.load_state_dict(network.state_dict())
    features, mask = torch.randn(1, 8, 32, dtype=torch.float64), (torch.arange(32) < 20)[None]
    features = features * mask[:, None]
    first, second = network(features, mask), strict(features, mask)
    difference = (first.offsets - second.offsets)[0, :20].abs().amax(1)
    assert (difference[:, 0] < 1e-9).all(), "starts look left"
    assert (difference[:16, 1] < 1e-9).all()
    assert (difference[16:20, 1] > 1e-6).all()
    torch.testing.assert_close(first.logits[:, :20], second.logits[:, :20])


@pytest.mark.parametrize("config", [CONFIG, STRICT])
def test_a_video_alone_is_as_in_a_batch(config: TriDetConfig) -> None:
    network = awake(config)
    features, mask, _, _ = batch()
    together = network(features, mask)
    for index in range(2):
        alone = network(features[index : index + 1], mask[index : index + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[index], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(alone.offsets[0], together.offsets[index], rtol=1e-9, atol=1e-9)


def test_a_length_that_cannot_be_halved_is_padded() -> None:
    network = awake()
    features, mask = torch.randn(1, 8, 27, dtype=torch.float64), torch.ones(1, 27).bool()
    got = network(features, mask)
    padded = network(torch.nn.functional.pad(features, (0, 5)), torch.nn.functional.pad(mask, (0, 5)))
    assert got.valid.sum() == 27 + 14 + 7 + 4
    assert torch.equal(got.logits, padded.logits)


def test_padding_of_the_ground_truth_changes_nothing() -> None:
    network = awake()
    features, mask, segments, labels = batch()
    more = torch.cat((segments, torch.tensor([[[4.0, 5.0]], [[7.0, 7.0]]]).double()), 1)
    first = network.loss(features, mask, segments, labels)
    second = network.loss(features, mask, more, torch.cat((labels, torch.full((2, 1), -1)), 1))
    assert torch.equal(first["loss"], second["loss"])


def test_detections_hold_a_segment_per_class_around_the_point() -> None:
    network = awake()
    features, mask, _, _ = batch()
    found, points = network.detect(features, mask), network(features, mask).points
    assert found.segments.shape == (2, 60, 3, 2)
    assert {found.segments.dtype, found.scores.dtype} == {torch.float32}
    assert found.valid.sum(1).tolist() == [60, 25 + 13 + 7 + 4]
    reach = CONFIG.bins * points.stride[:, None]
    start, end = found.segments.unbind(-1)
    assert (start <= points.position[:, None]).all()
    assert (end >= points.position[:, None]).all()
    assert (end - start <= 2 * reach + 1e-4).all()
    assert (found.segments.amax(2) > found.segments.amin(2)).any(), "classes differ"


def test_a_step_runs_on_tensors_without_data() -> None:
    real = head(replace(CONFIG, input_noise=0.1, path_dropout=0.1)).train()
    expected = real.loss(*batch(torch.float32))
    with FakeTensorMode():
        network = head(replace(CONFIG, input_noise=0.1, path_dropout=0.1)).train()
        features, mask = torch.randn(2, 8, 32), torch.ones(2, 32, dtype=torch.bool)
        losses = network.loss(features, mask, torch.zeros(2, 3, 2), torch.zeros(2, 3, dtype=torch.int64))
        losses["loss"].backward()
        found = network.detect(features, mask)
    assert losses.keys() == expected.keys()
    assert found.segments.shape == (2, 60, 3, 2)
    assert all(p.grad is not None and p.grad.shape == p.shape for p in network.parameters())


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
@pytest.mark.parametrize("config", [CONFIG, STRICT])
def test_half_precision_stays_finite_and_close(config: TriDetConfig, precision: torch.dtype, tolerance: float) -> None:
    network = head(config).eval()
    inputs = batch(torch.float32)
    expected = network.loss(*inputs)["loss"]
    with torch.autocast("cpu", dtype=precision):
        got = network.loss(*inputs)
        found = network.detect(*inputs[:2])
    assert {value.dtype for value in got.values()} == {torch.float32}
    assert {found.segments.dtype, found.scores.dtype} == {torch.float32}
    got["loss"].backward()
    assert got["loss"].item() == pytest.approx(expected.item(), rel=tolerance)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_state_fills_another_head() -> None:
    network, other = awake(replace(CONFIG, position_embedding=True)), awake(replace(CONFIG, position_embedding=True))
    network.normaliser.value.fill_(42)
    other.load_state_dict(network.state_dict())
    features, mask, segments, labels = batch()
    assert torch.equal(network(features, mask).segments(), other(features, mask).segments())
    assert torch.equal(
        network.loss(features, mask, segments, labels)["loss"], other.loss(features, mask, segments, labels)["loss"]
    )
    assert "pyramid.positions" not in network.state_dict()


def test_positions_are_sinusoids_for_every_cell_of_the_padded_window() -> None:
    table = head(replace(CONFIG, position_embedding=True), length=27).pyramid.positions
    assert table is not None
    assert table.shape == (32, 32)
    assert table[1, :2].tolist() == pytest.approx([math.sin(1) / math.sqrt(32), math.cos(1) / math.sqrt(32)])
    assert head().pyramid.positions is None


def test_untrained_points_are_almost_sure_of_nothing() -> None:
    network = head()
    assert network.classification.out.bias is not None
    assert network.classification.out.bias.tolist() == pytest.approx([-4.59512] * 3, abs=1e-5)
    assert network.scales.tolist() == [1] * 4
    for tower in (network.centre, network.start, network.end):
        assert tower.out.bias is not None
        assert tower.out.bias.abs().max() < 0.5, "OpenTAD leaves these at PyTorch's default"


def test_one_batch_is_learned_by_heart() -> None:
    network = head(replace(CONFIG, sgp_init=0.2, normaliser_init=10.0))
    features, mask, segments, labels = batch(torch.float32)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        optimiser.zero_grad()
        network.loss(features, mask, segments, labels)["loss"].backward()
        optimiser.step()
    found = network.eval().detect(features, mask)
    for sample, (actions, classes) in enumerate(zip(segments, labels, strict=True)):
        for action, label in ((a, c) for a, c in zip(actions.tolist(), classes.tolist(), strict=True) if c >= 0):
            scores = found.scores[sample, :, label].masked_fill(~found.valid[sample], 0)
            best = found.segments[sample, scores.argmax(), label]
            assert scores.max() > 0.6
            torch.testing.assert_close(best, torch.tensor(action), atol=0.5, rtol=0)
