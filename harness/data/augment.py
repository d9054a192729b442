"""What training does to a window's pixels, and what testing does; one draw for all frames of a window.

    draw        random crop box, flip, colour factors, operators   from an explicit generator
    augment     crop + resize (one antialiased pass) -> flip -> operators -> brightness -> contrast -> saturation, hue
    centre_view centred square -> resize

Frames come in as (3, F, H, W) uint8 and leave so. The order of the colour operations is fixed; AdaTAD draws it once
per run. Hue turns the chroma plane of YIQ, which keeps the luma, where OpenCV turns HSV's hue: it is one 3x3 matrix
together with saturation, many times faster.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from harness.config import AugmentConfig
from harness.data.augment_operators import Operator, apply_operators, draw_operators

CROP_TRIES = 10
"""Candidate boxes before the centred square is taken, as torchvision and mmaction2 do."""

_LUMA = (0.299, 0.587, 0.114)
_CHUNK_VALUES = 2**18
"""Values coloured at once: 1 MiB of float32 stays in the cache of a core."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """One draw: pixels of the source frame, then factors that 1 (hue: 0) leaves without effect."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    """Share of the colour circle."""
    operators: tuple[Operator, ...] = ()


def draw_augmentation(config: AugmentConfig, height: int, width: int, generator: torch.Generator) -> Augmentation:
    """Draw for frames of this size; with one config the generator advances by the same amount whatever is drawn."""
    draws = iter(torch.rand(2 * CROP_TRIES + 7, generator=generator, dtype=torch.float64).tolist())
    top, left, crop_height, crop_width = _draw_box(
        config,
        height,
        width,
        areas=[next(draws) for _ in range(CROP_TRIES)],
        aspects=[next(draws) for _ in range(CROP_TRIES)],
        offset=(next(draws), next(draws)),
    )
    low = max(0.0, 1.0 - config.jitter)
    factors = [low + next(draws) * (1.0 + config.jitter - low) for _ in range(3)]
    return Augmentation(
        top=top,
        left=left,
        height=crop_height,
        width=crop_width,
        flip=next(draws) < config.flip,
        brightness=factors[0],
        contrast=factors[1],
        saturation=factors[2],
        hue=(2 * next(draws) - 1) * config.hue,
        operators=draw_operators(config.operators, generator) if config.operators else (),
    )


def augment(
    frames: UInt8[Tensor, "3 f h w"], drawn: Augmentation, resolution: int
) -> UInt8[Tensor, "3 f {resolution} {resolution}"]:
    """Apply one draw to all frames of a window."""
    top, left = drawn.top, drawn.left
    box = frames[:, :, top : top + drawn.height, left : left + drawn.width]
    small = _resize(box, resolution)
    if drawn.flip:
        small = small.flip(-1)
    return _colour(apply_operators(small.contiguous(), drawn.operators), drawn)


def centre_view(frames: UInt8[Tensor, "3 f h w"], resolution: int) -> UInt8[Tensor, "3 f {resolution} {resolution}"]:
    """Return the centred square at the network's resolution: short side to `resolution`, then centre crop."""
    height, width = frames.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(frames[:, :, top : top + side, left : left + side], resolution).contiguous()


def _draw_box(
    config: AugmentConfig,
    height: int,
    width: int,
    *,
    areas: list[float],
    aspects: list[float],
    offset: tuple[float, float],
) -> tuple[int, int, int, int]:
    small, large = config.crop_area
    tall, wide = (math.log(aspect) for aspect in config.crop_aspect)
    for area_draw, aspect_draw in zip(areas, aspects, strict=True):
        area = height * width * (small + area_draw * (large - small))
        aspect = math.exp(tall + aspect_draw * (wide - tall))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(offset[0] * (height - crop_height + 1))
            left = int(offset[1] * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def _resize(frames: UInt8[Tensor, "3 f h w"], resolution: int) -> UInt8[Tensor, "3 f h2 w2"]:
    if tuple(frames.shape[-2:]) == (resolution, resolution):
        return frames
    # decord gives frames with the colour last in memory; torch resizes uint8 fastest in that layout.
    images = rearrange(frames, "c f h w -> f c h w").contiguous(memory_format=torch.channels_last)
    small = interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True, align_corners=False)
    return rearrange(small, "f c h w -> c f h w")


def _colour(frames: UInt8[Tensor, "3 f h w"], drawn: Augmentation) -> UInt8[Tensor, "3 f h w"]:
    if drawn.brightness == drawn.contrast == drawn.saturation == 1 and drawn.hue == 0:
        return frames
    luma = torch.tensor(_LUMA)
    chroma = _chroma_matrix(drawn.saturation, drawn.hue)
    result = torch.empty_like(frames)
    step = max(1, _CHUNK_VALUES // (3 * frames.shape[2] * frames.shape[3]))
    for first in range(0, frames.shape[1], step):
        part = frames[:, first : first + step]
        values = part.float()
        values.mul_(drawn.brightness).clamp_(max=255)
        # Every frame keeps its own mean grey.
        grey = torch.tensordot(luma, values.mean(dim=(2, 3)), dims=1)[None, :, None, None]
        values.mul_(drawn.contrast).add_((1 - drawn.contrast) * grey).clamp_(0, 255)
        values = (chroma @ values.reshape(3, -1)).clamp_(0, 255)
        result[:, first : first + step] = values.round_().reshape(part.shape)
    return result


def _chroma_matrix(saturation: float, hue: float) -> Float[Tensor, "3 3"]:
    """Return the RGB matrix that keeps luma, scales chroma and turns it by `hue` of a circle."""
    red, green, blue = _LUMA
    to_yiq = torch.tensor(
        [[red, green, blue], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], dtype=torch.float64
    )
    angle = 2 * math.pi * hue
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    return (torch.linalg.inv(to_yiq) @ turn @ to_yiq).float()
