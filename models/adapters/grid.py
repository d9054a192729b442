"""How tokens are laid out, and who runs a module on them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class TokenGrid:
    """How a batch of token sequences `(videos * num_clips, time * height * width, channels)` is laid out."""

    num_clips: int
    """Consecutive clips of one video, adjacent in the batch; 1 for a backbone over native time."""
    time: int
    """Tubelets per clip; the slowest axis of a sequence."""
    height: int
    width: int

    @property
    def sizes(self) -> dict[str, int]:
        """Return the sizes by the letters n, t, h, w, for einops."""
        return {"n": self.num_clips, "t": self.time, "h": self.height, "w": self.width}


Run = Callable[[nn.Module, Tensor, TokenGrid], Tensor]
"""Executes a block or an adapter. What it keeps for the backward pass is its own business."""

Tap = Callable[[int, Tensor, TokenGrid], None]
"""Is shown the output of every block that could carry an adapter, by its number, as token sequences."""


def run_plainly(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """Call the module and keep whatever autograd keeps."""
    return module(tokens, grid)
