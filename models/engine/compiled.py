"""`torch.compile`, block by block: every block is the same program, so it is compiled once for each size of part."""

import torch
from torch import nn
from torch._guards import detect_fake_mode

from models.backbones.videomae import Block


def compile_blocks(backbone: nn.Module) -> None:
    """Compile the attention and MLP of every block, in place; adapters and embedding are a few products each.

    Not while a step is only traced on tensors without data: that predicts memory, which fusion does not raise.
    """
    if detect_fake_mode() is not None:
        return
    for block in backbone.modules():
        if isinstance(block, Block):
            block.transform = torch.compile(block.transform, dynamic=False)  # type: ignore[method-assign]
