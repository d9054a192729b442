from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.heads.proposals import (
    ProposalMap,
    boundary_candidates,
    boundary_targets,
    interval_overlap,
    overlap_per_class,
)
from models.losses import balanced_l2_loss, balanced_mean

ACTION = st.tuples(st.integers(-8, 80), st.integers(0, 60), st.integers(0, 2)).map(
    lambda a: (a[0] / 4, (a[0] + a[1]) / 4, a[2])
)


def padded(actions: list[Any], count: int = 8) -> tuple[Tensor, Tensor]:
    """A batch of one, with padding that has a place but no class."""
    rows = [*actions, *([(2.0, 5.0, -1)] * (count - len(actions)))]
    return torch.tensor([[row[:2] for row in rows]], dtype=torch.float64), torch.tensor([[row[2] for row in rows]])


def test_proposals_are_all_segments_inside_the_window_shortest_first() -> None:
    grid = ProposalMap(5, 3)
    expected = [(s, s + d) for d in (1, 2, 3) for s in range(5) if s + d <= 5]
    assert [tuple(segment) for segment in grid.segments().tolist()] == expected
    values = torch.arange(15.0).reshape(1, 3, 5)
    assert grid.select(values).tolist() == [[values[0, int(e - s) - 1, int(s)].item() for s, e in expected]]


def test_the_last_cell_of_a_proposal_is_the_one_before_its_end() -> None:
    grid = ProposalMap(6, 4)
    cells = torch.arange(1.0, 7.0)[None]
    got = grid.select(grid.last_cells(cells))[0]
    assert got.tolist() == grid.segments()[:, 1].tolist()


@settings(deadline=None, max_examples=40)
@given(st.lists(ACTION, max_size=6))
def test_overlaps_equal_a_loop_over_proposals_and_actions(actions: list[Any]) -> None:
    grid = ProposalMap(20, 7)
    segments, labels = padded(actions)
    overlap = interval_overlap(grid.segments(), segments, labels)
    per_class = overlap_per_class(overlap, labels, 3)
    for index, (start, end) in enumerate(grid.segments().tolist()):
        best = [0.0, 0.0, 0.0]
        for first, last, label in actions:
            shared = max(0.0, min(end, last) - max(start, first))
            best[label] = max(best[label], shared / (end - start + last - first - shared))
        assert per_class[0, index].tolist() == pytest.approx(best, abs=1e-12)
        assert overlap[0, index].max().item() == pytest.approx(max(best), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(ACTION, max_size=6))
def test_boundary_targets_equal_a_loop_over_cells_and_actions(actions: list[Any]) -> None:
    got = boundary_targets(20, *padded(actions))
    for cell in range(20):
        for side in (0, 1):
            near = [(action[side] - 1.5, action[side] + 1.5) for action in actions]
            covered = [max(0.0, min(cell + 1, high) - max(cell, low)) for low, high in near]
            assert got[0, side, cell].item() == max(covered, default=0.0)


def test_candidates_are_peaks_high_cells_and_forced_ones() -> None:
    probability = torch.tensor([[0.1, 0.2, 0.1, 0.4, 0.9, 0.5, 0.1, 0.3, 0.2]])
    mask = torch.ones_like(probability, dtype=torch.bool)
    forced = torch.zeros_like(mask)
    forced[0, -1] = True
    # Peaks 1, 4 and 7; more than 0.45: 4 and 5; forced: 8.
    expected = [False, True, False, False, True, True, False, True, True]
    assert boundary_candidates(probability, mask, forced).tolist() == [expected]


def test_padding_is_no_candidate_and_hides_none() -> None:
    probability = torch.tensor([[0.1, 0.3, 0.2, 0.9, 0.95]])
    mask = torch.tensor([[True, True, True, False, False]])
    got = boundary_candidates(probability, mask, torch.zeros_like(mask))
    assert got.tolist() == [[False, True, True, False, False]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_a_balanced_mean_gives_both_kinds_half_of_the_weight(elements: list[tuple[float, bool, bool]]) -> None:
    losses, positive, counted = (torch.tensor(column) for column in zip(*elements, strict=True))
    got = balanced_mean(losses.double(), positive, counted)
    kinds = [[value for value, sign, counts in elements if counts and sign is kind] for kind in (False, True)]
    means = [sum(kind) / len(kind) for kind in kinds if kind]
    assert got.item() == pytest.approx(sum(means) / len(means) if means else 0.0, rel=1e-6, abs=1e-7)


def naive_l2(values: Tensor, targets: Tensor, counted: Tensor, draws: tuple[Tensor, Tensor]) -> float:
    high, medium, low = [], [], []
    for index in range(len(values)):
        if counted[index]:
            target = targets[index].item()
            (high if target > 0.7 else medium if target > 0.3 else low).append(index)
    chosen = list(high)
    for group, draw in zip((medium, low), draws, strict=True):
        chosen += [index for index in group if draw[index].item() > 1 - len(high) / len(group)]
    if not high:
        chosen = medium + low
    return sum((values[i] - targets[i]).item() ** 2 for i in chosen) / max(len(chosen), 1)


@pytest.mark.parametrize("shares", [(0.1, 0.3), (0.0, 0.3), (0.5, 0.1), (0.5, 0.0), (0.0, 0.0)])
def test_the_balanced_squared_error_equals_a_loop_with_the_same_draws(shares: tuple[float, float]) -> None:
    kind = torch.rand(300)
    targets = torch.where(kind < shares[0], 0.8, torch.where(kind < sum(shares), 0.5, 0.1))
    values, counted = torch.rand(300), torch.rand(300) < 0.9
    torch.manual_seed(7)
    draws = (torch.rand(300), torch.rand(300))
    torch.manual_seed(7)
    got = balanced_l2_loss(values, targets, counted)
    assert got.item() == pytest.approx(naive_l2(values, targets, counted, draws), rel=1e-5)


def test_about_as_many_medium_and_low_ones_as_high_ones_are_drawn() -> None:
    targets = torch.cat((torch.full((100,), 0.9), torch.full((2_000,), 0.5), torch.full((20_000,), 0.0)))
    # An error of 1 in one group only shows that group's share of what was drawn; its deviation is 0.02.
    for group in (0.9, 0.5, 0.0):
        loss = balanced_l2_loss(targets + (targets == group), targets, torch.ones_like(targets, dtype=torch.bool))
        assert loss.item() == pytest.approx(1 / 3, abs=0.1)
