"""The graph blocks of G-TAD (Xu et al. 2020, section 3.2): cells joined along time and in feature space.

    cells --> 1x1, grouped convolution over three cells, 1x1 ----------------------> + --> ReLU
          --> nearest cells --> (neighbour, cell) --> three 1x1 --> max over them -> +
          --------------------------------------------------------------------------+

Sequences are (batch, channel, time). A mask says which cells exist; without one, padding is a cell like any other,
as in the published code.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import at_least_float32

WIDTH_PER_GROUP = 4


@torch.no_grad()
def nearest_cells(
    cells: Float[Tensor, "b c t"], count: int, mask: Bool[Tensor, "b t"] | None = None
) -> Int64[Tensor, "b t k"]:
    """Return the `count` cells nearest to every cell in feature space, itself included, the nearest first.

    With a mask, padding is nobody's neighbour: where fewer cells exist, a cell stands in for the missing ones itself.
    """
    # In half precision the three terms would cancel to noise, and with it the graph.
    with torch.autocast(cells.device.type, enabled=False):
        cells = at_least_float32(cells)
        squares = cells.square().sum(1)
        closeness = 2 * cells.transpose(1, 2) @ cells - squares[:, None, :] - squares[:, :, None]
    if mask is None:
        return closeness.topk(count, dim=-1).indices
    index = closeness.masked_fill(~mask[:, None, :], float("-inf")).topk(count, dim=-1).indices
    exists = mask[:, None, :].expand_as(closeness).gather(2, index)
    itself = torch.arange(cells.shape[2], device=cells.device)[None, :, None]
    return torch.where(exists, index, itself)


def gather_cells(cells: Float[Tensor, "b c t"], index: Int64[Tensor, "b t k"]) -> Float[Tensor, "b c t k"]:
    """Return the cells at `index`."""
    flat = rearrange(index, "b t k -> b 1 (t k)").expand(-1, cells.shape[1], -1)
    return rearrange(cells.gather(2, flat), "b c (t k) -> b c t k", k=index.shape[2])


class GraphBlock(nn.Module):
    """GCNeXt: a temporal and a semantic branch beside the skip path."""

    def __init__(self, channels: int, groups: int, neighbours: int) -> None:
        """Build both branches, `WIDTH_PER_GROUP` channels wide per group."""
        super().__init__()
        self.neighbours = neighbours
        width = WIDTH_PER_GROUP * groups
        self.temporal = nn.Sequential(
            nn.Conv1d(channels, width, 1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv1d(width, channels, 1),
        )
        self.semantic = nn.Sequential(
            nn.Conv2d(2 * channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b c t"]:
        """Return as many cells; with a mask, those that do not exist are zero."""
        hidden = self.temporal[:2](cells)
        if mask is not None:
            hidden = hidden * mask[:, None]
        out = cells + self.temporal[2:](hidden) + self._along_edges(cells, mask)
        return F.relu(out) if mask is None else F.relu(out) * mask[:, None]

    def _along_edges(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b c t"]:
        neighbours = gather_cells(cells, nearest_cells(cells, self.neighbours, mask))
        edges = torch.cat((neighbours, cells[..., None].expand_as(neighbours)), dim=1)
        # Of equal values `max` follows one and `amax` all of them; the published gradient is the former.
        return self.semantic(edges).max(dim=-1).values
