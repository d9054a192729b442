"""The G-TAD head (Xu et al. 2020) as OpenTAD integrates it: graph blocks, boundaries, and a map of proposals.

    features --3, 4 groups--> graph block --+--> graph block --> start, per cell
                                            +--> graph block --> end, per cell
                                            +--> graph block --> SGAlign --> convolutions --> per proposal: is it an
                                                                                action (of each class), and its IoU

Published, it names no classes: `class_agnostic`. Our extension gives the classification map one channel per class,
whose target is the overlap with actions of that class. A proposal's loss is the sum over classes, and proposals that
are an action weigh half whatever their class, so that confusing two classes costs as much as missing an action. With
one class both are the same network and loss.

The length of a window is fixed, because the map is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import GTADConfig
from models.heads.align import ProposalFeatures
from models.heads.base import Head, RawDetections
from models.heads.graph import GraphBlock, gather_cells, nearest_cells
from models.heads.proposals import (
    ProposalMap,
    boundary_candidates,
    boundary_targets,
    interval_overlap,
    overlap_per_class,
)
from models.losses import balanced_l2_loss, balanced_mean
from models.precision import at_least_float32

INPUT_GROUPS = 4
MAP_CONVS = 3
BOUNDARY_OVERLAP = 0.5
"""A cell is a start or end if more than this share of it lies near one, as in the paper and its code.

