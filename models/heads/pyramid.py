"""The temporal pyramid of ActionFormer (Zhang et al. 2022): convolutions and transformer blocks that respect a mask.

    features (b, C_in, T) -> embedding convolutions -> stem blocks = level 0 -> blocks of stride 2 = levels 1, 2, ...

Cells where the mask is False are padding: they are zeroed after every step, so that they add nothing to their
neighbours. Sequences are (batch, channel, time) and masks (batch, time).
"""

from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ActionFormerConfig, TriDetConfig

CONV_NORM_EPS = 1e-6
BLOCK_NORM_EPS = 1e-5
"""OpenTAD uses both values: this one inside transformer blocks, the smaller one elsewhere."""
MASKED_LOGIT = -1e4


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a (batch, channel, time) sequence."""

    def forward(self, input: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Normalise every cell on its own."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class MaskedConv(nn.Module):
    """Convolution over a few cells (an odd number), norm, ReLU; padded cells stay zero."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3) -> None:
        """Build it without bias: the norm has one."""
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, kernel, padding=kernel // 2, bias=False)
        self.norm = ChannelNorm(channels, eps=CONV_NORM_EPS)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b d t"]:
        """Return the activated cells."""
        valid = mask[:, None]
        return F.relu(self.norm(self.conv(cells) * valid)) * valid


def embedding_convs(config: ActionFormerConfig | TriDetConfig, channels: int) -> nn.ModuleList:
    """Return the convolutions that bring features of `channels` to the pyramid's width."""
    widths = [channels, *[config.width] * config.embed_layers]
    return nn.ModuleList(MaskedConv(before, after) for before, after in pairwise(widths))


def full_attention(
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b h t d"],
    value: Float[Tensor, "b h t d"],
    mask: Bool[Tensor, "b t"],
) -> Float[Tensor, "b h t d"]:
    """Let every cell attend to every valid one. Outputs of padded queries are meaningless and masked by the caller."""
    value = value * mask[:, None, :, None]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])


def local_attention(
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b h t d"],
    value: Float[Tensor, "b h t d"],
    mask: Bool[Tensor, "b t"],
    reach: int,
) -> Float[Tensor, "b h t d"]:
    """Let every cell attend to the valid ones at most `reach` cells away.

    Queries are taken in blocks of `reach`, which see the three blocks of keys around them, so memory grows with
    T x reach instead of T squared.
    """
    length = query.shape[2]
    missing = -length % reach
    query = rearrange(F.pad(query, (0, 0, 0, missing)), "b h (n q) d -> b h n q d", q=reach)
    around = (reach, reach + missing)
    key = F.pad(key, (0, 0, *around)).unfold(2, 3 * reach, reach)
    value = F.pad(value, (0, 0, *around)).unfold(2, 3 * reach, reach)
    exists = F.pad(torch.ones_like(mask), around).unfold(1, 3 * reach, reach)
    valid = F.pad(mask, around).unfold(1, 3 * reach, reach)
    shift = torch.arange(3 * reach, device=mask.device) - torch.arange(reach, device=mask.device)[:, None]
    near = (shift >= 0) & (shift <= 2 * reach)

    logits = torch.einsum("b h n q d, b h n d k -> b h n q k", query * query.shape[-1] ** -0.5, key)
    logits = logits + torch.where(valid, 0.0, MASKED_LOGIT).to(logits.dtype)[:, None, :, None]
    logits = logits.masked_fill(~(near & exists[:, None, :, None]), float("-inf"))
    attention = logits.softmax(-1).to(value.dtype)
    mixed = rearrange(torch.einsum("b h n q k, b h n d k -> b h n q d", attention, value), "b h n q d -> b h (n q) d")
    return mixed[:, :, :length] * mask[:, None, :, None]


class Projection(nn.Module):
    """Queries, keys or values of a masked attention: depthwise convolution (which strides), norm, 1x1 convolution."""

    def __init__(self, channels: int, stride: int) -> None:
        """Build the three layers."""
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
        self.norm = ChannelNorm(channels, eps=BLOCK_NORM_EPS)
        self.pointwise = nn.Conv1d(channels, channels, 1)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b c s"]:
        """Return one vector per output cell; `mask` is that of the output."""
        return self.pointwise(self.norm(self.depthwise(cells) * mask[:, None]))


