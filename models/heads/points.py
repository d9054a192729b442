"""Pyramid cells as points, and which action each of them is to find (adatad-facts 4.1, 4.2).

A point is a cell of a pyramid level with stride s, at coordinate p = index x s in feature-grid units (no half-cell
offset). Shared by the heads that predict one segment per point.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.config import ActionFormerConfig, TriDetConfig

OPEN_RANGE = 1e4
SIMILAR = 1e-3
"""Actions whose length differs less than this from the shortest one share a point's classification target."""
PRIOR = 0.01
"""Probability that an untrained point gives to every class, so that the many negatives do not swamp training."""
MOMENTUM = 0.9


@dataclass(frozen=True)
class Points:
    """All cells of a pyramid, level after level."""

    position: Float[Tensor, " point"]
    stride: Float[Tensor, " point"]
    shortest: Float[Tensor, " point"]
    """Smallest distance to the farther end of an action that is this point's to find, in grid units; inclusive."""
    longest: Float[Tensor, " point"]


@dataclass(frozen=True)
class Targets:
    """What the network should say at every point."""

    classes: Float[Tensor, "b point label"]
    """Several ones where equally short actions overlap; none at a negative point."""
    offsets: Float[Tensor, "b point 2"]
    """Distances to start and end, in strides; meaningless at a negative point."""
    segments: Float[Tensor, "b point 2"]
    """The action to regress, in grid units; meaningless at a negative point."""


def make_points(length: int, config: ActionFormerConfig | TriDetConfig, device: torch.device) -> Points:
    """Return the points of a pyramid whose finest level has `length` cells.

    Level l finds actions whose farther end is 2^l times `first_range` cells away or less (the last level: any), and
    more than the level below finds; with overlapping ranges, at least half as far as that.
    """
    strides = [2**level for level in range(config.levels)]
    counts = [length // stride for stride in strides]
    longest = [*(float(config.first_range * stride) for stride in strides[:-1]), OPEN_RANGE]
    below = 4 if config.overlapping_ranges else 2
    shortest = [0.0, *(float(config.first_range * stride / below) for stride in strides[1:])]

    def spread(values: list[float]) -> Tensor:
        per_level = (torch.full((count,), value, device=device) for count, value in zip(counts, values, strict=True))
        return torch.cat(list(per_level))

    position = torch.cat([torch.arange(n, device=device) * stride for n, stride in zip(counts, strides, strict=True)])
    return Points(position.float(), spread([float(s) for s in strides]), spread(shortest), spread(longest))


def assign_targets(
    points: Points,
    segments: Float[Tensor, "b action 2"],
    labels: Int64[Tensor, "b action"],
    num_classes: int,
    config: ActionFormerConfig | TriDetConfig,
) -> Targets:
    """Give every point the shortest action that it is central to and whose extent fits its level (adatad-facts 4.2).

    Its classes are those of all such actions that are equally short, or of all such actions at all where the config
    says so; the segment to regress is the shortest one's either way.
    """
    position, stride = points.position[:, None], points.stride[:, None]
    start, end = segments[:, None, :, 0], segments[:, None, :, 1]
    left, right = position - start, end - position
    centre, reach = (start + end) / 2, config.centre_radius * stride
    central = (position > (centre - reach).maximum(start)) & (position < (centre + reach).minimum(end))
    farther = left.maximum(right)
    fits = (farther >= points.shortest[:, None]) & (farther <= points.longest[:, None])
    chosen = central & fits & (labels >= 0)[:, None]

    lengths = (end - start).masked_fill(~chosen, float("inf"))
    shortest, index = lengths.min(dim=-1, keepdim=True)
    similar = chosen & (lengths <= shortest + SIMILAR) if config.share_similar else chosen
    one_hot = (labels[..., None] == torch.arange(num_classes, device=labels.device)).to(segments.dtype)
    sides = torch.stack((left, right), dim=-1) / stride[..., None]
    index = index[..., None].expand(-1, -1, -1, 2)
    actions = segments[:, None].expand(-1, len(points.position), -1, -1)
    return Targets(
        classes=(similar.to(segments.dtype) @ one_hot).clamp(max=1),
        offsets=sides.gather(2, index).squeeze(2),
        segments=actions.gather(2, index).squeeze(2),
    )


class LossNormaliser(nn.Module):
    """The number of positives that divides the losses: a running mean in training, this window's count otherwise."""

    value: Tensor

    def __init__(self, start: float) -> None:
        """Start the running mean."""
        super().__init__()
        self.register_buffer("value", torch.tensor(float(start)))

    @torch.no_grad()
    def forward(self, num_positives: Int64[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the divisor; in training, move the mean first (per process, as the published code does)."""
        count = num_positives.clamp(min=1).to(self.value.dtype)
        if not self.training:
            return count
        self.value.mul_(MOMENTUM).add_(count, alpha=1 - MOMENTUM)
        # A copy: autograd holds the divisor until the backward pass, and the next step changes the buffer in place.
        return self.value.clone()
