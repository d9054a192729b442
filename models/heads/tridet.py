"""The TriDet head (Shi et al. 2023): every pyramid cell classifies itself and weighs where its action's ends may lie.

A point at p with stride s (`points.py`) has bins + 1 candidates for the start: the cells p - bins s, ..., p - s, p.
Two voices say how likely each is: the candidate itself, per class (the start tower), and the point (the centre tower).

    P(start d strides before p) = softmax over d of (start logit at p - d s, of the class + centre logit at p, of d)

The distance is its expectation, and so on for the end with the cells after p. Every class has a segment of its own.
Beyond the sequence a candidate's logit is zero. The loss is ActionFormer's, except that a positive class's is smaller
the less its segment overlaps the action.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import TriDetConfig
from models.heads.actionformer import Tower
from models.heads.base import Head, RawDetections
from models.heads.points import PRIOR, LossNormaliser, Points, Targets, assign_targets, make_points
from models.heads.pyramid import CONV_NORM_EPS, ChannelNorm
from models.heads.sgp import SGPPyramid
from models.losses import diou_loss, sigmoid_focal_loss
from models.positions import sinusoid_table
from models.precision import at_least_float32
from models.segments import SMALLEST, iou


@dataclass(frozen=True)
class Predictions:
    """What the network says at every point."""

    logits: Float[Tensor, "b point label"]
    offsets: Float[Tensor, "b point label 2"]
    """Distances to start and end of every class's segment, in strides."""
    valid: Bool[Tensor, "b point"]
    points: Points

    def segments(self) -> Float[Tensor, "b point label 2"]:
        """Return the predicted segments in feature-grid units."""
        position, stride = self.points.position[:, None], self.points.stride[:, None]
        start, end = self.offsets.unbind(-1)
        return torch.stack((position - start * stride, position + end * stride), dim=-1)


def expected_distance(
    boundary: Float[Tensor, "b t label"], centre: Float[Tensor, "b t bin"], *, before: bool
) -> Float[Tensor, "b t label"]:
    """Return how many cells away every cell's boundary is expected, among the `bin` cells up to it or from it on.

    Args:
        boundary: how much each cell looks like a boundary of each class.
        centre: how much each cell favours each of its candidates, in the order of time.
        before: whether the candidates lie before the cell (a start) or after it (an end).
    """
    bins = centre.shape[2]
    around = (bins - 1, 0) if before else (0, bins - 1)
    candidates = F.pad(boundary, (0, 0, *around)).unfold(1, bins, 1)
    share = (candidates + centre[:, :, None]).softmax(dim=-1)
    distance = torch.arange(bins, device=share.device, dtype=share.dtype)
    # Not a matrix product, which autocast would take in half precision.
    return (share * (distance.flip(0) if before else distance)).sum(dim=-1)


