"""Checkpointing of a head: its pyramid's blocks and its towers keep their inputs only."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from models.heads.actionformer import Tower
from models.heads.base import Head
from models.heads.pyramid import PyramidBlock
from models.heads.sgp import SGPBlock

BLOCKS = (PyramidBlock, SGPBlock, Tower)
"""What is recomputed. None of them changes a buffer; the random state is restored, so dropout draws the same masks."""


def checkpoint_blocks(head: Head) -> None:
    """Make the head's blocks recompute, in place."""
    for module in head.modules():
        if isinstance(module, BLOCKS):
            _checkpoint(module)


def _checkpoint(module: nn.Module) -> None:
    plain = module.forward

    def forward(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*inputs)
        return checkpoint(plain, *inputs, use_reentrant=False)

    module.forward = forward  # type: ignore[method-assign]
