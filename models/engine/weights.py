"""How the frozen weights of a backbone are stored.

    bf16   what autocast would make of them for every product; made once, before they ever reach a device
    int8   one byte per weight and a scale per output channel, multiplied out for every product: numbers change

Only linear layers and convolutions, which hold nearly all weights; normalisations stay in float32, in which autocast
runs them.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 127
"""Steps from zero to the largest weight of an output channel."""


class Int8Linear(nn.Module):
    """A frozen linear layer of which one byte per weight is stored."""

    levels: Int8[Tensor, "out in"]
    scale: Float[Tensor, "out 1"]

    def __init__(self, layer: nn.Linear) -> None:
        """Round a layer's weights to 255 levels per output channel; its bias stays as it is."""
        super().__init__()
        weight = layer.weight.detach()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / LEVELS
        self.register_buffer("levels", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """Return the weights, in the format in which products are taken."""
        kind = self.scale.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.scale.dtype
        return self.levels.to(dtype) * self.scale.to(dtype)

    def forward(self, values: Float[Tensor, "*shape in"]) -> Float[Tensor, "*shape out"]:
        """Multiply."""
        return F.linear(values, self.weight, self.bias)


def store_frozen(backbone: nn.Module, weights: Literal["fp32", "bf16", "int8"]) -> None:
    """Bring the frozen linear layers and convolutions of a backbone into their stored form, in place."""
    if weights == "fp32":
        return
    for module in list(backbone.modules()):
        for name, layer in list(module.named_children()):
            if not isinstance(layer, nn.Linear | nn.Conv3d) or layer.weight.requires_grad:
                continue
            if weights == "int8" and isinstance(layer, nn.Linear):
                setattr(module, name, Int8Linear(layer))
            else:
                _halve(layer)


def _halve(layer: nn.Linear | nn.Conv3d) -> None:
    for name, parameter in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(parameter.detach().to(torch.bfloat16), requires_grad=False))
