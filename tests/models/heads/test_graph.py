import pytest
import torch
from torch import Tensor

from models.heads.graph import GraphBlock, gather_cells, nearest_cells


def naive_neighbours(cells: Tensor, count: int, exists: list[bool]) -> list[list[int]]:
    """For every cell of one sequence the nearest existing ones, by sorting distances; itself for missing ones."""
    result = []
    for centre in range(cells.shape[1]):
        distances = [
            (float((cells[:, centre] - cells[:, other]).square().sum()), other)
            for other in range(cells.shape[1])
            if exists[other]
        ]
        nearest = [other for _, other in sorted(distances)[:count]]
        result.append(nearest + [centre] * (count - len(nearest)))
    return result


@pytest.mark.parametrize("valid", [None, 9, 2, 0])
def test_neighbours_equal_a_loop_over_distances(valid: int | None) -> None:
    cells = torch.randn(2, 5, 14, dtype=torch.float64)
    mask = None if valid is None else (torch.arange(14) < valid).expand(2, -1)
    index = nearest_cells(cells, 3, mask)
    exists = [valid is None or cell < valid for cell in range(14)]
    assert index.tolist() == [naive_neighbours(sequence, 3, exists) for sequence in cells]
    if valid is None:
        assert torch.equal(index[..., 0], torch.arange(14).expand(2, -1)), "a cell is its own nearest one"


def test_the_graph_does_not_depend_on_autocast() -> None:
    # Far from the origin the three terms of a distance are large and their sum is small.
    cells = torch.randn(1, 8, 40) + 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = nearest_cells(cells, 3)
    assert half.tolist() == [naive_neighbours(cells[0], 3, [True] * 40)]


def test_gathered_cells_are_where_the_index_says() -> None:
    cells, index = torch.randn(2, 3, 6), torch.randint(0, 6, (2, 6, 4))
    got = gather_cells(cells, index)
    for b in range(2):
        for t in range(6):
            for k in range(4):
                assert torch.equal(got[b, :, t, k], cells[b, :, index[b, t, k]])


def naive_block(block: GraphBlock, cells: Tensor, neighbours: list[list[int]]) -> Tensor:
    """One sequence's output, cell by cell; a grouped convolution is written as groups of matrices."""
    a1, a2, a3 = (block.temporal[i] for i in (0, 2, 4))
    b1, b2, b3 = (block.semantic[i] for i in (0, 2, 4))
    groups = a2.groups
    width = a2.weight.shape[0] // groups
    time = cells.shape[1]

    def grouped(weight: Tensor, values: Tensor) -> Tensor:
        parts = zip(weight.split(width), values.split(width), strict=True)
        return torch.cat([w @ v for w, v in parts])

    hidden = [(a1.weight[..., 0] @ cells[:, t] + a1.bias).relu() for t in range(time)]
    result = []
    for t in range(time):
        mixed = a2.bias.clone()
        for shift in (-1, 0, 1):
            if 0 <= t + shift < time:
                mixed = mixed + grouped(a2.weight[..., shift + 1], hidden[t + shift])
        temporal = a3.weight[..., 0] @ mixed.relu() + a3.bias
        edges = []
        for other in neighbours[t]:
            edge = torch.cat((cells[:, other], cells[:, t]))
            edge = (b1.weight[..., 0, 0] @ edge + b1.bias).relu()
            edge = (grouped(b2.weight[..., 0, 0], edge) + b2.bias).relu()
            edges.append(b3.weight[..., 0, 0] @ edge + b3.bias)
        semantic = torch.stack(edges).amax(0)
        result.append((cells[:, t] + temporal + semantic).relu())
    return torch.stack(result, dim=1)


def test_a_graph_block_equals_a_loop_over_cells_and_edges() -> None:
    block = GraphBlock(12, groups=2, neighbours=3).double()
    cells = torch.randn(2, 12, 9, dtype=torch.float64)
    got = block(cells)
    for b in range(2):
        expected = naive_block(block, cells[b], naive_neighbours(cells[b], 3, [True] * 9))
        torch.testing.assert_close(got[b], expected, rtol=1e-12, atol=1e-12)


def test_masked_cells_are_zero_and_the_others_as_if_the_sequence_ended_there() -> None:
    block = GraphBlock(12, groups=2, neighbours=3).double()
    cells = torch.randn(1, 12, 9, dtype=torch.float64)
    mask = (torch.arange(9) < 6)[None]
    got = block(cells * mask[:, None], mask)
    assert not got[..., 6:].any()
    torch.testing.assert_close(got[..., :6], block(cells[..., :6]), rtol=1e-12, atol=1e-12)
