"""The fifteen operators of AdaTAD's ImgAug step: RandAugment at magnitude 9 of 10 (adatad-facts 6.4).

    draw    some of the operators, in the order of this list, with a sign where the effect has a direction
    apply   the same operators to all frames of a window, with torchvision's functions on batches of frames

What depends on a picture's content (contrast, autocontrast, equalize) looks at each frame alone. The public code draws
the signs once when its pipeline is built, so that a whole run turns and shifts one way only; here every window draws
its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

LEVEL = 0.9
SHEAR_DEGREES = 17.19 * LEVEL
TRANSLATE_SHARE = 0.2 * LEVEL
ROTATE_DEGREES = 30 * LEVEL
POSTERIZE_BITS = int(4 * LEVEL)
SOLARIZE_FROM = 256 * LEVEL
ENHANCE_FACTOR = 1.8 * LEVEL + 0.1
CUTOUT_SHARE = 0.2 * LEVEL
CUTOUT_GREY = 128

_CHUNK_FRAMES = 32
"""Frames changed at once: moving them takes several times their size as float32."""


@dataclass(frozen=True)
class Operator:
    """One drawn operator."""

    name: str
    sign: int = 1
    """Direction of a shear, shift or turn."""
    place: tuple[float, float] = (0.5, 0.5)
    """Where a cutout's centre is, as shares of height and width."""


def draw_operators(count: int, generator: torch.Generator) -> tuple[Operator, ...]:
    """Draw `count` different operators; the generator advances by the same amount whatever is drawn."""
    ranks = torch.rand(len(OPERATORS), generator=generator)
    signs = torch.rand(len(OPERATORS), generator=generator)
    top, left = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    names = list(OPERATORS)
    return tuple(
        Operator(names[number], 1 if signs[number] < 0.5 else -1, (top, left))
        for number in sorted(ranks.argsort()[:count].tolist())
    )


def apply_operators(frames: UInt8[Tensor, "3 f h w"], operators: tuple[Operator, ...]) -> UInt8[Tensor, "3 f h w"]:
    """Apply drawn operators, one after the other, to all frames."""
    if not operators:
        return frames
    result = torch.empty_like(frames)
    for first in range(0, frames.shape[1], _CHUNK_FRAMES):
        part = rearrange(frames[:, first : first + _CHUNK_FRAMES], "c f h w -> f c h w").contiguous()
        for operator in operators:
            part = OPERATORS[operator.name](part, operator)
        result[:, first : first + _CHUNK_FRAMES] = rearrange(part, "f c h w -> c f h w")
    return result


def _move(
    frames: UInt8[Tensor, "f 3 h w"],
    angle: float = 0.0,
    shear: tuple[float, float] = (0.0, 0.0),
    shift: tuple[float, float] = (0.0, 0.0),
) -> UInt8[Tensor, "f 3 h w"]:
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import affine

    height, width = frames.shape[-2:]
    translate = [shift[0] * width, shift[1] * height]
    return affine(frames, angle, translate, 1.0, list(shear), interpolation=InterpolationMode.BILINEAR)


def _cutout(frames: UInt8[Tensor, "f 3 h w"], operator: Operator) -> UInt8[Tensor, "f 3 h w"]:
    height, width = frames.shape[-2:]
    side = round(CUTOUT_SHARE * min(height, width))
    top = round(operator.place[0] * height - side / 2)
    left = round(operator.place[1] * width - side / 2)
    frames = frames.clone()
    frames[..., max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = CUTOUT_GREY
    return frames


def _functional(name: str, *arguments: float) -> "_Apply":
    def apply(frames: UInt8[Tensor, "f 3 h w"], _: Operator) -> UInt8[Tensor, "f 3 h w"]:
        # Here, because torchvision takes a second to load and only training needs it.
        from torchvision.transforms.v2 import functional

        return getattr(functional, name)(frames, *arguments)

    return apply


_Apply = Callable[[Tensor, Operator], Tensor]
OPERATORS: dict[str, _Apply] = {
    "shear_x": lambda frames, drawn: _move(frames, shear=(drawn.sign * SHEAR_DEGREES, 0.0)),
    "shear_y": lambda frames, drawn: _move(frames, shear=(0.0, drawn.sign * SHEAR_DEGREES)),
    "translate_x": lambda frames, drawn: _move(frames, shift=(drawn.sign * TRANSLATE_SHARE, 0.0)),
    "translate_y": lambda frames, drawn: _move(frames, shift=(0.0, drawn.sign * TRANSLATE_SHARE)),
    "rotate": lambda frames, drawn: _move(frames, angle=drawn.sign * ROTATE_DEGREES),
    "posterize": _functional("posterize", POSTERIZE_BITS),
    "solarize": _functional("solarize", SOLARIZE_FROM),
    "colour": _functional("adjust_saturation", ENHANCE_FACTOR),
    "contrast": _functional("adjust_contrast", ENHANCE_FACTOR),
    "brightness": _functional("adjust_brightness", ENHANCE_FACTOR),
    "sharpness": _functional("adjust_sharpness", ENHANCE_FACTOR),
    "autocontrast": _functional("autocontrast"),
    "equalize": _functional("equalize"),
    "invert": _functional("invert"),
    "cutout": _cutout,
}
"""In the public code's order, in which they are applied."""
