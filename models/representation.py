"""From a window's pixels to the backbone's input, and from its output to the head's input.

frame     uint8 (b, 3, F, H, W) -> normalised -> backbone -> maps (b, C, T, h, w) per pathway
          -> mean over space (b, C, T) -> resampled to the cells, pathways joined (b, sum C, cells)
snippet   uint8 (b, 3, F, H, W) -> m overlapping snippets (b m, 3, 16, H, W) -> the same backbone, each alone
          -> mean over space and time (b, C, m) -> resampled to the cells
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import at_least_float32

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""ImageNet's statistics of RGB values in 0..255, which all the published backbones expect."""


class PixelNormalisation(nn.Module):
    """Turn bytes into the values the backbone was pretrained on; on the device, where bytes are cheap to bring."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Hold the constants as buffers, so that they follow the network to its device."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "clip 3 time height width"]) -> Float[Tensor, "clip 3 time height width"]:
        """Return (pixels - mean) / std in float32."""
        mean, std = at_least_float32(self.mean), at_least_float32(self.std)
        # In place, because a window of float32 pixels is large and its bytes are not needed twice.
        return pixels.to(mean.dtype, copy=True).sub_(mean).div_(std)


def cut_into_snippets(
    frames: UInt8[Tensor, "video 3 frame height width"], length: int, stride: int
) -> UInt8[Tensor, "snippet 3 time height width"]:
    """Return overlapping snippets as a batch, those of one video adjacent and in order.

    There is one per `stride` frames, centred on them; at the ends of the window the first and the last frame are
    repeated, as everywhere where a video ends.
    """
    count = frames.shape[2] // stride
    first = (stride - length) // 2
    index = (torch.arange(count)[:, None] * stride + first + torch.arange(length)).clamp(0, frames.shape[2] - 1)
    snippets = frames[:, :, index.flatten().to(frames.device)]
    return rearrange(snippets, "b c (m f) h w -> (b m) c f h w", f=length)


def pool_space(maps: Sequence[Float[Tensor, "video _ _ _ _"]]) -> list[Float[Tensor, "video _ _"]]:
    """Return each pathway's mean over space (video, channel, time), in float32 or better."""
    return [at_least_float32(values).mean(dim=(3, 4)) for values in maps]


def resample(pathways: Sequence[Float[Tensor, "video _ _"]], cells: int) -> Float[Tensor, "video channel cell"]:
    """Bring every pathway's time to the head's length and join their channels.

    Linear with `align_corners=False` and no antialiasing: halving averages pairs, but quartering averages the
    middle two of every four steps and ignores the outer two, as OpenTAD does (adatad-facts 3).
    """
    resized = [F.interpolate(values, size=cells, mode="linear", align_corners=False) for values in pathways]
    return torch.cat(resized, dim=1)


def join_snippets(
    pathways: Sequence[Float[Tensor, "snippet _ _"]], videos: int, cells: int
) -> Float[Tensor, "video channel cell"]:
    """Average each snippet over its own time and line the snippets of a video up as cells."""
    series = [rearrange(values.mean(dim=2), "(b m) c -> b c m", b=videos) for values in pathways]
    return resample(series, cells)
