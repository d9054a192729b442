"""The parts of a 3D ResNet whose normalisations keep the statistics they were trained with.

    stem:        7x7 convolution, ReLU, max pooling: a quarter of the resolution
    bottleneck:  k x 1 x 1 -> 1 x 3 x 3 (the stride is here) -> 1 x 1 x 1, plus the input, ReLU, adapter

Parameter names are those of mmaction2. Time is never strided.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters import TokenGrid, build_adapter
from models.config import AdapterConfig
from models.precision import at_least_float32

NORM_EPS = 1e-5
EXPANSION = 4
"""Output channels of a bottleneck over its inner ones."""

Maps = Float[Tensor, "video _ _ _ _"]
"""Video, channel, time, row, column."""


class FixedNorm(nn.Module):
    """Batch normalisation by stored statistics, while training too."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        """Start as the identity."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def affine(self) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
        """Return the scale and the shift that the normalisation amounts to."""
        scale = at_least_float32(self.weight) * (at_least_float32(self.running_var) + NORM_EPS).rsqrt()
        return scale, at_least_float32(self.bias) - at_least_float32(self.running_mean) * scale


class ConvNorm(nn.Module):
    """A convolution with its normalisation, executed as one convolution.

    By fixed statistics a normalisation is linear. Folded into the kernel it writes no map of its own, and autograd
    keeps none for it, trained or frozen.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: tuple[int, int, int],
        *,
        stride: tuple[int, int, int] = (1, 1, 1),
        norm: bool = True,
    ) -> None:
        """Build with mmaction2's random weights; the padding keeps the size (before the stride)."""
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = FixedNorm(out_channels) if norm else None
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Maps) -> Maps:
        """Convolve and normalise."""
        if self.bn is None:
            return self.conv(maps)
        kernel = self.conv.weight
        scale, shift = self.bn.affine()
        folded = (kernel * scale[:, None, None, None, None]).to(kernel.dtype)
        return F.conv3d(maps, folded, shift.to(kernel.dtype), self.conv.stride, self.conv.padding)


class Stem(ConvNorm):
    """The first convolution of a pathway, with what follows it; executed like a block."""

    def __init__(self, width: int, temporal_kernel: int) -> None:
        """Build the convolution."""
        super().__init__(3, width, (temporal_kernel, 7, 7), stride=(1, 2, 2))

    def forward(self, maps: Maps, grid: TokenGrid | None = None) -> Maps:
        """Return maps of a quarter of the resolution; the grid is not needed."""
        return F.max_pool3d(F.relu(super().forward(maps), inplace=True), (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def output_grid(self, frames: Maps) -> TokenGrid:
        """Return the layout of what the stem makes of these frames."""
        return strided_grid(frames, 4)


class Bottleneck(nn.Module):
    """A residual block; an adapter, where there is one, is its last step."""

    def __init__(
        self,
        channels: int,
        inner: int,
        *,
        temporal_kernel: int = 1,
        stride: int = 1,
        project: bool = False,
        adapter: AdapterConfig | None = None,
    ) -> None:
        """Build the block, which at first passes on what goes around it: its last normalisation starts at zero.

        Args:
            channels: channels of the input.
            inner: channels of the inner convolutions; a quarter of the output's.
            temporal_kernel: steps of time that the first convolution sees.
            stride: spatial stride.
            project: whether the input changes its size on the way around, as in the first block of a stage.
            adapter: what ends the block.
        """
        super().__init__()
        self.stride = stride
        outer = EXPANSION * inner
        spatial = (1, stride, stride)
        self.conv1 = ConvNorm(channels, inner, (temporal_kernel, 1, 1))
        self.conv2 = ConvNorm(inner, inner, (1, 3, 3), stride=spatial)
        self.conv3 = ConvNorm(inner, outer, (1, 1, 1))
        self.downsample = ConvNorm(channels, outer, (1, 1, 1), stride=spatial) if project else None
        self.adapter = build_adapter(outer, adapter) if adapter else None
        assert self.conv3.bn is not None
        nn.init.zeros_(self.conv3.bn.weight)

    def output_grid(self, maps: Maps) -> TokenGrid:
        """Return the layout of what the block makes of these maps."""
        return strided_grid(maps, self.stride)

    def forward(self, maps: Maps, grid: TokenGrid) -> Maps:
        """Transform and adapt; the grid is that of the output."""
        hidden = F.relu(self.conv1(maps), inplace=True)
        hidden = F.relu(self.conv2(hidden), inplace=True)
        around = maps if self.downsample is None else self.downsample(maps)
        maps = F.relu(self.conv3(hidden) + around, inplace=True)
        return maps if self.adapter is None else to_maps(self.adapter(to_tokens(maps), grid), grid)


def strided_grid(maps: Maps, stride: int) -> TokenGrid:
    """Return the layout of maps after a spatial stride; what remains at the edges counts as a whole step."""
    height, width = (-(-size // stride) for size in maps.shape[3:])
    return TokenGrid(num_clips=1, time=maps.shape[2], height=height, width=width)


def to_tokens(maps: Maps) -> Float[Tensor, "video token channel"]:
    """Return maps as token sequences."""
    return rearrange(maps, "b c t h w -> b (t h w) c")


def to_maps(tokens: Float[Tensor, "video token channel"], grid: TokenGrid) -> Maps:
    """Return token sequences as maps."""
    return rearrange(tokens, "b (t h w) c -> b c t h w", t=grid.time, h=grid.height, w=grid.width)
