"""The paper's own way to execute a step, to be measured and timed against (adatad-facts 3).

Every block whose input needs a gradient is checkpointed in the older, reentrant way; adapters beside the backbone see
and return whole maps, which are added up at full resolution before the mean over space.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.adapters import Adapter, TokenGrid
from models.adapters.ladder import AdapterLadder
from models.backbones.base import Backbone
from models.representation import pool_space


def run_reentrant(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """Checkpoint a block if its input needs a gradient; call it plainly if not."""
    if not (tokens.requires_grad and torch.is_grad_enabled()):
        return module(tokens, grid)
    result = checkpoint(module, tokens, grid, use_reentrant=True)
    assert isinstance(result, Tensor)
    return result


def full_resolution_ladder(
    backbone: Backbone, ladder: AdapterLadder, pixels: Float[Tensor, "video 3 frame height width"]
) -> list[Float[Tensor, "video channel time"]]:
    """Return the mean over space of the last block's output plus every adapter's change, added map by map."""
    seen: list[tuple[Adapter, Tensor, TokenGrid]] = []

    def tap(index: int, tokens: Tensor, grid: TokenGrid) -> None:
        if str(index) in ladder.adapters:
            seen.append((ladder.adapters[str(index)], tokens, grid))  # type: ignore[arg-type]

    with torch.no_grad():
        maps = backbone(pixels, tap=tap)
    total = seen[-1][1]
    for adapter, tokens, grid in seen:
        total = total + _checkpointed(adapter.change, tokens, grid)
    grid = seen[-1][2]
    first = rearrange(total, "(b n) (t h w) c -> b c (n t) h w", **grid.sizes)
    return pool_space([first, *maps[1:]])


def _checkpointed(change: Callable[[Tensor, TokenGrid], Tensor], tokens: Tensor, grid: TokenGrid) -> Tensor:
    result = checkpoint(change, tokens, grid, use_reentrant=False)
    assert isinstance(result, Tensor)
    return result
