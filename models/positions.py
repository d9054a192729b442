"""Fixed position tables, shared by the backbone (over tokens) and the head (over time)."""

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoid_table(length: int, channels: int) -> Float[Tensor, "length channels"]:
    """Return sines (even channels) and cosines (odd) of the index; wavelengths grow from 2 pi to 10000 x 2 pi.

    Computed in float64: in float32 the arguments would lose digits before the sine is taken.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    pair = torch.arange(channels, dtype=torch.float64) // 2
    angle = position / 10000 ** (2 * pair / channels)
    even = torch.arange(channels) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos()).float()
