"""The ActionFormer head (Zhang et al. 2022): every pyramid cell classifies itself and says where its action ends.

A point at p with stride s (`points.py`) predicts class logits and two non-negative offsets (r0, r1): the segment
[p - r0 s, p + r1 s].

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
from models.heads.base import Head, RawDetections
from models.heads.points import PRIOR, LossNormaliser, Points, assign_targets, make_points
from models.heads.pyramid import CONV_NORM_EPS, ChannelNorm, MaskedConv, TemporalPyramid
from models.losses import diou_loss, sigmoid_focal_loss
from models.positions import sinusoid_table
from models.precision import at_least_float32


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


def padded_length(length: int, config: ActionFormerConfig) -> int:
    """Return the length to which a feature sequence is padded.

    Every level must be half of the one below, and OpenTAD's local attention takes whole pairs of half windows at each
    level. Ego4D's 1800 cells become 2048 so (adatad-facts 4.1).
    """
    windows = [config.window_at(level) for level in range(config.levels)]
    steps = [2**level * (2 * (window // 2) if window > 1 else 1) for level, window in enumerate(windows)]
    multiple = math.lcm(*steps)
    return -(-length // multiple) * multiple


class Tower(nn.Module):
    """Two masked convolutions and an output convolution, shared by all levels."""

    def __init__(self, channels: int, outputs: int, *, hidden: int | None = None, kernel: int = 3) -> None:
        """Build the layers, `hidden` channels wide (None: as wide as their input)."""
        super().__init__()
        hidden = hidden or channels
        self.convs = nn.ModuleList(MaskedConv(width, hidden, kernel) for width in (channels, hidden))
        self.out = nn.Conv1d(hidden, outputs, kernel, padding=kernel // 2)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t o"]:
        """Return the outputs with channels last. Those of padded cells are meaningless."""
        for conv in self.convs:
            cells = conv(cells, mask)
        return self.out(cells).transpose(1, 2)


class ActionFormerHead(Head):
    """Pyramid, norms, the two towers, and their losses."""

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
            positions = sinusoid_table(padded_length(length, config), config.width) / math.sqrt(config.width)
        self.input_dropout = nn.Dropout1d(config.input_dropout)
        self.pyramid = TemporalPyramid(config, channels, positions)
        self.norms = nn.ModuleList(ChannelNorm(config.width, eps=CONV_NORM_EPS) for _ in range(config.levels))
        self.classification = Tower(config.width, num_classes)
        self.regression = Tower(config.width, 2)
        self.scales = nn.Parameter(torch.ones(config.levels))
        assert self.classification.out.bias is not None
        nn.init.constant_(self.classification.out.bias, -math.log((1 - PRIOR) / PRIOR))
        assert self.regression.out.bias is not None
        with torch.no_grad():
            self.regression.out.bias += config.offset_bias
        self.normaliser = LossNormaliser(config.normaliser_init)

    def forward(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Predictions:
        """Return the predictions at all points; a length that cannot be halved often enough is padded."""
        strict = self.config.masking == "strict"
        if strict:
            features = features * mask[:, None]
        padding = padded_length(features.shape[2], self.config) - features.shape[2]
        if padding:
            features, mask = F.pad(features, (0, padding)), F.pad(mask, (0, padding))
        levels = self.pyramid(self.input_dropout(features), mask)
        logits, offsets = [], []
        for level, ((cells, valid), norm) in enumerate(zip(levels, self.norms, strict=True)):
            cells = norm(cells) * valid[:, None] if strict else norm(cells)
            logits.append(self.classification(cells, valid))
            offsets.append(F.relu(self.regression(cells, valid) * self.scales[level]))
        return Predictions(
            logits=at_least_float32(torch.cat(logits, dim=1)),
            offsets=at_least_float32(torch.cat(offsets, dim=1)),
            valid=torch.cat([valid for _, valid in levels], dim=1),
            points=make_points(mask.shape[1], self.config, mask.device),
        )

    def loss(
        self,
        features: Float[Tensor, "b c t"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the losses; see `Head`."""
        predictions = self(features, mask)
        targets = assign_targets(predictions.points, segments, labels, self.num_classes, self.config)
        positive = predictions.valid & (targets.classes > 0).any(-1)
        num_positives = positive.sum()
        divisor = self.normaliser(num_positives)

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

    def detect(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return every point's segment and class probabilities."""
        predictions = self(features, mask)
        return RawDetections(
            segments=predictions.segments().float(),
            scores=predictions.logits.sigmoid().float(),
            valid=predictions.valid,
        )
