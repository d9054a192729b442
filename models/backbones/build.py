"""From a config to a backbone: the one place that knows every kind."""

from models.backbones.base import Backbone
from models.backbones.slowfast import SlowFast
from models.backbones.video_swin import VideoSwin
from models.backbones.videomae import VideoMAE
from models.config import AdapterConfig, BackboneConfig, OfflineConfig, SlowFastConfig, VideoMAEConfig, VideoSwinConfig


def build_backbone(config: BackboneConfig, adapter: AdapterConfig | None = None) -> Backbone:
    """Build a backbone with random weights; `adapter` asks for adapters inside its blocks."""
    match config:
        case VideoMAEConfig():
            return VideoMAE(config, adapter)
        case SlowFastConfig():
            return SlowFast(config, adapter)
        case VideoSwinConfig():
            return VideoSwin(config, adapter)
        case OfflineConfig():
            raise ValueError(f"model.backbone is {config.name}, which is features from files and not a network")
