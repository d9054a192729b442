from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.config import ActionFormerConfig
from models.heads.pyramid import MaskedConv, PyramidBlock, TemporalPyramid, full_attention, local_attention


def banded_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, reach: int) -> Tensor:
    """Full attention with a T x T band mask."""
    time = torch.arange(query.shape[2])
    allowed = ((time[:, None] - time).abs() <= reach) & mask[:, None, None, :]
    logits = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    weights = logits.masked_fill(~allowed, float("-inf")).softmax(-1).nan_to_num(0)
    return (weights @ value) * mask[:, None, :, None]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**31))
def test_local_attention_is_full_attention_with_a_band(length: int, reach: int, valid: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, length, 4)
    query, key, value = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = torch.arange(length) < torch.tensor([length, min(valid, length)])[:, None]
    expected = banded_attention(query, key, value, mask, reach)
    torch.testing.assert_close(local_attention(query, key, value, mask, reach), expected)


def test_full_attention_is_a_band_that_reaches_everywhere() -> None:
    query, key, value = (torch.randn(2, 3, 10, 4, dtype=torch.float64) for _ in range(3))
    mask = torch.arange(10) < torch.tensor([10, 6])[:, None]
    got = full_attention(query, key, value, mask) * mask[:, None, :, None]
    torch.testing.assert_close(got, banded_attention(query, key, value, mask, 10))


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_without_a_valid_cell_gives_numbers(head_config: ActionFormerConfig, window: int) -> None:
    block = PyramidBlock(head_config, stride=2, window=window)
    cells = torch.randn(2, 16, 8, requires_grad=True)
    mask = torch.tensor([[True] * 8, [False] * 8])
    out, _ = block(cells, mask)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert cells.grad is not None
    assert cells.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in block.parameters())


def test_masked_conv_keeps_padding_at_zero() -> None:
    conv = MaskedConv(5, 6)
    torch.nn.init.normal_(conv.norm.bias)
    mask = torch.arange(9) < 4
    out = conv(torch.randn(1, 5, 9), mask[None])
    assert not out[..., 4:].any()
    assert out[..., :4].any()


@pytest.mark.parametrize("window", [0, 1, 4, 5])
def test_levels_halve_and_padding_stays_zero(head_config: ActionFormerConfig, window: int) -> None:
    config = replace(head_config, attention_window=window)
    pyramid = TemporalPyramid(config, 7).eval()
    for parameter in pyramid.parameters():
        torch.nn.init.normal_(parameter)
    mask = torch.arange(32) < torch.tensor([32, 21])[:, None]
    levels = pyramid(torch.randn(2, 7, 32), mask)
    assert [cells.shape[2] for cells, _ in levels] == [32, 16, 8, 4]
    for level, (cells, valid) in enumerate(levels):
        assert torch.equal(valid, mask[:, :: 2**level])
        assert cells.isfinite().all()
        assert not (cells * ~valid[:, None]).any()


def test_projection_biases_start_at_zero_and_branches_small(head_config: ActionFormerConfig) -> None:
    pyramid = TemporalPyramid(head_config, 7)
    for name, parameter in pyramid.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        if name.endswith("scale"):
            assert torch.equal(parameter, torch.full((1, 16, 1), 1e-4)), name


def test_a_new_block_is_close_to_its_skip_path(head_config: ActionFormerConfig) -> None:
    cells, mask = torch.randn(2, 16, 8), torch.ones(2, 8, dtype=torch.bool)
    plain, _ = PyramidBlock(head_config, stride=1)(cells, mask)
    pooled, _ = PyramidBlock(head_config, stride=2)(cells, mask)
    torch.testing.assert_close(plain, cells, atol=1e-3, rtol=0)
    expected = torch.stack([cells[..., max(0, 2 * i - 1) : 2 * i + 2].amax(-1) for i in range(4)], -1)
    torch.testing.assert_close(pooled, expected, atol=1e-3, rtol=0)


def test_positions_are_added_to_valid_cells_only(head_config: ActionFormerConfig) -> None:
    from models.positions import sinusoid_table

    table = sinusoid_table(16, 16) / 4
    config = replace(head_config, stem_layers=0, levels=1)
    with_positions, without = TemporalPyramid(config, 7, table), TemporalPyramid(config, 7)
    without.load_state_dict(with_positions.state_dict())  # the table is not in it
    features, mask = torch.randn(1, 7, 16), (torch.arange(16) < 10)[None]
    difference = with_positions(features, mask)[0][0] - without(features, mask)[0][0]
    torch.testing.assert_close(difference, table.T[None] * mask)
