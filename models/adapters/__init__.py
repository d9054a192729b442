"""Light modules that let a frozen backbone learn, inside its blocks or beside it."""

from models.adapters.base import Adapter, Rung
from models.adapters.bottleneck import PlainAdapter, TemporalAdapter
from models.adapters.build import build_adapter
from models.adapters.grid import Run, Tap, TokenGrid, run_plainly
from models.adapters.longlora import ShiftedAttentionAdapter

__all__ = [
    "Adapter",
    "PlainAdapter",
    "Run",
    "Rung",
    "ShiftedAttentionAdapter",
    "Tap",
    "TemporalAdapter",
    "TokenGrid",
    "build_adapter",
    "run_plainly",
]
