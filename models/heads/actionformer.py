"""The ActionFormer head (Zhang et al. 2022): every pyramid cell classifies itself and says where its action ends.

A point is a cell of a pyramid level with stride s, at coordinate p = index x s in feature-grid units (no half-cell
offset). It predicts class logits and two non-negative offsets (r0, r1): the segment [p - r0 s, p + r1 s].

Everything here has static shapes (padded ground truth has label -1, invalid points weigh zero), so that the memory
predictor can run it on tensors without data.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ActionFormerConfig
from models.heads.pyramid import CONV_NORM_EPS, ChannelNorm, MaskedConv, TemporalPyramid
from models.losses import diou_loss, sigmoid_focal_loss
from models.positions import sinusoid_table
from models.precision import at_least_float32

PRIOR = 0.01
"""Probability that an untrained point gives to every class, so that the many negatives do not swamp training."""
OPEN_RANGE = 1e4
SIMILAR = 1e-3
"""Actions whose length differs less than this from the shortest one share a point's classification target."""
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
class Predictions:
    """What the network says at every point."""

    logits: Float[Tensor, "b point label"]
    offsets: Float[Tensor, "b point 2"]
    """Distances to start and end, in strides."""
    valid: Bool[Tensor, "b point"]
    points: Points

    def segments(self) -> Float[Tensor, "b point 2"]:
        """Return the predicted segments in feature-grid units."""
        position, stride = self.points.position, self.points.stride
        sides = self.offsets * stride[:, None]
        return torch.stack((position - sides[..., 0], position + sides[..., 1]), dim=-1)


@dataclass(frozen=True)
class Targets:
    """What the network should say at every point."""

    classes: Float[Tensor, "b point label"]
    """Several ones where equally short actions overlap; none at a negative point."""
    offsets: Float[Tensor, "b point 2"]
    """Distances to start and end, in strides; meaningless at a negative point."""
    segments: Float[Tensor, "b point 2"]
    """The action to regress, in grid units; meaningless at a negative point."""


