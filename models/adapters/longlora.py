"""A LongLoRA-style adapter: full-width attention over time in shifted groups (the paper's Table 7, 28 M parameters).

    change(x) = gamma * Out(Attention(Q(x), K(x), V(x)))

Chen et al. 2024 (LongLoRA) let a long sequence attend within groups, and half of the heads within groups shifted by
half a group, so that information flows between neighbours. The AdaTAD paper names the variant without code; its
parameter count is that of four full-width projections per block, and this is the reading that fits it: every spatial
position attends over the tubelets of the whole window.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters.base import Adapter
from models.adapters.grid import TokenGrid
from models.config import AdapterConfig

HEAD_CHANNELS = 64
"""Channels per attention head, as in every VideoMAE up to L."""


class ShiftedAttentionAdapter(Adapter):
    """Grouped attention over time with half of the heads shifted; it has no bottleneck."""

    def __init__(self, channels: int, config: AdapterConfig, *, out_channels: int | None = None) -> None:
        """Start as a no-op: Out is zero."""
        super().__init__()
        # At least two heads, so that one can be shifted; a width that is no multiple of the usual head gets two.
        self.heads = channels // HEAD_CHANNELS if channels % (2 * HEAD_CHANNELS) == 0 else 2
        if channels % self.heads:
            raise ValueError(f"model.adapter.kind is longlora, expected an even number of channels, not {channels}")
        self.groups = config.attention_groups
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.up_proj = nn.Linear(channels, out_channels or channels)
        self.gamma = nn.Parameter(torch.ones(1))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.up_proj.weight)
        nn.init.zeros_(self.up_proj.bias)

    def change(self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid) -> Float[Tensor, "clip token out"]:
        """Return gamma * Out(attention over each position's tubelets)."""
        query, key, value = (
            rearrange(layer(tokens), "(b n) (t h w) (m d) -> (b h w) m (n t) d", m=self.heads, **grid.sizes)
            for layer in (self.query, self.key, self.value)
        )
        # Half of the heads see one grouping, the others (the larger half, where odd) the shifted one.
        plain = self.heads // 2
        mask = group_masks(query.shape[2], self.groups, query.device)
        parts = [
            F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            for q, k, v, allowed in zip(
                query.split([plain, self.heads - plain], dim=1),
                key.split([plain, self.heads - plain], dim=1),
                value.split([plain, self.heads - plain], dim=1),
                mask,
                strict=True,
            )
        ]
        mixed = rearrange(torch.cat(parts, dim=1), "(b h w) m (n t) d -> (b n) (t h w) (m d)", **grid.sizes)
        return self.up_proj(mixed) * self.gamma


def group_masks(length: int, groups: int, device: torch.device) -> Bool[Tensor, "2 t t"]:
    """Return who may attend to whom: within groups of equal size, and within the same groups shifted by half.

    The shift does not wrap around: the first and the last half group stay by themselves, because the end of a
    window and its start are not neighbours.
    """
    size = max(-(-length // groups), 1)
    position = torch.arange(length, device=device)
    plain, shifted = position // size, (position + size // 2) // size
    return torch.stack([group[:, None] == group for group in (plain, shifted)])
