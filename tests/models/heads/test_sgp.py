import math
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.config import TriDetConfig
from models.heads.sgp import MaskedGroupNorm, SGPBlock, SGPPyramid, far_kernel

CONFIG = TriDetConfig(
    width=32, embed_layers=1, stem_layers=1, levels=4, sgp_window=3, sgp_ratio=1.5, sgp_hidden=6, path_dropout=0.0
)
Rows = list[list[float]]
"""Cells of one sample: one row per channel."""


def awake(module: Any, std: float = 0.4) -> Any:
    """The module in float64 and evaluation mode, with every parameter mattering."""
    for parameter in module.double().eval().parameters():
        nn.init.normal_(parameter, std=std)
    return module


def masks(length: int, *valid: int) -> Tensor:
    return torch.arange(length) < torch.tensor(valid)[:, None]


@pytest.mark.parametrize(
    ("window", "ratio", "kernel"),
    [(1, 5.0, 11), (15, 1.3, 21), (1, 1.3, 3), (1, 4.0, 9), (5, 2.0, 13), (1, 2.0, 5), (3, 1.2, 5)],
)
def test_the_wide_kernels_are_the_published_ones(window: int, ratio: float, kernel: int) -> None:
    assert far_kernel(window, ratio) == kernel


def slow_halving(block: SGPBlock, cells: Rows, counts: list[bool], kind: str) -> Rows:
    pooled: Rows = []
    for channel in cells:
        row = []
        for middle in range(0, len(channel), 2):
            around = range(middle - 1, middle + 2) if kind == "max" else (middle, middle + 1)
            seen = [channel[i] for i in around if 0 <= i < len(channel) and counts[i]]
            value = 0.0 if not seen else max(seen) if kind == "max" else sum(seen) / len(seen)
            row.append(value if counts[middle] else 0.0)
        pooled.append(row)
    if kind == "max":
        return pooled
    assert block.halving is not None
    weight, bias = (parameter.tolist() for parameter in block.halving.parameters())
    return [
        [sum(w[0] * row[t] for w, row in zip(ws, pooled, strict=True)) + b for t in range(len(pooled[0]))]
        for ws, b in zip(weight, bias, strict=True)
    ]


def slow_norm(values: list[float], eps: float = 1e-5) -> list[float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + eps)
    return [(value - mean) / deviation for value in values]


def slow_depthwise(conv: nn.Conv1d, channel: int, row: list[float], t: int) -> float:
    assert conv.bias is not None
    kernel = conv.weight[channel, 0].tolist()
    total = conv.bias[channel].item()
    for k, weight in enumerate(kernel):
        if 0 <= t + k - len(kernel) // 2 < len(row):
            total += weight * row[t + k - len(kernel) // 2]
    return total


def slow_mix(block: SGPBlock, cells: Rows, counts: list[bool]) -> Rows:
    width, length = len(cells), len(counts)
    normed = [[0.0] * length for _ in range(width)]
    for t in (t for t in range(length) if counts[t]):
        for c, value in enumerate(slow_norm([row[t] for row in cells])):
            normed[c][t] = value * block.norm.weight[c].item() + block.norm.bias[c].item()
    mixed = [[0.0] * length for _ in range(width)]
    for c, row in enumerate(normed):
        context = max(slow_depthwise(block.context, c, [sum(row) / max(sum(counts), 1)], 0), 0)
        for t in range(length):
            instant, near, far, gate = (
                slow_depthwise(conv, c, row, t) for conv in (block.instant, block.near, block.far, block.gate)
            )
            mixed[c][t] = instant * context + (near + far) * gate + row[t]
    return mixed


def slow_mlp(block: SGPBlock, cells: Rows, counts: list[bool]) -> Rows:
    per_group, length = len(cells) // 16, len(counts)
    normed = [[0.0] * length for _ in cells]
    places = [t for t in range(length) if counts[t]]
    for first in range(0, len(cells) if places else 0, per_group):
        members = [(c, t) for c in range(first, first + per_group) for t in places]
        for (c, t), value in zip(members, slow_norm([cells[c][t] for c, t in members]), strict=True):
            normed[c][t] = value * block.group_norm.weight[c].item() + block.group_norm.bias[c].item()
    into, biases, out, last = (parameter.tolist() for parameter in block.mlp.parameters())
    result = [[0.0] * length for _ in cells]
    for t in range(length):
        hidden = [sum(w[0] * row[t] for w, row in zip(ws, normed, strict=True)) for ws in into]
        hidden = [h + b for h, b in zip(hidden, biases, strict=True)]
        hidden = [h * 0.5 * (1 + math.erf(h / math.sqrt(2))) for h in hidden]
        for c, (ws, b) in enumerate(zip(out, last, strict=True)):
            result[c][t] = sum(w[0] * h for w, h in zip(ws, hidden, strict=True)) + b
    return result


def slow_block(block: SGPBlock, cells: Rows, valid: list[bool], kind: str) -> Rows:
    """One sample through a block, from the definition: `counts` are the cells that padding rules let have a say."""
    if block.halving is not None:
        cells = slow_halving(block, cells, valid if block.strict else [True] * len(valid), kind)
        valid = valid[::2]
    counts = valid if block.strict else [True] * len(valid)
    scales = [
        getattr(scale, "scale", torch.ones(1, len(cells), 1))[0, :, 0].tolist()
        for scale in (block.scale1, block.scale2)
    ]
    mixed = slow_mix(block, cells, counts)
    cells = [
        [x * valid[t] + scales[0][c] * mixed[c][t] * counts[t] for t, x in enumerate(row)]
        for c, row in enumerate(cells)
    ]
    added = slow_mlp(block, cells, counts)
    return [[x + scales[1][c] * added[c][t] * counts[t] for t, x in enumerate(row)] for c, row in enumerate(cells)]


@pytest.mark.parametrize("masking", ["opentad", "strict"])
@pytest.mark.parametrize("kind", ["max", "avg", "stem"])
def test_a_block_equals_loops_over_channels_and_cells(
    masking: Literal["opentad", "strict"], kind: Literal["max", "avg", "stem"]
) -> None:
    config = replace(CONFIG, masking=masking, downsampling="max" if kind == "stem" else kind)
    block = awake(SGPBlock(config, halves=kind != "stem"))
    cells, mask = torch.randn(3, 32, 8, dtype=torch.float64), masks(8, 8, 5, 0)
    got, valid = block(cells, mask)
    assert torch.equal(valid, mask if kind == "stem" else mask[:, ::2])
    expected = [slow_block(block, *sample, kind) for sample in zip(cells.tolist(), mask.tolist(), strict=True)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 2**31))
