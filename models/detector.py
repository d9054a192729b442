"""The end-to-end detector: pixels in, scored segments out.

uint8 frames -> representation -> backbone (with adapters inside, or a ladder of them outside) -> cells -> head
offline features ---------------------------------------------------------------------------> cells -> head
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from models.adapters.ladder import AdapterLadder
from models.backbones.base import Backbone
from models.backbones.build import build_backbone
from models.config import DetectorConfig, EngineConfig
from models.engine.compiled import compile_blocks
from models.engine.execution import pathways
from models.engine.head import checkpoint_blocks
from models.engine.weights import store_frozen
from models.heads.base import RawDetections
from models.heads.build import build_head
from models.representation import PixelNormalisation, cut_into_snippets, join_snippets, resample
from models.tuning import freeze, rest_frozen_modules

Frames = UInt8[Tensor, "b 3 frame height width"]
Features = Float[Tensor, "b channel step"]


class Detector(nn.Module):
    """AdaTAD, AdaTAD dagger, a frozen or a fully trained backbone, or a head on offline features, by config."""

    def __init__(self, config: DetectorConfig, *, num_classes: int, features: int, engine: EngineConfig) -> None:
        """Build with random weights and freeze what does not train; see `build_detector`."""
        super().__init__()
        self.config = config
        self.engine = engine
        adapter = config.adapter
        outside = adapter is not None and adapter.placement == "outside"
        self.normalise = PixelNormalisation()
        self.backbone = (
            None if config.tuning == "features" else build_backbone(config.backbone, None if outside else adapter)
        )
        self.ladder = AdapterLadder(self.backbone, adapter) if outside and adapter and self.backbone else None
        self.head = build_head(config.head, channels=config.backbone.channels, num_classes=num_classes, length=features)
        freeze(self)

    def train(self, mode: bool = True) -> "Detector":
        """Set training mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        rest_frozen_modules(self)
        return self

    def forward(
        self,
        inputs: Frames | Features,
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return `loss`; under this name because DistributedDataParallel wraps it."""
        return self.loss(inputs, mask, segments, labels)

    def loss(
        self,
        inputs: Frames | Features,
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the scalars `loss` (to minimise), its parts by name and `positives`.

        Args:
            inputs: RGB windows; feature sequences where the config's tuning is `features`.
            mask: which feature cells are inside the video; its length is the number of cells.
            segments: actions in feature-grid units.
            labels: their classes; -1 marks padding.
        """
        return self.head.loss(self.features(inputs, mask.shape[1]), mask, segments, labels)

    @torch.no_grad()
    def detect(self, inputs: Frames | Features, mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return a scored segment for every candidate of the head."""
        return self.head.detect(self.features(inputs, mask.shape[1]), mask)

    def features(self, inputs: Frames | Features, cells: int) -> Float[Tensor, "b channel t"]:
        """Return what the head sees: one vector per feature cell."""
        if self.config.tuning == "features":
            return resample([inputs], cells)
        representation = self.config.representation
        if representation.kind == "frame":
            return resample(self._pathways(inputs), cells)
        snippets = cut_into_snippets(inputs, representation.snippet_frames, representation.snippet_stride)
        return join_snippets(self._pathways(snippets), len(inputs), cells)

    def _pathways(self, frames: Frames) -> list[Float[Tensor, "video _ _"]]:
        """Return the backbone's output averaged over space, adapted where the config says so."""
        assert self.backbone is not None
        device = self.normalise.mean.device
        return pathways(self.backbone, self.ladder, self.normalise, frames, device, self.engine)


def build_detector(
    config: DetectorConfig,
    *,
    num_classes: int,
    features: int,
    resolution: int,
    engine: EngineConfig,
    fill: Callable[[Backbone], None] | None = None,
) -> Detector:
    """Build a detector with random weights, frozen and in training mode as the config says.

    Args:
        config: the networks and what of them trains.
        num_classes: classes, without a background.
        features: feature cells per window.
        resolution: height and width of the frames it will see, pixels.
        engine: how a step is executed; changes nothing that is computed.
        fill: gives the backbone its pretrained weights, before they are brought into the form in which they are stored.
    """
    if engine.policy == "auto":
        raise ValueError("engine.policy is auto, expected one that the planner has decided on")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected at least 1")
    smallest = config.backbone.smallest_side
    if config.tuning != "features" and resolution < smallest:
        raise ValueError(f"resolution is {resolution}, expected at least {smallest} pixels for {config.backbone.name}")
    if features < 1:
        raise ValueError(f"features is {features}, expected at least 1")
    detector = Detector(config, num_classes=num_classes, features=features, engine=engine)
    if detector.backbone is not None:
        if fill is not None:
            fill(detector.backbone)
        store_frozen(detector.backbone, engine.weights)
        if engine.compile:
            compile_blocks(detector.backbone)
    if engine.checkpoint_head:
        checkpoint_blocks(detector.head)
    return detector
