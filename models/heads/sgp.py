"""The temporal pyramid of TriDet (Shi et al. 2023): convolutions and scalable-granularity perception (SGP) blocks.

    features (b, C_in, T) -> embedding convolutions -> stem blocks = level 0 -> halving blocks = levels 1, 2, ...

A block mixes time without attention. With n its normalised cells and five depthwise convolutions,

    instant(n) * relu(context(mean of n over time)) + (near(n) + far(n)) * gate(n) + n

is added to the cells, then an MLP of their group norm.

Of a block, the published code masks the skip path and nothing else. So padding reaches valid cells through the pooling
that halves, the convolutions, the mean over time and the group norm; in the last two every padded cell counts, so the
length of the padding changes results. `masking="opentad"` does the same, since public weights and numbers were made so.
With `masking="strict"` padding is as if the window ended there.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import TriDetConfig
from models.heads.pyramid import BLOCK_NORM_EPS, ChannelNorm, Pyramid, ScaledDropPath, embedding_convs
from models.precision import at_least_float32

GROUPS = 16

Seen = Bool[Tensor, "b t"] | None
"""The cells that count; None: all of them, padding too."""


def far_kernel(window: int, ratio: float) -> int:
    """Return the kernel of a block's `far` convolution: `ratio` times one more than `near`'s, made odd."""
    kernel = round((window + 1) * ratio)
    return kernel + 1 - kernel % 2


def hide(cells: Float[Tensor, "b c t"], seen: Seen) -> Float[Tensor, "b c t"]:
    """Zero the cells that do not count."""
    return cells if seen is None else cells * seen[:, None]


def mean_over_time(cells: Float[Tensor, "b c t"], seen: Seen) -> Float[Tensor, "b c 1"]:
    """Return the mean of the cells that count; they are zero elsewhere."""
    if seen is None:
        return cells.mean(dim=2, keepdim=True)
    return cells.sum(dim=2, keepdim=True) / seen.sum(dim=1)[:, None, None].clamp(min=1)


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm over time whose statistics leave out what does not count."""

    def forward(self, input: Float[Tensor, "b c t"], seen: Seen = None) -> Float[Tensor, "b c t"]:
        """Normalise each sample's groups of channels."""
        if seen is None:
            return super().forward(input)
        groups = rearrange(at_least_float32(input), "b (g c) t -> b g c t", g=self.num_groups)
        counts = seen[:, None, None]
        number = (counts.sum(dim=3, keepdim=True) * groups.shape[2]).clamp(min=1)
        centred = groups - (groups * counts).sum(dim=(2, 3), keepdim=True) / number
        variance = (centred.square() * counts).sum(dim=(2, 3), keepdim=True) / number
        normed = rearrange(centred * (variance + self.eps).rsqrt(), "b g c t -> b (g c) t")
        return normed * self.weight[:, None] + self.bias[:, None]


class MaxHalving(nn.Module):
    """Halve the length: the largest of three cells, every second one."""

    def __init__(self) -> None:
        """Build the pooling."""
        super().__init__()
        self.pool = nn.MaxPool1d(3, stride=2, padding=1)

    def forward(self, cells: Float[Tensor, "b c t"], seen: Seen) -> Float[Tensor, "b c s"]:
        """Return the pooled cells; those whose middle does not count are zero."""
        if seen is None:
            return self.pool(cells)
        # Zeros would win over negative cells. A pooled cell that counts has at least its middle.
        pooled = self.pool(cells.masked_fill(~seen[:, None], float("-inf")))
        return pooled.masked_fill(~seen[:, None, ::2], 0)


class MeanHalving(nn.Module):
    """Halve the length: the mean of two cells, and a linear map."""

    def __init__(self, channels: int) -> None:
        """Build pooling and map."""
        super().__init__()
        self.pool = nn.AvgPool1d(2)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, cells: Float[Tensor, "b c t"], seen: Seen) -> Float[Tensor, "b c s"]:
        """Return the mapped means of the cells that count."""
        pooled = self.pool(hide(cells, seen))
        if seen is not None:
            share = self.pool(seen[:, None].to(pooled.dtype))
            pooled = pooled / share.clamp(min=0.5)
        return self.out(pooled)