def make_points(length: int, levels: int, first_range: int, device: torch.device) -> Points:
    """Return the points of a pyramid whose finest level has `length` cells."""
    strides = [2**level for level in range(levels)]
    counts = [length // stride for stride in strides]
    ends = [0.0, *(float(first_range * stride) for stride in strides[:-1]), OPEN_RANGE]

    def spread(values: list[float]) -> Tensor:
        per_level = (torch.full((count,), value, device=device) for count, value in zip(counts, values, strict=True))
        return torch.cat(list(per_level))

    position = torch.cat([torch.arange(n, device=device) * stride for n, stride in zip(counts, strides, strict=True)])
    return Points(position.float(), spread([float(s) for s in strides]), spread(ends[:-1]), spread(ends[1:]))


def assign_targets(
    points: Points,
    segments: Float[Tensor, "b action 2"],
    labels: Int64[Tensor, "b action"],
    *,
    num_classes: int,
    centre_radius: float,
) -> Targets:
    """Give every point the shortest action that it is central to and whose extent fits its level (adatad-facts 4.2)."""
    position, stride = points.position[:, None], points.stride[:, None]
    start, end = segments[:, None, :, 0], segments[:, None, :, 1]
    left, right = position - start, end - position
    centre, reach = (start + end) / 2, centre_radius * stride
    central = (position > (centre - reach).maximum(start)) & (position < (centre + reach).minimum(end))
    farther = left.maximum(right)
    fits = (farther >= points.shortest[:, None]) & (farther <= points.longest[:, None])
    chosen = central & fits & (labels >= 0)[:, None]

    lengths = (end - start).masked_fill(~chosen, float("inf"))
    shortest, index = lengths.min(dim=-1, keepdim=True)
    similar = (chosen & (lengths <= shortest + SIMILAR)).to(segments.dtype)
    one_hot = (labels[..., None] == torch.arange(num_classes, device=labels.device)).to(segments.dtype)
    sides = torch.stack((left, right), dim=-1) / stride[..., None]
    index = index[..., None].expand(-1, -1, -1, 2)
    actions = segments[:, None].expand(-1, len(points.position), -1, -1)
    return Targets(
        classes=(similar @ one_hot).clamp(max=1),
        offsets=sides.gather(2, index).squeeze(2),
        segments=actions.gather(2, index).squeeze(2),
    )


class Tower(nn.Module):
    """Two masked convolutions and an output convolution, shared by all levels."""

    def __init__(self, channels: int, outputs: int) -> None:
        """Build the layers."""
        super().__init__()
        self.convs = nn.ModuleList(MaskedConv(channels, channels) for _ in range(2))
        self.out = nn.Conv1d(channels, outputs, 3, padding=1)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t o"]:
        """Return the outputs with channels last. Those of padded cells are meaningless."""
        for conv in self.convs:
            cells = conv(cells, mask)
        return self.out(cells).transpose(1, 2)


class ActionFormerHead(nn.Module):
    """Pyramid, norms, the two towers, and their losses."""

    normaliser: Tensor

    def __init__(self, config: ActionFormerConfig, *, channels: int, num_classes: int, length: int) -> None:
        """Build the head.

        Args:
            config: sizes and loss settings.
            channels: channels of the incoming features.
            num_classes: classes, without a background.
            length: feature cells per window, for which a position table is built (if there is one).
        """
        super().__init__()
        self.config, self.num_classes = config, num_classes
        positions = None
        if config.position_embedding:
            positions = sinusoid_table(self._padded(length), config.width) / math.sqrt(config.width)
        self.input_dropout = nn.Dropout1d(config.input_dropout)
        self.pyramid = TemporalPyramid(config, channels, positions)
        self.norms = nn.ModuleList(ChannelNorm(config.width, eps=CONV_NORM_EPS) for _ in range(config.levels))
        self.classification = Tower(config.width, num_classes)
        self.regression = Tower(config.width, 2)
        self.scales = nn.Parameter(torch.ones(config.levels))
        assert self.classification.out.bias is not None
        nn.init.constant_(self.classification.out.bias, -math.log((1 - PRIOR) / PRIOR))
        self.register_buffer("normaliser", torch.tensor(float(config.normaliser_init)))

    def forward(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Predictions:
        """Return the predictions at all points; a length that cannot be halved often enough is padded."""
        padding = self._padded(features.shape[2]) - features.shape[2]
        if padding:
            features, mask = F.pad(features, (0, padding)), F.pad(mask, (0, padding))
        levels = self.pyramid(self.input_dropout(features), mask)
        logits, offsets = [], []
        for level, ((cells, valid), norm) in enumerate(zip(levels, self.norms, strict=True)):
            cells = norm(cells)
            logits.append(self.classification(cells, valid))
            offsets.append(F.relu(self.regression(cells, valid) * self.scales[level]))
        return Predictions(
            logits=at_least_float32(torch.cat(logits, dim=1)),
            offsets=at_least_float32(torch.cat(offsets, dim=1)),
            valid=torch.cat([valid for _, valid in levels], dim=1),
            points=make_points(mask.shape[1], len(levels), self.config.first_range, mask.device),
        )

    def loss(
        self,
        features: Float[Tensor, "b c t"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return `loss` (the sum to minimise), its parts and the number of positive points.

        Args:
            features: one vector per feature cell.
            mask: which cells are inside the video.
            segments: actions in feature-grid units.
            labels: their classes; -1 marks padding.
        """
        predictions = self(features, mask)
        targets = assign_targets(
            predictions.points,
            segments,
            labels,
            num_classes=self.num_classes,
            centre_radius=self.config.centre_radius,
        )
        positive = predictions.valid & (targets.classes > 0).any(-1)
        num_positives = positive.sum()
        divisor = self._divisor(num_positives)

        smoothing = self.config.label_smoothing
        classes = targets.classes.to(predictions.logits.dtype) * (1 - smoothing) + smoothing / (self.num_classes + 1)
        focal = sigmoid_focal_loss(predictions.logits, classes) * predictions.valid[..., None]
        distance = diou_loss(predictions.segments(), targets.segments.to(predictions.offsets.dtype)) * positive
        classification, regression = focal.sum() / divisor, distance.sum() / divisor
        return {
            "loss": classification + self.config.regression_weight * regression,
            "classification": classification.detach(),
            "regression": regression.detach(),
            "positives": num_positives.to(divisor.dtype),
        }

    @torch.no_grad()
    def _divisor(self, num_positives: Tensor) -> Tensor:
        count = num_positives.clamp(min=1).to(self.normaliser.dtype)
        if not self.training:
            return count
        self.normaliser.mul_(MOMENTUM).add_(count, alpha=1 - MOMENTUM)
        # A copy: autograd holds the divisor until the backward pass, and the next step changes the buffer in place.
        return self.normaliser.clone()

    def _padded(self, length: int) -> int:
        step = 2 ** (self.config.levels - 1)
        return -(-length // step) * step
