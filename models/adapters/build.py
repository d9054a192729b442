"""From a config to an adapter: the one place that knows every kind."""

from models.adapters.base import Adapter
from models.adapters.bottleneck import PlainAdapter, TemporalAdapter
from models.adapters.longlora import ShiftedAttentionAdapter
from models.config import AdapterConfig


def build_adapter(channels: int, config: AdapterConfig, *, out_channels: int | None = None) -> Adapter:
    """Build one adapter of the configured kind, which changes nothing at first.

    Args:
        channels: channels of the block's output.
        config: kind and sizes.
        out_channels: channels of the change, where they differ (beside a backbone whose blocks differ in width).
    """
    match config.kind:
        case "plain":
            return PlainAdapter(channels, config, out_channels=out_channels)
        case "tia" | "tia_no_residual":
            return TemporalAdapter(channels, config, out_channels=out_channels)
        case "longlora":
            return ShiftedAttentionAdapter(channels, config, out_channels=out_channels)