class Depthwise(nn.Conv1d):
    """A convolution of every channel on its own, over an odd number of cells."""

    def __init__(self, channels: int, kernel: int, std: float) -> None:
        """Start with random weights of standard deviation `std` and without bias."""
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)
        assert self.bias is not None
        nn.init.normal_(self.weight, std=std)
        nn.init.zeros_(self.bias)

    def forward(self, input: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Return the convolved cells."""
        if self.kernel_size == (1,):
            # PyTorch's convolution takes such channels one by one on the CPU: 0.62 s instead of 0.38 s per step of a
            # pyramid of THUMOS14's size.
            assert self.bias is not None
            return input * self.weight[:, 0] + self.bias[:, None]
        return super().forward(input)


class SGPBlock(nn.Module):
    """A block of the stem, or one that makes the next level.

    As published, all convolutions of a stem block but `far` see a single cell, and it has neither drop path nor the
    learnable scales that come with it.
    """

    def __init__(self, config: TriDetConfig, *, halves: bool) -> None:
        """Build the branches, the MLP and, if it `halves`, the pooling."""
        super().__init__()
        width, std = config.width, config.sgp_init
        window = config.sgp_window if halves else 1
        self.strict = config.masking == "strict"
        self.halving = None
        if halves:
            self.halving = MaxHalving() if config.downsampling == "max" else MeanHalving(width)
        self.norm = ChannelNorm(width, eps=BLOCK_NORM_EPS)
        self.instant = Depthwise(width, 1, std)
        self.context = Depthwise(width, 1, std)
        self.near = Depthwise(width, window, std)
        self.far = Depthwise(width, far_kernel(window, config.sgp_ratio), std)
        self.gate = Depthwise(width, window, std)
        self.group_norm = MaskedGroupNorm(GROUPS, width)
        self.mlp = nn.Sequential(
            nn.Conv1d(width, config.sgp_hidden, 1), nn.GELU(), nn.Conv1d(config.sgp_hidden, width, 1)
        )
        self.scale1 = ScaledDropPath(width, config.path_dropout) if halves else nn.Identity()
        self.scale2 = ScaledDropPath(width, config.path_dropout) if halves else nn.Identity()

    def forward(
        self, cells: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b c s"], Bool[Tensor, "b s"]]:
        """Return the cells of this block's level and which of them are valid."""
        if self.halving is not None:
            cells = self.halving(cells, mask if self.strict else None)
            mask = mask[:, ::2]
        seen = mask if self.strict else None
        cells = cells * mask[:, None] + hide(self.scale1(self.mix(cells, seen)), seen)
        return cells + hide(self.scale2(self.mlp(self.group_norm(cells, seen))), seen), mask

    def mix(self, cells: Float[Tensor, "b c t"], seen: Seen) -> Float[Tensor, "b c t"]:
        """Let every cell look at itself, at a few neighbours and at many, weighed by the window and the few."""
        cells = hide(self.norm(cells), seen)
        context = F.relu(self.context(mean_over_time(cells, seen)))
        return self.instant(cells) * context + (self.near(cells) + self.far(cells)) * self.gate(cells) + cells


class SGPPyramid(Pyramid):
    """The pyramid of SGP blocks."""

    def __init__(self, config: TriDetConfig, channels: int, positions: Tensor | None = None) -> None:
        """Build embedding, stem and branch; `positions` (time, channel) are added before the stem."""
        super().__init__(
            embedding=embedding_convs(config, channels),
            stem=nn.ModuleList(SGPBlock(config, halves=False) for _ in range(config.stem_layers)),
            branch=nn.ModuleList(SGPBlock(config, halves=True) for _ in range(1, config.levels)),
            positions=positions,
        )
        self.strict, self.noise = config.masking == "strict", config.input_noise

    def forward(
        self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]
    ) -> list[tuple[Tensor, Bool[Tensor, "b _"]]]:
        """Return (cells, mask) of every level, the finest first; training adds noise to the features."""
        if self.training and self.noise:
            features = features + self.noise * torch.randn_like(features)
        return super().forward(hide(features, mask if self.strict else None), mask)
