"""From a window's pixels to the backbone's input, and from its output to the head's input.

uint8 frames (b, 3, F, H, W) -> clips (b n, 3, 16, H, W) -> normalised        before the backbone
maps (b n, C, 8, h, w) -> mean over space -> (b, C, 8 n) -> (b, C, cells)     after it
"""

import torch
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import at_least_float32

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""ImageNet's statistics of RGB values in 0..255, which all the published backbones expect."""


def cut_into_clips(
    frames: UInt8[Tensor, "video channel frame height width"], clip_frames: int
) -> UInt8[Tensor, "clip channel time height width"]:
    """Return consecutive clips as a batch, the clips of one video adjacent and in order."""
    if frames.shape[2] % clip_frames:
        raise ValueError(f"a window has {frames.shape[2]} frames, expected a multiple of {clip_frames}")
    return rearrange(frames, "b c (n f) h w -> (b n) c f h w", f=clip_frames)


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


def pool_to_cells(
    maps: Float[Tensor, "clip channel time height width"], num_clips: int, cells: int
) -> Float[Tensor, "video channel cell"]:
    """Average over space, join the clips of each video and resample its time axis to the head's length.

    Linear with `align_corners=False` and no antialiasing: halving averages pairs, but quartering averages the
    middle two of every four tubelets and ignores the outer two, as OpenTAD does (adatad-facts 3).
    """
    pooled = reduce(at_least_float32(maps), "(b n) c t h w -> b n c t", "mean", n=num_clips)
    return F.interpolate(rearrange(pooled, "b n c t -> b c (n t)"), size=cells, mode="linear", align_corners=False)