def test_a_masked_group_norm_is_that_of_the_valid_cells_alone(valid: int, padding: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    norm = awake(MaskedGroupNorm(16, 32))
    cells = torch.randn(1, 32, valid + padding, generator=generator, dtype=torch.float64)
    alone = nn.functional.group_norm(cells[..., :valid], 16, norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(norm(cells, masks(valid + padding, valid))[..., :valid], alone)


def pyramid(config: TriDetConfig = CONFIG, **kwargs: Any) -> SGPPyramid:
    return awake(SGPPyramid(config, 5, **kwargs))


def valid_cells(levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(valid cells of all levels, channel)."""
    return torch.cat([cells.transpose(1, 2)[mask] for cells, mask in levels])


STRICT = replace(CONFIG, masking="strict")


@pytest.mark.parametrize("downsampling", ["max", "avg"])
def test_strict_padding_is_as_if_the_window_ended_there(downsampling: Literal["max", "avg"]) -> None:
    network = pyramid(replace(STRICT, downsampling=downsampling))
    features = torch.randn(2, 5, 64, dtype=torch.float64)
    for valid in ((32, 32), (21, 9)):
        short, long = network(features[..., :32], masks(32, *valid)), network(features, masks(64, *valid))
        torch.testing.assert_close(valid_cells(short), valid_cells(long), rtol=1e-11, atol=1e-11)


def test_what_lies_in_strict_padding_does_not_matter() -> None:
    network = pyramid(STRICT)
    features, mask = torch.randn(1, 5, 32, dtype=torch.float64), masks(32, 19)
    other = features.clone()
    other[..., 19:] = 1e3
    for (first, _), (second, _) in zip(network(features, mask), network(other, mask), strict=True):
        assert torch.equal(first, second)


def test_strict_and_published_masking_are_equal_without_padding() -> None:
    network, strict = pyramid(), pyramid(STRICT)
    strict.load_state_dict(network.state_dict())
    features, mask = torch.randn(2, 5, 32, dtype=torch.float64), masks(32, 32, 32)
    torch.testing.assert_close(valid_cells(network(features, mask)), valid_cells(strict(features, mask)))


def changed(block: SGPBlock) -> list[int]:
    """Which of 40 cells change when the padded ones, 30 to 39, do."""
    cells, mask = torch.randn(1, 32, 40, dtype=torch.float64), masks(40, 30)
    other = cells.clone()
    other[..., 30:] += torch.randn(1, 32, 10, dtype=torch.float64)
    difference = (block(cells, mask)[0] - block(other, mask)[0]).abs().amax((0, 1))
    return [t for t, value in enumerate(difference.tolist()) if value > 1e-9 and t < 30]


def test_published_masking_lets_padding_through_convolutions_the_mean_and_the_group_norm_only() -> None:
    block = awake(SGPBlock(replace(CONFIG, sgp_ratio=7.0), halves=False))
    assert changed(block) == list(range(30))
    for parameter in (*block.context.parameters(), *block.mlp[2].parameters()):
        nn.init.zeros_(parameter)
    assert block.far.kernel_size == (15,)
    assert changed(block) == list(range(30 - 7, 30))
    nn.init.ones_(block.context.bias)
    nn.init.normal_(block.context.weight)
    assert changed(block) == list(range(30))
    block.context.requires_grad_(False).weight.zero_()
    nn.init.normal_(block.mlp[2].weight)
    assert changed(block) == list(range(30))


def test_published_masking_makes_results_depend_on_the_windows_length() -> None:
    network = pyramid()
    features = torch.randn(1, 5, 64, dtype=torch.float64)
    short, long = network(features[..., :32], masks(32, 20)), network(features, masks(64, 20))
    assert not torch.allclose(valid_cells(short), valid_cells(long))


@pytest.mark.parametrize("config", [CONFIG, STRICT])
def test_a_video_alone_is_as_in_a_batch(config: TriDetConfig) -> None:
    network = pyramid(config)
    features, mask = torch.randn(3, 5, 32, dtype=torch.float64), masks(32, 32, 11, 25)
    together = network(features, mask)
    for index in range(3):
        alone = network(features[index : index + 1], mask[index : index + 1])
        for (one, _), (all_of_them, _) in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[index], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("downsampling", ["max", "avg"])
@pytest.mark.parametrize("masking", ["opentad", "strict"])
def test_a_window_without_a_valid_cell_gives_numbers(
    masking: Literal["opentad", "strict"], downsampling: Literal["max", "avg"]
) -> None:
    network = pyramid(replace(CONFIG, masking=masking, downsampling=downsampling))
    features = torch.randn(2, 5, 32, dtype=torch.float64, requires_grad=True)
    torch.stack([cells.square().sum() for cells, _ in network(features, masks(32, 32, 0))]).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_stem_looks_at_single_cells_and_has_no_scales() -> None:
    network = SGPPyramid(replace(CONFIG, sgp_window=15, sgp_ratio=1.3), 5)
    stem, branch = network.stem[0], network.branch[0]
    assert isinstance(stem, SGPBlock)
    assert isinstance(branch, SGPBlock)
    assert [c.kernel_size for c in (stem.gate, stem.near, stem.far)] == [(1,), (1,), (3,)]
    assert [c.kernel_size for c in (branch.gate, branch.near, branch.far)] == [(15,), (15,), (21,)]
    scales = {name: parameter for name, parameter in network.named_parameters() if name.endswith("scale")}
    assert sorted(scales) == [f"branch.{level}.scale{which}.scale" for level in range(3) for which in (1, 2)]
    assert all(torch.equal(scale, torch.full((1, 32, 1), 1e-4)) for scale in scales.values())


@pytest.mark.parametrize("std", [0.0, 0.2])
def test_depthwise_kernels_start_as_the_config_says_and_biases_at_zero(std: float) -> None:
    block = SGPBlock(replace(CONFIG, width=512, sgp_init=std), halves=True)
    for conv in (block.instant, block.context, block.near, block.far, block.gate):
        assert conv.weight.std().item() == pytest.approx(std, rel=0.1)
        assert conv.bias is not None
        assert not conv.bias.any()


def test_noise_is_added_while_training_only() -> None:
    network = pyramid(replace(CONFIG, input_noise=0.5))
    seen: list[Tensor] = []
    network.embedding[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    features = torch.zeros(4, 5, 512, dtype=torch.float64)
    network(features, masks(512, 512, 512, 512, 9))
    network.train()(features, masks(512, 512, 512, 512, 9))
    assert not seen[0].any()
    assert seen[1].std().item() == pytest.approx(0.5, rel=0.05)
    assert not features.any(), "the caller's features stay as they are"


def test_positions_are_added_to_valid_cells_only() -> None:
    config = replace(CONFIG, stem_layers=0, levels=1)
    table = torch.randn(16, 32, dtype=torch.float64)
    with_positions, without = pyramid(config, positions=table), pyramid(config)
    without.load_state_dict(with_positions.state_dict())  # the table is not in it
    features, mask = torch.randn(1, 5, 16, dtype=torch.float64), masks(16, 10)
    difference = with_positions(features, mask)[0][0] - without(features, mask)[0][0]
    torch.testing.assert_close(difference, table.T[None] * mask)
