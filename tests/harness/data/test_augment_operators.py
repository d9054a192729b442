"""RandAugment's operators against Pillow, whose definitions ImgAug took; the same for every frame, and seeded."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from harness.config import NUM_OPERATORS, AugmentConfig
from harness.data.augment import augment, draw_augmentation
from harness.data.augment_operators import CUTOUT_GREY, OPERATORS, Operator, apply_operators, draw_operators

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def frames() -> Tensor:
    """Return 40 frames (more than one chunk) of smooth colours that use most of the range."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.integers(20, 230, (40, 3, 6, 6)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0, 255)
    return smooth.to(torch.uint8).permute(1, 0, 2, 3)


def pictures(frames: Tensor) -> list[Image.Image]:
    return [Image.fromarray(picture) for picture in frames.permute(1, 2, 3, 0).numpy()]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def posterized(picture: Image.Image) -> Image.Image:
    return ImageOps.posterize(picture, 3)


def solarized(picture: Image.Image) -> Image.Image:
    return ImageOps.solarize(picture, 231)  # the first whole number from 230.4 on


PILLOW = {
    "posterize": (posterized, 0),
    "solarize": (solarized, 0),
    # Pillow rounds its grey picture and its mean to whole numbers first.
    "colour": (lambda picture: ImageEnhance.Color(picture).enhance(1.72), 2),
    "contrast": (lambda picture: ImageEnhance.Contrast(picture).enhance(1.72), 2),
    "brightness": (lambda picture: ImageEnhance.Brightness(picture).enhance(1.72), 1),
    "sharpness": (lambda picture: ImageEnhance.Sharpness(picture).enhance(1.72), 2),
    "autocontrast": (ImageOps.autocontrast, 1),
    "equalize": (ImageOps.equalize, 1),
    "invert": (ImageOps.invert, 0),
}


@pytest.mark.parametrize("name", PILLOW)
def test_an_operator_on_colours_is_pillows_on_every_frame(frames: Tensor, name: str) -> None:
    function, tolerance = PILLOW[name]
    expected = np.stack([np.asarray(function(picture)) for picture in pictures(frames)])
    result = apply_operators(frames, (Operator(name),)).permute(1, 2, 3, 0).numpy()
    assert np.abs(result.astype(int) - expected).max() <= tolerance
    assert not np.array_equal(result, frames.permute(1, 2, 3, 0).numpy())


def affine(picture: Image.Image, name: str, sign: int) -> Image.Image:
    """Move a picture about its centre; Pillow takes the way back, from target to source."""
    width, height = picture.size
    x, y = (width - 1) / 2, (height - 1) / 2
    shear, turn = math.tan(math.radians(15.471)), math.radians(27)
    forward = {
        "shear_x": [[1, -sign * shear], [0, 1]],
        "shear_y": [[1, 0], [-sign * shear, 1]],
        "rotate": [[math.cos(turn), -sign * math.sin(turn)], [sign * math.sin(turn), math.cos(turn)]],
    }.get(name, [[1, 0], [0, 1]])
    shift = np.array({"translate_x": [0.18 * width, 0], "translate_y": [0, 0.18 * height]}.get(name, [0, 0])) * sign
    back = np.linalg.inv(np.array(forward))
    offset = np.array([x, y]) - back @ (np.array([x, y]) + shift)
    # Pillow counts from pixel corners.
    offset += 0.5 - back @ [0.5, 0.5]
    values = (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1])
    return picture.transform(picture.size, Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_a_move_is_the_affine_map_about_the_centre(frames: Tensor, name: str, sign: int) -> None:
    expected = np.stack([np.asarray(affine(picture, name, sign)) for picture in pictures(frames[:, :3])]).astype(int)
    result = apply_operators(frames[:, :3], (Operator(name, sign),)).permute(1, 2, 3, 0).numpy()
    # Border pixels are half black in one and cut in the other.
    inside = (expected > 0).all(axis=-1) & (result > 0).all(axis=-1)
    assert inside.mean() > 0.5
    assert np.abs(result - expected)[inside].mean() < 1.5
    other = apply_operators(frames[:, :3], (Operator(name, -sign),))
    assert not torch.equal(torch.from_numpy(result), other.permute(1, 2, 3, 0))


@pytest.mark.parametrize(("place", "pixels"), [((0.5, 0.5), 81), ((0.0, 0.0), 25), ((1.0, 0.5), 36)])
def test_a_cutout_is_one_grey_square_that_may_reach_out_of_the_picture(place: tuple[float, float], pixels: int) -> None:
    black = torch.zeros(3, 2, 48, 48, dtype=torch.uint8)
    cut = apply_operators(black, (Operator("cutout", place=place),))
    # 18 % of 48 pixels: 9 wide.
    assert (cut == CUTOUT_GREY).sum() == 3 * 2 * pixels
    assert ((cut == 0) | (cut == CUTOUT_GREY)).all()
    assert (black == 0).all()


def test_all_frames_go_through_the_same_operators(frames: Tensor) -> None:
    still = frames[:, :1].expand(-1, 40, -1, -1)
    for seed in range(8):
        changed = apply_operators(still, draw_operators(2, generator(seed)))
        assert (changed == changed[:, :1]).all()


def test_every_pair_is_drawn_in_the_lists_order_with_both_signs() -> None:
    drawn = [draw_operators(2, generator(seed)) for seed in range(600)]
    order = list(OPERATORS)
    assert all(order.index(one.name) < order.index(two.name) for one, two in drawn)
    assert {operator.name for pair in drawn for operator in pair} == set(order)
    assert len(set(order)) == NUM_OPERATORS
    counts = [sum(operator.name == name for pair in drawn for operator in pair) for name in order]
    # 600 x 2 / 15 = 80 each, five standard deviations of a binomial.
    assert all(abs(count - 80) < 5 * math.sqrt(600 * (2 / 15) * (13 / 15)) for count in counts)
    signs = [operator.sign for pair in drawn for operator in pair]
    assert 500 < signs.count(1) < 700
    assert draw_operators(0, generator(0)) == ()


def test_operators_change_no_other_draw(frames: Tensor) -> None:
    without = draw_augmentation(AugmentConfig(), 48, 48, generator(5))
    drawn = draw_augmentation(AugmentConfig(operators=2), 48, 48, generator(5))
    assert len(drawn.operators) == 2
    assert replace(drawn, operators=()) == without
    assert not torch.equal(augment(frames, drawn, 32), augment(frames, without, 32))


@pytest.mark.parametrize("count", [-1, 16])
def test_an_impossible_number_of_operators_is_named(count: int) -> None:
    with pytest.raises(ValueError, match=rf"data.augment.operators is {count}, expected 0 to 15"):
        AugmentConfig(operators=count)
