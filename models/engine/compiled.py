"""`torch.compile`, block by block: every block is the same program, so it is compiled once for each size of part."""

import torch
from torch import nn

from models.backbones.videomae import Block


def compile_blocks(backbone: nn.Module) -> None:
    """Compile the attention and MLP of every block, in place; adapters and embedding are a few products each."""
    for block in backbone.modules():
        if isinstance(block, Block):
            block.transform = torch.compile(block.transform, dynamic=False)  # type: ignore[method-assign]
