"""The end-to-end detector: pixels in, scored segments out.

uint8 frames -> clips -> VideoMAE (with adapters inside, or a ladder of them outside) -> cells -> head
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from models.backbones.videomae import AdapterLadder, VideoMAE
from models.config import DetectorConfig, EngineConfig
from models.engine.execution import runner
from models.heads.actionformer import ActionFormerHead
from models.representation import PixelNormalisation, cut_into_clips, pool_to_cells
from models.tuning import freeze, rest_frozen_modules


@dataclass(frozen=True)
class RawDetections:
    """One scored segment per point and class, before any selection; float32."""

    segments: Float[Tensor, "b point 2"]
    """In feature-grid units; may reach beyond the window."""
    scores: Float[Tensor, "b point label"]
    """Independent probabilities."""
    valid: Bool[Tensor, "b point"]
    """False where the point lies in padding."""


class Detector(nn.Module):
    """AdaTAD, AdaTAD dagger, a frozen or a fully trained backbone, by config."""

    def __init__(self, config: DetectorConfig, *, num_classes: int, features: int, engine: EngineConfig) -> None:
        """Build with random weights and freeze what does not train; see `build_detector`."""
        super().__init__()
        self.config = config
        self._run = runner(engine)
        outside = config.adapter is not None and config.adapter.placement == "outside"
        self.normalise = PixelNormalisation()
        self.backbone = VideoMAE(config.backbone, None if outside else config.adapter)
        self.ladder = AdapterLadder(config.backbone, config.adapter) if outside and config.adapter else None
        self.head = ActionFormerHead(
            config.head, channels=config.backbone.width, num_classes=num_classes, length=features
        )
        freeze(self)

    def train(self, mode: bool = True) -> "Detector":
        """Set training mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        rest_frozen_modules(self.backbone)
        return self

    def forward(
        self,
        frames: UInt8[Tensor, "b 3 frame height width"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return `loss`; under this name because DistributedDataParallel wraps it."""
        return self.loss(frames, mask, segments, labels)

    def loss(
        self,
        frames: UInt8[Tensor, "b 3 frame height width"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the scalars `loss` (to minimise), `classification`, `regression` and `positives`.

        Args:
            frames: RGB windows.
            mask: which feature cells are inside the video; its length is the number of cells.
            segments: actions in feature-grid units.
            labels: their classes; -1 marks padding.
        """
        return self.head.loss(self.features(frames, mask.shape[1]), mask, segments, labels)

    @torch.no_grad()
    def detect(self, frames: UInt8[Tensor, "b 3 frame height width"], mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return a scored segment for every pyramid point."""
        predictions = self.head(self.features(frames, mask.shape[1]), mask)
        return RawDetections(
            segments=predictions.segments().float(),
            scores=predictions.logits.sigmoid().float(),
            valid=predictions.valid,
        )

    def features(self, frames: UInt8[Tensor, "b 3 frame height width"], cells: int) -> Float[Tensor, "b channel t"]:
        """Return what the head sees: one vector per feature cell."""
        clips = self.normalise(cut_into_clips(frames, self.config.backbone.clip_frames))
        num_clips = frames.shape[2] // self.config.backbone.clip_frames
        if self.ladder is not None:
            maps = self.ladder(self.backbone, clips, num_clips, self._run)
        else:
            with torch.no_grad() if self.config.tuning == "frozen" else nullcontext():
                maps = self.backbone(clips, num_clips, self._run)
        return pool_to_cells(maps, num_clips, cells)


def build_detector(
    config: DetectorConfig, *, num_classes: int, features: int, resolution: int, engine: EngineConfig
) -> Detector:
    """Build a detector with random weights, frozen and in training mode as the config says.

    Args:
        config: the networks and what of them trains.
        num_classes: classes, without a background.
        features: feature cells per window.
        resolution: height and width of the frames it will see, pixels.
        engine: how a step is executed; changes nothing that is computed.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected at least 1")
    if resolution < config.backbone.patch:
        raise ValueError(f"resolution is {resolution}, expected at least one patch ({config.backbone.patch} pixels)")
    if features < 1:
        raise ValueError(f"features is {features}, expected at least 1")
    return Detector(config, num_classes=num_classes, features=features, engine=engine)