OpenTAD holds cells as integers and so rounds the share down: there, only cells that lie near one entirely count.
"""
ACTION_OVERLAP = 0.9
"""A proposal is an action if its IoU with one is more than this."""
REGRESSION_WEIGHT = 5.0


@dataclass(frozen=True)
class Predictions:
    """What the network says, as logits in float32 or better."""

    boundaries: Float[Tensor, "b 2 t"]
    """Does an action start here; does one end here."""
    classification: Float[Tensor, "b label proposal"]
    regression: Float[Tensor, "b proposal"]
    """Highest IoU with an action of any class."""


class BoundaryBranch(nn.Module):
    """A graph block and one logit per cell."""

    def __init__(self, config: GTADConfig) -> None:
        """Build it for starts or for ends."""
        super().__init__()
        self.graph = GraphBlock(config.graph_width, config.groups, config.neighbours)
        self.out = nn.Conv1d(config.graph_width, 1, 1)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b 1 t"]:
        """Return the logits."""
        return self.out(self.graph(cells, mask))


class ProposalBranch(nn.Module):
    """Graph block, SGAlign, and the convolutions over the map."""

    def __init__(self, config: GTADConfig, outputs: int, length: int, longest: int) -> None:
        """Build the layers."""
        super().__init__()
        self.neighbours = config.neighbours
        self.graph = GraphBlock(config.graph_width, config.groups, config.neighbours)
        self.features = ProposalFeatures(
            config.graph_width,
            config.map_width,
            length=length,
            longest=longest,
            roi_bins=config.roi_bins,
            context_bins=config.context_bins,
        )
        kernel, hidden = config.map_kernel, config.map_hidden
        self.convs = nn.ModuleList(
            nn.Conv2d(hidden if index else config.map_width, hidden, kernel, padding=kernel // 2)
            for index in range(MAP_CONVS)
        )
        self.out = nn.Conv2d(hidden, outputs, 1)

    def forward(
        self,
        cells: Float[Tensor, "b c t"],
        mask: Bool[Tensor, "b t"] | None,
        inside: Bool[Tensor, "b duration t"] | None,
    ) -> Float[Tensor, "b o duration t"]:
        """Return the map; with masks, what lies outside of the video is zero before every convolution."""
        cells = self.graph(cells, mask)
        context = gather_cells(cells, nearest_cells(cells, self.neighbours, mask)).mean(dim=-1)
        if mask is not None:
            context = context * mask[:, None]
        proposals = self.features(cells, context)
        for conv in self.convs:
            if inside is not None:
                proposals = proposals * inside[:, None]
            proposals = F.relu(conv(proposals), inplace=True)
        return self.out(proposals)


class GTADHead(Head):
    """Projection, the three branches, and their losses."""

    def __init__(self, config: GTADConfig, *, channels: int, num_classes: int, length: int) -> None:
        """Build the head; a proposal is never longer than the window.

        Args:
            config: sizes, how classes are told and how proposals are scored.
            channels: channels of the incoming features.
            num_classes: classes, without a background; of no effect on a class-agnostic head.
            length: feature cells per window.
        """
        super().__init__()
        if channels % INPUT_GROUPS:
            raise ValueError(f"the features have {channels} channels, expected a multiple of {INPUT_GROUPS} for G-TAD")
        if length < config.neighbours:
            raise ValueError(f"model.head.neighbours is {config.neighbours}, expected at most the {length} cells")
        self.config, self.length = config, length
        self.num_labels = 1 if config.class_agnostic else num_classes
        self.map = ProposalMap(length, min(config.longest, length))
        self.projection = nn.Conv1d(channels, config.graph_width, 3, padding=1, groups=INPUT_GROUPS)
        self.graph = GraphBlock(config.graph_width, config.groups, config.neighbours)
        self.start, self.end = BoundaryBranch(config), BoundaryBranch(config)
        self.proposals = ProposalBranch(config, self.num_labels + 1, length, self.map.longest)
        # Only these start at zero: OpenTAD never reaches the Xavier initialisation that it inherits from BMN.
        for conv in (self.projection, self.start.out, self.end.out):
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    @property
    def strict(self) -> bool:
        """Whether padding is kept out of everything."""
        return self.config.masking == "strict"

    def forward(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Predictions:
        """Return the predictions for all cells and proposals.

        The published code lets the first convolution see one cell of padding, masks the cells after the projection
        and the first graph block, and never again.
        """
        if features.shape[2] != self.length:
            raise ValueError(f"the features have {features.shape[2]} cells, expected {self.length}, the map's length")
        exists = mask if self.strict else None
        if exists is not None:
            features = features * exists[:, None]
        cells = F.relu(self.projection(features)) * mask[:, None]
        cells = self.graph(cells, exists) * mask[:, None]
        boundaries = torch.cat((self.start(cells, exists), self.end(cells, exists)), dim=1)
        proposals = self.proposals(cells, exists, self._inside(mask) if self.strict else None)
        selected = self.map.select(at_least_float32(proposals))
        return Predictions(at_least_float32(boundaries), selected[:, :-1], selected[:, -1])

    def loss(
        self,
        features: Float[Tensor, "b c t"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the losses; see `Head`. A positive is a proposal that is almost an action."""
        predictions = self(features, mask)
        actions = segments.to(predictions.regression.dtype)
        overlap = interval_overlap(self.map.segments(), actions, labels)
        highest = overlap.amax(-1)
        cells = mask if self.strict else torch.ones_like(mask)
        proposals = self.map.select(self._inside(cells))

        near = (boundary_targets(self.length, actions, labels) > self.config.boundary_overlap).unbind(1)
        starts, ends = (
            balanced_mean(_cross_entropy(logits, truth), truth, cells)
            for logits, truth in zip(predictions.boundaries.unbind(1), near, strict=True)
        )
        found = self._per_class(overlap, labels) > ACTION_OVERLAP
        entropy = _cross_entropy(predictions.classification, found).sum(1)
        classification = balanced_mean(entropy, found.any(1), proposals)
        # The published code forgets the weight where no proposal comes near an action.
        regression = REGRESSION_WEIGHT * balanced_l2_loss(predictions.regression.sigmoid(), highest, proposals)
        return {
            "loss": starts + ends + classification + regression,
            "boundary": (starts + ends).detach(),
            "classification": classification.detach(),
            "regression": regression.detach(),
            "positives": (found.any(1) & proposals).sum().to(regression.dtype),
        }

    def detect(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return every proposal; valid are those between boundary candidates, as the published inference keeps them.

        Unmasked, a proposal may end in padding, as published: clipping then ends it with the video.
        """
        predictions = self(features, mask)
        starts, ends = predictions.boundaries.float().sigmoid().unbind(1)
        scores = predictions.classification.float().sigmoid() * predictions.regression.float().sigmoid()[:, None]
        if self.config.score == "map_boundaries":
            both = starts[:, None] * self.map.last_cells(ends)
            scores = scores * self.map.select(both)[:, None]
        segments = self.map.segments()
        return RawDetections(
            segments=segments.expand(len(mask), *segments.shape),
            scores=scores.transpose(1, 2),
            valid=self.map.select(self._between_candidates(starts, ends, mask)),
        )

    def _per_class(
        self, overlap: Float[Tensor, "b proposal action"], labels: Int64[Tensor, "b action"]
    ) -> Float[Tensor, "b label proposal"]:
        """Return every proposal's highest overlap with an action, of any class or of each."""
        if self.config.class_agnostic:
            return overlap.amax(-1)[:, None]
        return overlap_per_class(overlap, labels, self.num_labels).transpose(1, 2)

    def _between_candidates(
        self, starts: Float[Tensor, "b t"], ends: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
    ) -> Bool[Tensor, "b duration t"]:
        cells = mask if self.strict else torch.ones_like(mask)
        first = cells & ~F.pad(cells, (1, 0))[:, :-1]
        last = cells & ~F.pad(cells, (0, 1))[:, 1:]
        start = boundary_candidates(starts, cells, first) & mask
        end = boundary_candidates(ends, cells, last)
        return start[:, None] & self.map.last_cells(end) & self._inside(cells)

    def _inside(self, mask: Bool[Tensor, "b t"]) -> Bool[Tensor, "b duration t"]:
        """Return which entries of the map lie between two cells of the mask."""
        return mask[:, None] & self.map.last_cells(mask)


def _cross_entropy(logits: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    # From logits: the published form takes probabilities, which autocast refuses.
    return F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