class MaskedAttention(nn.Module):
    """Multi-head attention over time, full or local, that may halve the length."""

    def __init__(self, config: ActionFormerConfig, stride: int, window: int) -> None:
        """Build the projections; a `window` of 0 or 1 cells means full attention."""
        super().__init__()
        # Half a window on each side, so an even window acts like the odd one above it (adatad-facts 12.20).
        self.heads, self.reach = config.attention_heads, window // 2
        self.query = Projection(config.width, stride)
        self.key = Projection(config.width, stride)
        self.value = Projection(config.width, stride)
        self.out = nn.Conv1d(config.width, config.width, 1)
        self.dropout = nn.Dropout(config.projection_dropout)

    def forward(self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b c s"]:
        """Mix the cells; `mask` is that of the output."""
        query, key, value = (
            rearrange(project(cells, mask), "b (h d) t -> b h t d", h=self.heads)
            for project in (self.query, self.key, self.value)
        )
        if self.reach:
            mixed = local_attention(query, key, value, mask, self.reach)
        else:
            mixed = full_attention(query, key, value, mask)
        return self.dropout(self.out(rearrange(mixed, "b h t d -> b (h d) t"))) * mask[:, None]


class ScaledDropPath(nn.Module):
    """A residual branch's learnable scale per channel, small at first, and its stochastic depth."""

    def __init__(self, channels: int, drop: float) -> None:
        """Start at 1e-4: every block begins close to its skip path."""
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, channels, 1), 1e-4))
        self.drop_path = DropPath(drop)

    def forward(self, branch: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Scale the branch, or drop it for some of the samples."""
        return self.drop_path(self.scale * branch)


class PyramidBlock(nn.Module):
    """A pre-norm transformer block over time; with stride 2 it makes the next level."""

    def __init__(self, config: ActionFormerConfig, stride: int, window: int = 0) -> None:
        """Build attention, MLP (four times as wide) and the skip path."""
        super().__init__()
        width = config.width
        self.stride = stride
        self.norm1 = ChannelNorm(width, eps=BLOCK_NORM_EPS)
        self.attention = MaskedAttention(config, stride, window)
        self.skip = nn.MaxPool1d(3, stride=stride, padding=1) if stride > 1 else nn.Identity()
        self.scale1 = ScaledDropPath(width, config.path_dropout)
        self.norm2 = ChannelNorm(width, eps=BLOCK_NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Conv1d(width, 4 * width, 1),
            nn.GELU(),
            nn.Dropout(config.projection_dropout),
            nn.Conv1d(4 * width, width, 1),
            nn.Dropout(config.projection_dropout),
        )
        self.scale2 = ScaledDropPath(width, config.path_dropout)

    def forward(
        self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b c s"], Bool[Tensor, "b s"]]:
        """Return the cells of this block's level and which of them are valid."""
        mask = mask[:, :: self.stride]
        valid = mask[:, None]
        cells = self.skip(cells) * valid + self.scale1(self.attention(self.norm1(cells), mask))
        return cells + self.scale2(self.mlp(self.norm2(cells)) * valid), mask


class Pyramid(nn.Module):
    """Features of a window at full resolution and at every halving of it, whatever its blocks are made of."""

    positions: Tensor | None

    def __init__(
        self, *, embedding: nn.ModuleList, stem: nn.ModuleList, branch: nn.ModuleList, positions: Tensor | None
    ) -> None:
        """Join the parts; `positions` (time, channel) are added before the stem."""
        super().__init__()
        self.embedding, self.stem, self.branch = embedding, stem, branch
        self.register_buffer("positions", positions, persistent=False)

    def forward(
        self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]
    ) -> list[tuple[Tensor, Bool[Tensor, "b _"]]]:
        """Return (cells, mask) of every level, the finest first."""
        cells = features
        for conv in self.embedding:
            cells = conv(cells, mask)
        if self.positions is not None:
            cells = cells + self._positions_for(cells.shape[2]) * mask[:, None]
        for block in self.stem:
            cells, mask = block(cells, mask)
        levels = [(cells, mask)]
        for block in self.branch:
            cells, mask = block(cells, mask)
            levels.append((cells, mask))
        return levels

    def _positions_for(self, length: int) -> Float[Tensor, "1 c t"]:
        assert self.positions is not None
        table = self.positions.t()[None]
        if length <= table.shape[2]:
            return table[:, :, :length]
        # A longer sequence than trained on stretches the table, as ActionFormer does at inference.
        return F.interpolate(table, size=length, mode="linear", align_corners=False)


class TemporalPyramid(Pyramid):
    """The pyramid of transformer blocks."""

    def __init__(self, config: ActionFormerConfig, channels: int, positions: Tensor | None = None) -> None:
        """Build embedding, stem and branch; `positions` (time, channel) are added before the stem."""
        embedding = embedding_convs(config, channels)
        stem = (PyramidBlock(config, stride=1, window=config.window_at(0)) for _ in range(config.stem_layers))
        branch = (PyramidBlock(config, stride=2, window=config.window_at(level)) for level in range(1, config.levels))
        super().__init__(
            embedding=embedding,
            stem=nn.ModuleList(stem),
            branch=nn.ModuleList(branch),
            positions=positions,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and module.bias is not None:
                nn.init.zeros_(module.bias)
