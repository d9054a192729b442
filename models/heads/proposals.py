"""The proposals of G-TAD's map, what they and the boundaries should say, and which of them inference keeps.

A map has one row per duration d = 1 .. `longest` and one column per start s: the segment [s, s + d] in feature-grid
units. Those that end inside the window are the proposals, in the order of the flattened map.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.segments import intersection_union, iou

BOUNDARY_REACH = 1.5
"""An action's start or end is looked for this many cells on either side."""


class ProposalMap(nn.Module):
    """Where the proposals lie in the map; has no parameters."""

    index: Tensor

    def __init__(self, length: int, longest: int) -> None:
        """List the proposals of a window of `length` cells."""
        super().__init__()
        self.length, self.longest = length, longest
        rows = [torch.arange(row * length, (row + 1) * length - row) for row in range(longest)]
        self.register_buffer("index", torch.cat(rows), persistent=False)

    def segments(self) -> Float[Tensor, "proposal 2"]:
        """Return all proposals."""
        start, row = self.index % self.length, self.index // self.length
        return torch.stack((start, start + row + 1), dim=-1).float()

    def select(self, values: Tensor) -> Tensor:
        """Return the proposals' entries of maps (..., duration, start)."""
        return values.flatten(-2).index_select(-1, self.index)

    def last_cells(self, values: Tensor) -> Tensor:
        """Return for every entry of the map what `values` (..., time) holds at its last cell; 0 behind the window."""
        return F.pad(values, (0, self.longest - 1)).unfold(-1, self.length, 1)


def interval_overlap(
    segments: Float[Tensor, "proposal 2"], actions: Float[Tensor, "b action 2"], labels: Int64[Tensor, "b action"]
) -> Float[Tensor, "b proposal action"]:
    """Return the IoU of every proposal with every action; 0 with padding."""
    return iou(segments[:, None], actions[:, None]) * (labels >= 0)[:, None]


def overlap_per_class(
    overlap: Float[Tensor, "b proposal action"], labels: Int64[Tensor, "b action"], num_classes: int
) -> Float[Tensor, "b proposal label"]:
    """Return the highest overlap with an action of each class; 0 without one."""
    index = labels.clamp(min=0)[:, None].expand_as(overlap)
    nothing = overlap.new_zeros(*overlap.shape[:2], num_classes)
    return nothing.scatter_reduce(2, index, overlap, "amax")


def boundary_targets(
    length: int, actions: Float[Tensor, "b action 2"], labels: Int64[Tensor, "b action"]
) -> Float[Tensor, "b 2 t"]:
    """Return how much of every cell lies near an action's start, and near its end: of the nearest action."""
    start = torch.arange(length, device=actions.device, dtype=actions.dtype)
    cells = torch.stack((start, start + 1), dim=-1)
    near = torch.stack((actions - BOUNDARY_REACH, actions + BOUNDARY_REACH), dim=-1).transpose(1, 2)
    covered, _ = intersection_union(cells[:, None], near[:, :, None])
    return (covered * (labels >= 0)[:, None, None]).amax(-1)


def boundary_candidates(
    probability: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], forced: Bool[Tensor, "b t"]
) -> Bool[Tensor, "b t"]:
    """Return where a proposal may start (or end): local peaks, cells over half of the maximum, and `forced` ones."""
    probability = probability.masked_fill(~mask, 0.0)
    peak = probability == F.max_pool1d(probability, 3, stride=1, padding=1)
    high = probability > probability.amax(dim=1, keepdim=True) / 2
    return ((peak | high) & mask) | forced
