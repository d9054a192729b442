"""The format in which the residual stream waits between blocks."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """Rounds the stream where the policy says so; every block computes on float32 or better."""

    residual: Literal["fp32", "bf16"]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the tokens as they are stored."""
        return tokens.to(torch.bfloat16) if self.residual == "bf16" else tokens