def padded_length(length: int, config: TriDetConfig) -> int:
    """Return the length to which a feature sequence is padded: every level must be half of the one below.

    OpenTAD pads to its longest training sequence at inference and nothing while training. For windows of one length,
    which is all that a detector sees here, that is the same if the length can be halved often enough.
    """
    multiple = 2 ** (config.levels - 1)
    return -(-length // multiple) * multiple


class TriDetHead(Head):
    """Pyramid, norms, four towers, and their losses."""

    def __init__(self, config: TriDetConfig, *, channels: int, num_classes: int, length: int) -> None:
        """Build the head.

        Args:
            config: sizes and loss settings.
            channels: channels of the incoming features.
            num_classes: classes, without a background.
            length: feature cells per window, for which a position table is built (if there is one).
        """
        super().__init__()
        self.config, self.num_classes = config, num_classes
        width, hidden = config.width, config.head_width
        positions = None
        if config.position_embedding:
            positions = sinusoid_table(padded_length(length, config), width) / math.sqrt(width)
        self.pyramid = SGPPyramid(config, channels, positions)
        self.norms = nn.ModuleList(ChannelNorm(width, eps=CONV_NORM_EPS) for _ in range(config.levels))
        self.classification = Tower(width, num_classes, hidden=hidden)
        self.centre = Tower(width, 2 * (config.bins + 1), hidden=hidden)
        self.start = Tower(width, num_classes, hidden=hidden, kernel=config.boundary_kernel)
        self.end = Tower(width, num_classes, hidden=hidden, kernel=config.boundary_kernel)
        self.scales = nn.Parameter(torch.ones(config.levels))
        # OpenTAD leaves the boundary towers' biases at PyTorch's default; the original TriDet gives them the prior too.
        assert self.classification.out.bias is not None
        nn.init.constant_(self.classification.out.bias, -math.log((1 - PRIOR) / PRIOR))
        self.normaliser = LossNormaliser(config.normaliser_init)

    def forward(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Predictions:
        """Return the predictions at all points; a length that cannot be halved often enough is padded."""
        padding = padded_length(features.shape[2], self.config) - features.shape[2]
        if padding:
            features, mask = F.pad(features, (0, padding)), F.pad(mask, (0, padding))
        levels = self.pyramid(features, mask)
        logits, offsets = [], []
        for (cells, valid), norm, scale in zip(levels, self.norms, self.scales, strict=True):
            cells = norm(cells)
            if self.config.masking == "strict":
                cells = cells * valid[:, None]
            logits.append(self.classification(cells, valid))
            offsets.append(self._offsets(cells, valid, scale))
        return Predictions(
            logits=at_least_float32(torch.cat(logits, dim=1)),
            offsets=torch.cat(offsets, dim=1),
            valid=torch.cat([valid for _, valid in levels], dim=1),
            points=make_points(mask.shape[1], self.config, mask.device),
        )

    def _offsets(
        self, cells: Float[Tensor, "b c t"], valid: Bool[Tensor, "b t"], scale: Float[Tensor, ""]
    ) -> Float[Tensor, "b t label 2"]:
        """Return the expected distances to start and end on one level."""
        before, after = F.relu(at_least_float32(self.centre(cells, valid)) * scale).chunk(2, dim=2)
        # The boundary towers learn from the features but do not shape them.
        still = cells.detach()
        start, end = at_least_float32(self.start(still, valid)), at_least_float32(self.end(still, valid))
        if self.config.masking == "strict":
            # A padded candidate is one beyond the sequence.
            start, end = start * valid[..., None], end * valid[..., None]
        return torch.stack(
            (expected_distance(start, before, before=True), expected_distance(end, after, before=False)), dim=-1
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
        positive = (targets.classes > 0) & predictions.valid[..., None]
        num_positives = positive.any(-1).sum()
        divisor = self.normaliser(num_positives)

        predicted = predictions.segments()
        truth = targets.segments[:, :, None].to(predicted.dtype).expand_as(predicted)
        # A power below one has no finite gradient at zero, hence the bound.
        overlap = iou(predicted, truth).clamp(min=SMALLEST) ** self.config.iou_power
        focal = self._focal(predictions, targets) * overlap.where(positive, 1)
        # As published, this part is divided by the running mean in evaluation too.
        classification = focal.sum() / self.normaliser.value.clone()
        regression = (diou_loss(predicted, truth) * positive).sum() / divisor
        return {
            "loss": classification + self.config.regression_weight * regression,
            "classification": classification.detach(),
            "regression": regression.detach(),
            "positives": num_positives.to(divisor.dtype),
        }

    def _focal(self, predictions: Predictions, targets: Targets) -> Float[Tensor, "b point label"]:
        smoothing = self.config.label_smoothing
        classes = targets.classes.to(predictions.logits.dtype) * (1 - smoothing) + smoothing / (self.num_classes + 1)
        return sigmoid_focal_loss(predictions.logits, classes) * predictions.valid[..., None]

    def detect(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return every point's class probabilities and a segment for each class."""
        predictions = self(features, mask)
        return RawDetections(
            segments=predictions.segments().float(),
            scores=predictions.logits.sigmoid().float(),
            valid=predictions.valid,
        )
