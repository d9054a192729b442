"""Clip classifiers over any backbone, for pretraining: two read-outs of the last feature map.

    clips -> backbone -> mean over all positions -> norm -> classes                       kept with the weights
                      -> every position -> norm -> classes -> logsumexp over positions    dropped afterwards

An object covers a part of the picture. In the mean over all positions its motion would at first be too faint to learn
from, so the second read-out lets single positions speak.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from harness.training.motion_energy import clip_tokens, start_from_least_squares, start_from_motion_energy
from models.backbones.build import build_backbone
from models.backbones.videomae import ClipClassifier
from models.config import BackboneConfig, VideoMAEConfig


class Student(nn.Module):
    """A backbone that learns to name clips."""

    def positions(self, pixels: Float[Tensor, "n 3 f h w"]) -> Float[Tensor, "n position channel"]:
        """Return the features that the second read-out sees."""
        raise NotImplementedError

    def classify(self, positions: Float[Tensor, "n position channel"]) -> Float[Tensor, "n label"]:
        """Return the first read-out's logits."""
        raise NotImplementedError

    def weights(self) -> Mapping[str, Tensor]:
        """Return what is stored."""
        raise NotImplementedError

    def loss(self, pixels: Float[Tensor, "n 3 f h w"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        """Return the sum of both read-outs' losses."""
        positions = self.positions(pixels)
        loudest = torch.logsumexp(self.per_position(positions), 1) - math.log(positions.shape[1])
        return F.cross_entropy(self.classify(positions), labels) + F.cross_entropy(loudest, labels)

    def forward(self, pixels: Float[Tensor, "n 3 f h w"]) -> Float[Tensor, "n label"]:
        """Return one logit per class and clip."""
        return self.classify(self.positions(pixels))

    def _add_read_out(self, channels: int, num_classes: int) -> None:
        self.per_position = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, num_classes))


class VideoMAEStudent(Student):
    """VideoMAE, which starts from filters that see motion."""

    def __init__(self, config: VideoMAEConfig, clips: Tensor, labels: Tensor, num_classes: int) -> None:
        """Build it and set its start from some clips (n, 16, side, side)."""
        super().__init__()
        self.net = ClipClassifier(config, num_classes)
        start_from_motion_energy(self.net)
        start_from_least_squares(self.net, clips, labels)
        self._add_read_out(config.width, num_classes)

    def positions(self, pixels: Float[Tensor, "n 3 f h w"]) -> Float[Tensor, "n position channel"]:
        """Return the last block's tokens."""
        return clip_tokens(self.net, pixels)

    def classify(self, positions: Float[Tensor, "n position channel"]) -> Float[Tensor, "n label"]:
        """Average, normalise, classify."""
        return self.net.head(self.net.fc_norm(positions.mean(1)))

    def weights(self) -> Mapping[str, Tensor]:
        """Return the classifier's state."""
        return self.net.state_dict()


class NativeTimeStudent(Student):
    """A backbone over native time, from random weights."""

    def __init__(self, config: BackboneConfig, num_classes: int) -> None:
        """Build it."""
        super().__init__()
        self.backbone = build_backbone(config)
        self.norm = nn.LayerNorm(config.channels)
        self.head = nn.Linear(config.channels, num_classes)
        self._add_read_out(config.channels, num_classes)

    def positions(self, pixels: Float[Tensor, "n 3 f h w"]) -> Float[Tensor, "n position channel"]:
        """Return the pathways' maps, each step of the slowest beside its share of the faster ones."""
        first, *others = self.backbone(pixels)
        steps = first.shape[2]
        spatial = first.flatten(3)
        parts = [
            spatial,
            *(
                F.adaptive_avg_pool1d(o.mean((3, 4)), steps)[..., None].expand(-1, -1, -1, spatial.shape[3])
                for o in others
            ),
        ]
        return torch.cat(parts, dim=1).flatten(2).transpose(1, 2)

    def classify(self, positions: Float[Tensor, "n position channel"]) -> Float[Tensor, "n label"]:
        """Average, normalise, classify."""
        return self.head(self.norm(positions.mean(1)))

    def weights(self) -> Mapping[str, Tensor]:
        """Return the backbone's state."""
        return self.backbone.state_dict()


def make_student(config: BackboneConfig, clips: Tensor, labels: Tensor, num_classes: int) -> Student:
    """Return the student of a backbone, at its start."""
    if isinstance(config, VideoMAEConfig):
        return VideoMAEStudent(config, clips, labels, num_classes)
    return NativeTimeStudent(config, num_classes)
