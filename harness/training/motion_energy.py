"""Where the tiny VideoMAE starts: filters that see motion, and a read-out by least squares.

A transformer of this size would need hours to discover that pixels move. It therefore starts from what is known
to see motion: the patch embedding holds pairs of space-time Gabor filters in quadrature (Adelson and Bergen's motion
energy, 1985) and the first MLP rectifies them. Training then adapts everything.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.data.motion import CLASSES
from harness.training.clips import pixels_of
from models.backbones.videomae import ClipClassifier

INIT_STD = 0.06
"""Of the transformer's weights: wider than 0.02, with which so small a network hardly moves in so few steps."""


def start_from_motion_energy(net: ClipClassifier) -> None:
    """Set the patch embedding to space-time Gabor pairs and the first MLP to rectify them; see the module.

    Eight directions, three wavelengths and two speeds (phase steps between the two frames of a tubelet), each as an
    even and an odd filter. Their gain lifts the responses above the position table, which would drown them.
    """
    weight = net.patch_embed.proj.weight
    blocks: list[Any] = list(net.blocks)
    width, _, frames, side, _ = weight.shape
    line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    down, across = torch.meshgrid(line, line, indexing="ij")
    window = torch.exp(-(across**2 + down**2) / (2 * (side / 3) ** 2))
    with torch.no_grad():
        for block in blocks:
            for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
                layer.weight.normal_(std=INIT_STD)
        for channel in range(width):
            pair = channel // 2
            direction = 2 * math.pi * (pair % 8) / 8
            wavelength = side * (0.25, 0.4, 0.65)[pair // 8 % 3]
            phase_step = 2 * math.pi * (0.25, 0.12)[pair // 24 % 2]
            way = across * math.cos(direction) + down * math.sin(direction)
            for frame in range(frames):
                phase = channel % 2 * math.pi / 2 - phase_step * frame
                kernel = torch.cos(2 * math.pi * way / wavelength + phase) * window
                kernel = kernel - kernel.mean()
                weight[channel, :, frame] = (kernel / kernel.norm() * 4 / 3).float()
        first, second = blocks[0].mlp.fc1, blocks[0].mlp.fc2
        first.weight[:width] = 1.5 * torch.eye(width)
        first.weight[width : 2 * width] = -1.5 * torch.eye(width)
        mixing = torch.linalg.qr(torch.randn(width, width))[0]
        second.weight[:, :width] = mixing
        second.weight[:, width : 2 * width] = mixing


def start_from_least_squares(net: ClipClassifier, clips: Tensor, labels: Tensor) -> None:
    """Set the last layer to the ridge regression of the labels on the untrained features."""
    with torch.no_grad():
        features = torch.cat([net.fc_norm(clip_tokens(net, pixels_of(part)).mean(1)) for part in clips.split(200)])
        mean, spread = features.mean(0), features.std(0) + 1e-6
        inputs = F.pad((features - mean) / spread, (0, 1), value=1.0).double()
        targets = F.one_hot(labels, len(CLASSES) + 1).double()
        penalty = 20 * torch.eye(inputs.shape[1], dtype=torch.float64)
        # Regression gives shares between 0 and 1; the factor makes logits of them.
        solved = 6 * torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets).float()
        weight, bias = solved[:-1] / spread[:, None], solved[-1]
        net.head.weight.copy_(weight.T)
        net.head.bias.copy_(bias - mean @ weight)


def clip_tokens(net: ClipClassifier, pixels: Tensor) -> Tensor:
    """Return the last block's tokens (n, tokens, width)."""
    tokens, grid = net.embed(pixels)
    for block in net.blocks:
        tokens = block(tokens, grid)
    return tokens
