import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from models.config import GTADConfig
from models.heads.align import sampling_matrix
from models.heads.graph import gather_cells, nearest_cells
from models.heads.gtad import GTADHead

TOY = GTADConfig(graph_width=16, map_width=12, map_hidden=8, longest=6, roi_bins=3, context_bins=2)
LENGTH = 16
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def head(config: GTADConfig = TOY, **kwargs: Any) -> GTADHead:
    return GTADHead(config, **({"channels": 8, "num_classes": 3, "length": LENGTH} | kwargs))


def awake(config: GTADConfig = TOY, **kwargs: Any) -> GTADHead:
    """A head in float64 whose every parameter matters."""
    network = head(config, **kwargs).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture
def windows() -> Batch:
    """Two windows, the second one partly padding; two actions share a place, one is longer than any proposal."""
    features = torch.randn(2, 8, LENGTH, dtype=torch.float64)
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 11])[:, None]
    segments = torch.tensor([[[2.0, 6.3], [9.0, 12.0], [1.0, 15.0]], [[3.1, 5.0], [3.0, 5.0], [0, 0]]])
    labels = torch.tensor([[0, 2, 1], [1, 2, -1]])
    return features, mask, segments, labels


@pytest.mark.parametrize(
    ("config", "channels", "length", "count"),
    [
        (GTADConfig(), 2048, 256, 6_141_828),
        (GTADConfig(longest=100, roi_bins=32, context_bins=4, map_kernel=1), 400, 100, 5_563_268),
        (GTADConfig(longest=100, roi_bins=32, context_bins=4, map_kernel=1), 512, 100, 5_584_772),
    ],
    ids=["thumos_i3d", "anet_tsn", "anet_tsp"],
)
def test_published_parameter_counts(config: GTADConfig, channels: int, length: int, count: int) -> None:
    with torch.device("meta"):
        network = head(replace(config, class_agnostic=True), channels=channels, length=length)
    assert sum(p.numel() for p in network.parameters()) == count
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


def test_each_further_class_adds_one_output() -> None:
    counts = [sum(p.numel() for p in head(num_classes=classes).parameters()) for classes in (1, 2, 20)]
    assert counts[1] - counts[0] == TOY.map_hidden + 1
    assert counts[2] - counts[0] == 19 * (TOY.map_hidden + 1)


