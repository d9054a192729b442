"""Bottleneck adapters (AdaTAD, section 3.3): TIA, TIA without residual, and the plain adapter.

    change(x) = gamma * Up(u + Mid(DW(u))),  u = GELU(Down(x))          tia
                gamma * Up(Mid(DW(u)))                                  tia_no_residual
                gamma * Up(u)                                           plain (Houlsby et al. 2019)

DW convolves over the tubelets of the whole window, one spatial position at a time: it is the only place where the
clips of a video see each other. With a spatial kernel it also sees the neighbours in space (the paper's Table 13).
"""

import math

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters.base import Adapter
from models.adapters.grid import TokenGrid
from models.config import AdapterConfig
from models.precision import at_least_float32


class PlainAdapter(Adapter):
    """A bottleneck whose tokens do not see each other."""

    def __init__(self, channels: int, config: AdapterConfig, *, out_channels: int | None = None) -> None:
        """Start as a no-op: Up is zero; see `Adapter`."""
        super().__init__()
        hidden = int(channels * config.ratio)
        if hidden < 1:
            raise ValueError(f"model.adapter.ratio {config.ratio} leaves no channel of {channels}")
        self.down_proj = nn.Linear(channels, hidden)
        self.up_proj = nn.Linear(hidden, out_channels or channels)
        self.gamma = nn.Parameter(torch.ones(1))
        # Published as a truncated normal, but cut at 100 standard deviations: a normal.
        nn.init.normal_(self.down_proj.weight, std=0.02)
        nn.init.zeros_(self.down_proj.bias)
        nn.init.zeros_(self.up_proj.weight)
        nn.init.zeros_(self.up_proj.bias)

    def mix(self, hidden: Float[Tensor, "clip token hidden"], grid: TokenGrid) -> Float[Tensor, "clip token hidden"]:
        """Exchange information between tokens; the plain adapter has none to exchange."""
        return hidden

    def change(self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid) -> Float[Tensor, "clip token out"]:
        """Return gamma * Up(mix(GELU(Down(x))))."""
        return self.up_proj(self.mix(F.gelu(self.down_proj(tokens)), grid)) * self.gamma

    def pooled_change(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "video time out"]:
        """Return the change's mean over space, the mean being taken early where it may be."""
        if not self.mixes_positions_alike:
            return super().pooled_change(tokens, grid)
        return self.change_of_means(self.hidden_means(tokens, grid), grid)

    def hidden_means(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "clip tubelet hidden"]:
        """Return the mean of GELU(Down(x)) over space, which needs no other clip."""
        hidden = at_least_float32(F.gelu(self.down_proj(tokens)))
        return reduce(hidden, "n (t h w) c -> n t c", "mean", t=grid.time, h=grid.height, w=grid.width)

    def change_of_means(
        self, means: Float[Tensor, "clip tubelet hidden"], grid: TokenGrid
    ) -> Float[Tensor, "video time out"]:
        """Return the mean of the change for the mean of what it is made of.

        Everything after the GELU is linear and treats every spatial position alike, so the mean commutes with it, and
        what follows works on one vector per tubelet (design.md 6.2). Not so with a spatial kernel, whose zero padding
        tells positions apart.
        """
        line = TokenGrid(num_clips=grid.num_clips, time=grid.time, height=1, width=1)
        mixed = self.up_proj(self.mix(means, line)) * self.gamma
        return rearrange(mixed, "(b n) t c -> b (n t) c", n=grid.num_clips)

    @property
    def mixes_positions_alike(self) -> bool:
        """Whether every spatial position is treated alike and alone."""
        return True


class TemporalAdapter(PlainAdapter):
    """TIA: the bottleneck mixes tubelets over the whole window."""

    def __init__(self, channels: int, config: AdapterConfig, *, out_channels: int | None = None) -> None:
        """Add the depthwise convolution and the 1x1 convolution to the bottleneck."""
        super().__init__(channels, config, out_channels=out_channels)
        hidden, kernel, side = self.down_proj.out_features, config.kernel, config.spatial_kernel
        self.residual = config.kind == "tia"
        self.spatial = side > 1
        if self.spatial:
            size = (kernel, side, side)
            self.dwconv: nn.Conv1d | nn.Conv3d = nn.Conv3d(
                hidden, hidden, size, padding=(kernel // 2, side // 2, side // 2), groups=hidden
            )
        else:
            self.dwconv = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        self.conv = nn.Conv1d(hidden, hidden, 1)
        nn.init.normal_(self.dwconv.weight, std=math.sqrt(2 / (kernel * side**2)))
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / hidden))
        for layer in (self.dwconv, self.conv):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    @property
    def mixes_positions_alike(self) -> bool:
        """Whether the convolution leaves space alone."""
        return not self.spatial

    def mix(self, hidden: Float[Tensor, "clip token hidden"], grid: TokenGrid) -> Float[Tensor, "clip token hidden"]:
        """Convolve over all tubelets of a video; zero padding at the ends of the window, none between its clips."""
        if self.spatial:
            return self._mix_in_space(hidden, grid)
        series = rearrange(hidden, "(b n) (t h w) c -> (b h w) c (n t)", **grid.sizes)
        mixed = self.conv(self.dwconv(series))
        if self.residual:
            mixed = series + mixed
        return rearrange(mixed, "(b h w) c (n t) -> (b n) (t h w) c", **grid.sizes)

    def _mix_in_space(
        self, hidden: Float[Tensor, "clip token hidden"], grid: TokenGrid
    ) -> Float[Tensor, "clip token hidden"]:
        volume = rearrange(hidden, "(b n) (t h w) c -> b c (n t) h w", **grid.sizes)
        flat = rearrange(self.dwconv(volume), "b c t h w -> b c (t h w)")
        mixed = rearrange(self.conv(flat), "b c (t h w) -> b c t h w", h=grid.height, w=grid.width)
        if self.residual:
            mixed = volume + mixed
        return rearrange(mixed, "b c (n t) h w -> (b n) (t h w) c", n=grid.num_clips)
