"""One rule on number formats: what decides a result is computed in float32 or better."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values as float32; float32 and float64 (used by exact tests) pass unchanged."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