def published_forward(network: GTADHead, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boundaries, classification and regression of every proposal, in the published order of steps.

    Strictly masked, there is nothing but zeros in padding, nor where a proposal would end in it or after the window.
    """
    config, valid = network.config, mask[:, None]
    grid = [(d, s) for d in range(config.longest) for s in range(LENGTH)]
    exists, inside = None, torch.ones(len(mask), 1, config.longest, LENGTH)
    if config.masking == "strict":
        exists, features = mask, features * valid
        for b, length in enumerate(mask.sum(1).tolist()):
            for d, s in grid:
                inside[b, 0, d, s] = s + d + 1 <= length
    cells = network.projection(features).mul(valid).relu() * valid
    cells = network.graph(cells, exists) * valid
    boundaries = torch.cat([branch.out(branch.graph(cells, exists)) for branch in (network.start, network.end)], dim=1)
    branch = network.proposals
    cells = branch.graph(cells, exists)
    context = gather_cells(cells, nearest_cells(cells, config.neighbours, exists)).mean(-1)
    if exists is not None:
        context = context * valid
    aligned = []
    for values, bins in ((cells, config.roi_bins), (context, config.context_bins)):
        rows, columns, weights = map(torch.from_numpy, sampling_matrix(LENGTH, config.longest, bins))
        matrix = torch.zeros(config.longest * LENGTH, bins * LENGTH, dtype=torch.float64)
        matrix[rows, columns] = weights
        shape = (config.longest, LENGTH, bins, LENGTH)
        aligned.append(torch.einsum("d s k t, b c t -> b c k d s", matrix.reshape(shape), values))
    maps = branch.features.mix(torch.cat(aligned, dim=2).flatten(1, 2)).relu() * inside
    for conv in branch.convs:
        maps = conv(maps).relu() * inside
    maps = branch.out(maps)
    listed = torch.stack([maps[:, :, d, s] for d, s in grid if s + d + 1 <= LENGTH], dim=-1)
    return boundaries, listed[:, :-1], listed[:, -1]


@pytest.mark.parametrize("masking", ["opentad", "strict"])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("context_bins", [2, 3])
def test_outputs_equal_the_published_order_of_steps(
    windows: Batch, masking: Any, kernel: int, context_bins: int
) -> None:
    network = awake(replace(TOY, masking=masking, map_kernel=kernel, context_bins=context_bins))
    features, mask, *_ = windows
    got = network(features, mask)
    expected = published_forward(network, features, mask)
    torch.testing.assert_close(got.boundaries, expected[0], rtol=1e-9, atol=1e-9)
    # A map entry that is not inside of the video says nothing; the other entries' weights are kept in float32.
    within = (
        mask[:, network.map.segments()[:, 1].long() - 1] if masking == "strict" else torch.ones_like(got.regression)
    )
    for a, b in ((got.classification, expected[1]), (got.regression[:, None], expected[2][:, None])):
        torch.testing.assert_close(a * within[:, None], b * within[:, None], rtol=1e-5, atol=1e-5)


def balanced(terms: list[tuple[float, bool]]) -> float:
    sides = [[loss for loss, positive in terms if positive is side] for side in (True, False)]
    if not all(sides):
        return sum(loss for loss, _ in terms) / len(terms)
    return sum(sum(side) / len(side) for side in sides) / 2


def entropy(logit: float, truth: bool) -> float:
    return -math.log(1 / (1 + math.exp(-logit if truth else logit)))


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)


def naive_losses(network: GTADHead, batch: Batch, draws: list[Tensor]) -> dict[str, float]:
    """The losses by loops over windows, cells and proposals; `draws` are the two random maps of the subsampling."""
    features, mask, segments, labels = batch
    predictions, strict = network(features, mask), network.config.masking == "strict"
    grid = [tuple(segment) for segment in network.map.segments().tolist()]
    starts, ends, classes, errors = [], [], [], []
    for b in range(len(features)):
        actions = [(s, e, c) for (s, e), c in zip(segments[b].tolist(), labels[b].tolist(), strict=True) if c >= 0]
        for t in range(LENGTH):
            if strict and not mask[b, t]:
                continue
            for side, terms in ((0, starts), (1, ends)):
                covered = [min(t + 1, a[side] + 1.5) - max(t, a[side] - 1.5) for a in actions]
                near = any(share > 0.5 for share in covered)
                terms.append((entropy(predictions.boundaries[b, side, t].item(), near), near))
        for index, (start, end) in enumerate(grid):
            if strict and not mask[b, int(end) - 1]:
                continue
            ious = [(overlap((start, end), (s, e)), c) for s, e, c in actions]
            wanted = {c for iou, c in ious if iou > 0.9}
            truths = [bool(wanted)] if network.config.class_agnostic else [c in wanted for c in range(3)]
            logits = predictions.classification[b, :, index].tolist()
            classes.append((sum(entropy(x, y) for x, y in zip(logits, truths, strict=True)), bool(wanted)))
            best = max((iou for iou, _ in ious), default=0.0)
            probability = 1 / (1 + math.exp(-predictions.regression[b, index].item()))
            errors.append((best, (probability - best) ** 2, [draw[b, index].item() for draw in draws]))
    kinds = [0 if best > 0.7 else 1 if best > 0.3 else 2 for best, *_ in errors]
    counts = [kinds.count(kind) for kind in range(3)]
    chosen = [
        error
        for (_, error, draw), kind in zip(errors, kinds, strict=True)
        if kind == 0 or counts[0] == 0 or draw[kind - 1] > 1 - counts[0] / counts[kind]
    ]
    return {
        "boundary": balanced(starts) + balanced(ends),
        "classification": balanced(classes),
        "regression": 5 * sum(chosen) / len(chosen),
        "positives": sum(positive for _, positive in classes),
    }


def draws_after(seed: int, count: int) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(2, count) for _ in range(2)]


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_losses_equal_loops(windows: Batch, agnostic: bool, masking: Any) -> None:
    network = awake(replace(TOY, class_agnostic=agnostic, masking=masking))
    expected = naive_losses(network, windows, draws_after(3, len(network.map.index)))
    torch.manual_seed(3)
    got = network.loss(*windows)
    for name, value in expected.items():
        assert got[name].item() == pytest.approx(value, rel=1e-6), name
    assert expected["positives"] >= 3
    parts = expected["boundary"] + expected["classification"] + expected["regression"]
    assert got["loss"].item() == pytest.approx(parts, rel=1e-6)


def test_the_regression_keeps_its_weight_where_no_proposal_comes_near_an_action(windows: Batch) -> None:
    network = awake()
    features, mask, *_ = windows
    long, labels = torch.tensor([[[0.0, 15.0]], [[0.0, 11.0]]]), torch.tensor([[0], [2]])
    got = network.loss(features, mask, long, labels)
    expected = naive_losses(network, (features, mask, long, labels), draws_after(0, len(network.map.index)))
    assert got["positives"] == 0
    assert got["regression"].item() == pytest.approx(expected["regression"], rel=1e-6)


@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_windows_without_actions_or_without_video_have_finite_losses_and_gradients(masking: Any) -> None:
    network = head(replace(TOY, masking=masking))
    mask = torch.stack((torch.ones(LENGTH), torch.zeros(LENGTH))).bool()
    out = network.loss(torch.randn(2, 8, LENGTH), mask, torch.zeros(2, 4, 2), torch.full((2, 4), -1))
    out["loss"].backward()
    assert out["positives"] == 0
    assert out["loss"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_padding_of_the_ground_truth_changes_nothing(windows: Batch) -> None:
    network = awake()
    features, mask, segments, labels = windows
    more = (
        torch.cat((segments, torch.tensor([[[4.0, 5.0]], [[7.0, 9.0]]])), 1),
        torch.nn.functional.pad(labels, (0, 1), value=-1),
    )
    results = []
    for truth in ((segments, labels), more):
        torch.manual_seed(0)
        results.append(network.loss(features, mask, *truth)["loss"])
    assert torch.equal(*results)


@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_what_lies_in_the_padding_does_not_matter(windows: Batch, masking: Any) -> None:
    network = awake(replace(TOY, masking=masking))
    features, mask, segments, labels = windows
    other = features.clone()
    # Published, the first convolution sees one padded cell, and nothing sees those beyond it.
    other[1, :, 11 if masking == "strict" else 12 :] = 1e3
    for first, second in zip(
        vars(network.detect(features, mask)).values(), vars(network.detect(other, mask)).values(), strict=True
    ):
        assert torch.equal(first, second)
    results = []
    for values in (features, other):
        torch.manual_seed(0)
        results.append(network.loss(values, mask, segments, labels)["loss"])
    assert torch.equal(*results)


def test_strictly_masked_padding_gets_no_gradient_and_holds_no_proposal(windows: Batch) -> None:
    network = awake(replace(TOY, masking="strict"))
    features, mask, segments, labels = windows
    features.requires_grad_()
    network.loss(features, mask, segments, labels)["loss"].backward()
    assert features.grad is not None
    assert not features.grad[1, :, 11:].any()
    assert features.grad[1, :, :11].any(0).all()
    found = network.detect(features, mask)
    assert found.segments[1][found.valid[1]][:, 1].max() == 11


def test_a_video_alone_is_as_in_a_batch(windows: Batch) -> None:
    network = awake()
    features, mask, *_ = windows
    together = network.detect(features, mask)
    for b in range(2):
        alone = network.detect(features[b : b + 1], mask[b : b + 1])
        assert torch.equal(alone.valid[0], together.valid[b])
        torch.testing.assert_close(alone.scores[0], together.scores[b], rtol=1e-6, atol=1e-6)


def kept(probability: list[float], forced: int) -> set[int]:
    """The published boundary candidates of one window."""
    highest, last = max(probability), len(probability) - 1
    peaks = {t for t, p in enumerate(probability) if p >= max(probability[max(t - 1, 0) : min(t + 1, last) + 1])}
    return peaks | {t for t, p in enumerate(probability) if p > highest / 2} | {forced}


@pytest.mark.parametrize("masking", ["opentad", "strict"])
@pytest.mark.parametrize("score", ["map", "map_boundaries"])
def test_detections_equal_a_loop_over_proposals(masking: Any, score: Any) -> None:
    network = awake(replace(TOY, masking=masking, score=score))
    for branch in (network.start, network.end):
        # Far apart, so that some windows' first or last cells are no candidates by themselves.
        branch.out.weight.data.mul_(-5)
    lengths = (LENGTH, 11, 13, LENGTH, LENGTH)
    features = torch.randn(len(lengths), 8, LENGTH, dtype=torch.float64)
    mask = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    predictions, got = network(features, mask), network.detect(features, mask)
    assert got.segments.shape == (len(lengths), 81, 2)
    for b, length in enumerate(lengths):
        seen = length if masking == "strict" else LENGTH
        starts, ends = predictions.boundaries[b].float().sigmoid().tolist()
        first, last = kept(starts[:seen], 0), kept(ends[:seen], seen - 1)
        for index, (start, end) in enumerate(got.segments[b].tolist()):
            s, e = int(start), int(end) - 1
            assert got.valid[b, index].item() == (s in first and e in last and s < length)
            expected = predictions.classification[b, :, index].sigmoid() * predictions.regression[b, index].sigmoid()
            if score == "map_boundaries":
                expected = expected * starts[s] * ends[e]
            torch.testing.assert_close(got.scores[b, index], expected.float(), rtol=1e-5, atol=1e-7)


def test_one_class_is_the_class_agnostic_network() -> None:
    batch = (
        torch.randn(2, 8, LENGTH),
        torch.ones(2, LENGTH).bool(),
        torch.tensor([[[2.0, 6.0], [9.0, 12.0]], [[3.0, 5.0], [0, 0]]]),
        torch.tensor([[0, 0], [0, -1]]),
    )
    results = []
    for agnostic in (False, True):
        torch.manual_seed(0)
        network = head(replace(TOY, class_agnostic=agnostic), num_classes=1)
        results.append((network.loss(*batch)["loss"], network.detect(*batch[:2]).scores))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][1].shape[-1] == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_autocast_changes_little_and_losses_stay_in_float32(windows: Batch, dtype: torch.dtype, masking: Any) -> None:
    network = head(replace(TOY, masking=masking))
    features, *rest = windows
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        network.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            losses = network.loss(features.float(), *rest)
            found = network.detect(features.float(), rest[0])
        losses["loss"].backward()
        assert all(value.dtype == torch.float32 for value in (*losses.values(), found.scores, found.segments))
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        results.append((losses["loss"].item(), found.scores))
    # Measured over 12 seeds: 2e-4 and 3e-4 in bfloat16, a tenth of it in float16.
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-3)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_a_step_and_a_detection_run_on_tensors_without_data(agnostic: bool, masking: Any) -> None:
    config = replace(TOY, class_agnostic=agnostic, masking=masking, score="map_boundaries")
    with FakeTensorMode(allow_non_fake_inputs=False):
        network = head(config)
        features, mask = torch.randn(2, 8, LENGTH), torch.ones(2, LENGTH, dtype=torch.bool)
        out = network.loss(features, mask, torch.zeros(2, 4, 2), torch.zeros(2, 4, dtype=torch.int64))
        out["loss"].backward()
        found = network.detect(features, mask)
    assert all(p.grad is not None and p.grad.shape == p.shape for p in network.parameters())
    assert found.scores.shape == (2, 81, 1 if agnostic else 3)


def test_it_learns_windows_by_heart_and_names_their_classes(windows: Batch) -> None:
    features, mask, *_ = windows
    segments = torch.tensor([[[2.0, 6.0], [9.0, 12.0]], [[3.0, 8.0], [0, 0]]])
    labels = torch.tensor([[0, 2], [1, -1]])
    network = head(replace(TOY, map_width=32, map_hidden=16))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        network.loss(features.float(), mask, segments, labels)["loss"].backward()
        optimizer.step()
    found = network.detect(features.float(), mask)
    for b in range(2):
        truth = {(*s, c) for s, c in zip(segments[b].tolist(), labels[b].tolist(), strict=True) if c >= 0}
        scores = found.scores[b] * found.valid[b, :, None]
        best = scores.flatten().topk(len(truth)).indices
        named = {(*found.segments[b, index // 3].tolist(), int(index % 3)) for index in best}
        assert named == truth


def test_a_proposal_is_never_longer_than_the_window() -> None:
    assert head(replace(TOY, longest=64)).map.segments()[-1].tolist() == [0, LENGTH]


def test_only_three_biases_start_at_zero_as_in_the_published_code() -> None:
    zero = {name for name, p in head().named_parameters() if not p.any()}
    assert zero == {"projection.bias", "start.out.bias", "end.out.bias"}


def test_impossible_shapes_are_refused_with_the_value() -> None:
    with pytest.raises(ValueError, match="have 6 channels, expected a multiple of 4"):
        head(channels=6)
    with pytest.raises(ValueError, match="neighbours is 3, expected at most the 2 cells"):
        head(length=2)
    with pytest.raises(ValueError, match="have 15 cells, expected 16"):
        head()(torch.randn(1, 8, 15), torch.ones(1, 15).bool())
