import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.heads.align import Align1D, ProposalFeatures, sampling_matrix


def interpolated(sequence: list[float], t: float) -> float:
    """Align1D's reading of a sequence at time t: linear, flat for one cell before and after it, then nothing."""
    last = len(sequence) - 1
    if t < -1 or t > len(sequence):
        return 0.0
    t = min(max(t, 0.0), float(last))
    low = math.floor(t)
    high = min(low + 1, last)
    return sequence[low] * (1 - (t - low)) + sequence[high] * (t - low)


def aligned(sequence: list[float], start: int, duration: int, bins: int) -> list[float]:
    """The bins of [start, start + duration] extended by half its length on either side, from the definition."""
    first, width = start - duration / 2, 2.0 * duration
    if start + duration > len(sequence):
        first, width = 0.0, 1.0
    samples = math.ceil(width / bins)
    result = []
    for number in range(bins):
        times = [first + number * width / bins + (i + 0.5) * width / bins / samples for i in range(samples)]
        result.append(sum(interpolated(sequence, t) for t in times) / samples)
    return result


def dense(length: int, longest: int, bins: int) -> np.ndarray:
    rows, columns, values = sampling_matrix(length, longest, bins)
    matrix = np.zeros((longest * length, bins * length))
    matrix[rows, columns] = values
    return matrix.reshape(longest, length, bins, length)


SIZES = [(12, 5, 4), (12, 12, 3), (9, 7, 16), (20, 20, 1), (7, 3, 5)]


@pytest.mark.parametrize(("length", "longest", "bins"), SIZES)
def test_the_sampling_matrix_equals_a_loop_over_samples(length: int, longest: int, bins: int) -> None:
    sequence = np.random.default_rng(0).normal(size=length)
    got = dense(length, longest, bins) @ sequence
    for duration in range(1, longest + 1):
        for start in range(length):
            expected = aligned(sequence.tolist(), start, duration, bins)
            np.testing.assert_allclose(got[duration - 1, start], expected, rtol=1e-12, atol=1e-14)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 24), st.data())
def test_bins_are_means_and_proposals_far_from_the_edges_differ_by_a_shift(length: int, data: st.DataObject) -> None:
    longest, bins = data.draw(st.integers(1, length)), data.draw(st.integers(1, 9))
    matrix = dense(length, longest, bins)
    sums = matrix.sum(-1)
    assert (matrix >= 0).all()
    assert (sums <= 1 + 1e-12).all()
    for duration in range(1, longest + 1):
        margin = math.ceil(duration / 2)
        inner = range(margin, length - duration - margin)
        for start in inner:
            np.testing.assert_allclose(sums[duration - 1, start], 1, rtol=1e-12)
            if start + 1 in inner:
                shifted = np.roll(matrix[duration - 1, start], 1, axis=-1)
                np.testing.assert_allclose(matrix[duration - 1, start + 1], shifted, atol=1e-12)


def test_the_product_and_its_gradient_are_those_of_the_dense_matrix() -> None:
    align = Align1D(10, 6, 4)
    matrix = torch.from_numpy(dense(10, 6, 4).reshape(60, 40))
    table = torch.randn(40, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(60, 3, dtype=torch.float64)
    out = align(table)
    out.backward(gradient)
    # The weights are kept in float32.
    torch.testing.assert_close(out, matrix @ table.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(table.grad, matrix.T @ gradient, rtol=1e-6, atol=1e-6)
    assert torch.autograd.gradcheck(align, (torch.randn(40, 1, dtype=torch.float64, requires_grad=True),))


def published_order(features: ProposalFeatures, cells: Tensor, context: Tensor, bins: tuple[int, int]) -> Tensor:
    """Every proposal's bins first, then the convolution that mixes them."""
    longest, length = features.longest, cells.shape[2]
    parts = [
        torch.einsum("d s k t, b c t -> b c k d s", torch.from_numpy(dense(length, longest, count)), values)
        for values, count in zip((cells, context), bins, strict=True)
    ]
    return features.mix(torch.cat(parts, dim=2).flatten(1, 2)).relu()


@pytest.mark.parametrize("bins", [(4, 4), (5, 2)])
def test_mixing_before_aligning_equals_the_published_order(bins: tuple[int, int]) -> None:
    features = ProposalFeatures(6, 8, length=11, longest=7, roi_bins=bins[0], context_bins=bins[1]).double()
    first = [torch.randn(2, 6, 11, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    second = [values.detach().clone().requires_grad_() for values in first]
    got, expected = features(*first), published_order(features, *second, bins)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    weight = torch.randn_like(got)
    mine = torch.autograd.grad((got * weight).sum(), [*first, *features.parameters()])
    theirs = torch.autograd.grad((expected * weight).sum(), [*second, *features.parameters()])
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_sums_over_half_precision_tables_are_taken_in_float32() -> None:
    align = Align1D(64, 64, 1)
    table = torch.randn(64, 3).bfloat16()
    assert torch.equal(align(table), align(table.float()))


def test_what_is_constant_is_not_saved() -> None:
    features = ProposalFeatures(6, 8, length=11, longest=7, roi_bins=4, context_bins=2)
    assert set(features.state_dict()) == {"mix.weight", "mix.bias"}
    assert features.mix.weight.shape == (8, 36, 1, 1)
