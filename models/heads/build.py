"""From a config to a head: the one place that knows every kind."""

from models.config import ActionFormerConfig, GTADConfig, HeadConfig, TriDetConfig
from models.heads.actionformer import ActionFormerHead
from models.heads.base import Head
from models.heads.gtad import GTADHead
from models.heads.tridet import TriDetHead


def build_head(config: HeadConfig, *, channels: int, num_classes: int, length: int) -> Head:
    """Build a head with random weights.

    Args:
        config: kind and sizes.
        channels: channels of a feature cell.
        num_classes: classes, without a background.
        length: feature cells per window.
    """
    match config:
        case ActionFormerConfig():
            return ActionFormerHead(config, channels=channels, num_classes=num_classes, length=length)
        case TriDetConfig():
            return TriDetHead(config, channels=channels, num_classes=num_classes, length=length)
        case GTADConfig():
            return GTADHead(config, channels=channels, num_classes=num_classes, length=length)
