"""Temporal-informative adapters (AdaTAD, section 3.3): light modules that let a frozen backbone learn.

    change(x) = gamma * Up(u + Mid(DW(u))),  u = GELU(Down(x))          tia
                gamma * Up(Mid(DW(u)))                                  tia_no_residual
                gamma * Up(u)                                           plain (Houlsby et al. 2019)

Inside the backbone an adapter ends a block and returns x + change(x); gradients pass through every later block.
Outside (AdaTAD dagger) the changes to all layers are added to the last layer's output and no gradient enters the
backbone. DW convolves over the tubelets of the whole window, one spatial position at a time: it is the only place
where the clips of a video see each other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AdapterConfig


@dataclass(frozen=True)
class TokenGrid:
    """How a batch of token sequences `(videos * num_clips, time * height * width, channels)` is laid out."""

    num_clips: int
    """Consecutive clips of one video, adjacent in the batch."""
    time: int
    """Tubelets per clip; the slowest axis of a sequence."""
    height: int
    width: int


Run = Callable[[nn.Module, Tensor, TokenGrid], Tensor]
"""Executes a block or an adapter on tokens. What it keeps for the backward pass is its own business."""


def run_plainly(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """Call the module and keep whatever autograd keeps."""
    return module(tokens, grid)


class Adapter(nn.Module):
    """A bottleneck; this base is the `plain` kind."""

    def __init__(self, channels: int, config: AdapterConfig, *, identity: bool) -> None:
        """Start as a no-op: Up is zero.

        Args:
            channels: width of the backbone.
            config: kind, bottleneck ratio and temporal kernel.
            identity: return x + change (inside a block) instead of the change alone (outside).
        """
        super().__init__()
        hidden = int(channels * config.ratio)
        if hidden < 1:
            raise ValueError(f"model.adapter.ratio {config.ratio} leaves no channel of {channels}")
        self.identity = identity
        self.down_proj = nn.Linear(channels, hidden)
        self.up_proj = nn.Linear(hidden, channels)
        self.gamma = nn.Parameter(torch.ones(1))
        # Published as a truncated normal, but cut at 100 standard deviations: a normal.
        nn.init.normal_(self.down_proj.weight, std=0.02)
        nn.init.zeros_(self.down_proj.bias)
        nn.init.zeros_(self.up_proj.weight)
        nn.init.zeros_(self.up_proj.bias)

    def mix(self, hidden: Float[Tensor, "clip token hidden"], grid: TokenGrid) -> Float[Tensor, "clip token hidden"]:
        """Exchange information between tokens; the plain adapter has none to exchange."""
        return hidden

    def forward(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "clip token channel"]:
        """Return the adapted tokens, or the change alone where the identity is added elsewhere."""
        hidden = F.gelu(self.down_proj(tokens))
        change = self.up_proj(self.mix(hidden, grid)) * self.gamma
        return tokens + change if self.identity else change


class TemporalAdapter(Adapter):
    """TIA: the bottleneck mixes tubelets over the whole window."""

    def __init__(self, channels: int, config: AdapterConfig, *, identity: bool) -> None:
        """Add the depthwise temporal convolution and the 1x1 convolution to the bottleneck."""
        super().__init__(channels, config, identity=identity)
        hidden, kernel = self.down_proj.out_features, config.kernel
        self.residual = config.kind == "tia"
        self.dwconv = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        self.conv = nn.Conv1d(hidden, hidden, 1)
        nn.init.normal_(self.dwconv.weight, std=math.sqrt(2 / kernel))
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / hidden))
        for layer in (self.dwconv, self.conv):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def mix(self, hidden: Float[Tensor, "clip token hidden"], grid: TokenGrid) -> Float[Tensor, "clip token hidden"]:
        """Convolve over all tubelets of a video; zero padding at the ends of the window, none between its clips."""
        sizes = {"n": grid.num_clips, "t": grid.time, "h": grid.height, "w": grid.width}
        series = rearrange(hidden, "(b n) (t h w) c -> (b h w) c (n t)", **sizes)
        mixed = self.conv(self.dwconv(series))
        if self.residual:
            mixed = series + mixed
        return rearrange(mixed, "(b h w) c (n t) -> (b n) (t h w) c", **sizes)


def build_adapter(channels: int, config: AdapterConfig, *, identity: bool) -> Adapter:
    """Build one adapter of the configured kind."""
    match config.kind:
        case "plain":
            return Adapter(channels, config, identity=identity)
        case "tia" | "tia_no_residual":
            return TemporalAdapter(channels, config, identity=identity)


def adapted_layers(depth: int, config: AdapterConfig) -> range:
    """Return the indices of the adapted blocks: all of them inside, the last half outside, unless configured."""
    default = depth if config.placement == "inside" else depth - depth // 2
    return range(depth - (config.last_layers or default), depth)
