"""What every adapter is: a light module that adds a change to the tokens of a frozen block.

Inside the backbone an adapter ends a block and gives x + change(x); gradients pass through every later block. Outside
(AdaTAD dagger, `ladder.py`) only the changes' means over space are used, and no gradient enters the backbone.
"""

from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from models.adapters.grid import TokenGrid
from models.precision import at_least_float32


class Adapter(nn.Module):
    """Tokens in, tokens out. A kind defines `change`, and starts with a change of zero."""

    def change(self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid) -> Float[Tensor, "clip token out"]:
        """Return what the adapter adds; the clips of a video are adjacent in the batch."""
        raise NotImplementedError

    def pooled_change(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "video time out"]:
        """Return the change's mean over space for every tubelet of a video, in float32 or better."""
        change = at_least_float32(self.change(tokens, grid))
        return reduce(change, "(b n) (t h w) c -> b (n t) c", "mean", **grid.sizes)

    def forward(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "clip token channel"]:
        """Return the adapted tokens."""
        return tokens + self.change(tokens, grid)


class Rung(nn.Module):
    """An adapter beside the backbone: it is called for its pooled change."""

    def __init__(self, adapter: Adapter) -> None:
        """Hold the adapter."""
        super().__init__()
        self.adapter = adapter

    def forward(self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid) -> Float[Tensor, "video time out"]:
        """Return the adapter's change, averaged over space."""
        return self.adapter.pooled_change(tokens, grid)
