"""Pixels: one draw for all frames, nothing hidden in the randomness, and what each operation means."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.config import AugmentConfig
from harness.data.augment import Augmentation, augment, centre_view, draw_augmentation

pytestmark = pytest.mark.usefixtures("one_thread")

NOTHING = AugmentConfig(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=0.0, jitter=0.0, hue=0.0)


def noise(frames: int = 6, height: int = 24, width: int = 30, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (3, frames, height, width), dtype=np.uint8))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_same_generator_same_pixels_other_generator_others() -> None:
    frames = noise()
    results = [augment(frames, draw_augmentation(AugmentConfig(), 24, 30, generator(s)), 16) for s in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), resolution=st.sampled_from([8, 16, 40]))
def test_a_still_video_stays_still(seed: int, resolution: int) -> None:
    still = noise(frames=1, seed=seed).expand(-1, 40, -1, -1)
    result = augment(still, draw_augmentation(AugmentConfig(), 24, 30, generator(seed)), resolution)
    assert result.shape == (3, 40, resolution, resolution)
    assert result.dtype == torch.uint8
    assert (result == result[:, :1]).all()


def test_each_frame_is_treated_as_if_alone() -> None:
    frames = noise(frames=9)
    drawn = draw_augmentation(AugmentConfig(), 24, 30, generator(3))
    together = augment(frames, drawn, 16)
    for number in range(9):
        assert torch.equal(together[:, number], augment(frames[:, number : number + 1], drawn, 16)[:, 0])


def test_settings_of_nothing_change_nothing() -> None:
    frames = noise(height=16, width=16)
    assert torch.equal(augment(frames, draw_augmentation(NOTHING, 16, 16, generator(0)), 16), frames)


def test_memory_layout_of_the_reader_changes_nothing() -> None:
    frames = noise()
    as_read = frames.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    drawn = draw_augmentation(AugmentConfig(), 24, 30, generator(5))
    assert torch.equal(augment(frames, drawn, 16), augment(as_read, drawn, 16))
    assert torch.equal(centre_view(frames, 16), centre_view(as_read, 16))


@given(seed=st.integers(0, 10**6), height=st.integers(1, 60), width=st.integers(1, 60))
def test_boxes_lie_in_the_frame(seed: int, height: int, width: int) -> None:
    drawn = draw_augmentation(AugmentConfig(), height, width, generator(seed))
    assert 0 <= drawn.top <= drawn.top + drawn.height <= height
    assert 0 <= drawn.left <= drawn.left + drawn.width <= width
    assert drawn.height > 0
    assert drawn.width > 0
    assert all(0.5 <= factor <= 1.5 for factor in (drawn.brightness, drawn.contrast, drawn.saturation))
    assert abs(drawn.hue) <= 0.1


def test_boxes_have_the_area_and_aspect_asked_for() -> None:
    config = AugmentConfig(crop_area=(0.2, 0.3), crop_aspect=(0.5, 2.0))
    boxes = [draw_augmentation(config, 1000, 1000, generator(seed)) for seed in range(200)]
    areas = np.array([box.height * box.width for box in boxes]) / 1e6
    aspects = np.array([box.width / box.height for box in boxes])
    assert areas.min() >= 0.199
    assert areas.max() <= 0.301
    assert np.ptp(areas) > 0.08
    assert aspects.min() >= 0.49
    assert aspects.max() <= 2.02
    assert aspects.max() / aspects.min() > 3
    # log-uniform: half of the boxes are wide
    assert 0.35 < (aspects > 1).mean() < 0.65


def test_a_box_that_never_fits_becomes_the_centred_square() -> None:
    config = AugmentConfig(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0))
    drawn = draw_augmentation(config, 20, 50, generator(0))
    assert (drawn.top, drawn.left, drawn.height, drawn.width) == (0, 15, 20, 20)


def test_draws_do_not_depend_on_what_was_drawn_before() -> None:
    one, other = generator(0), generator(0)
    draw_augmentation(AugmentConfig(), 20, 500, one)
    draw_augmentation(NOTHING, 500, 500, other)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))


def whole(frames: Tensor, **changes: float | bool) -> Tensor:
    size = frames.shape[-1]
    return augment(frames, Augmentation(top=0, left=0, height=size, width=size, **changes), size)  # type: ignore[arg-type]


def test_flip_mirrors_left_and_right() -> None:
    frames = noise(height=16, width=16)
    assert torch.equal(whole(frames, flip=True), frames.flip(-1))


def test_colour_operations_match_the_slow_version() -> None:
    frames = noise(height=12, width=12)
    values = frames.double().numpy()
    weights = np.array([0.299, 0.587, 0.114])[:, None, None, None]
    bright = np.clip(values * 1.3, 0, 255)
    np.testing.assert_allclose(whole(frames, brightness=1.3).numpy(), np.rint(bright), atol=1)
    grey = (values * weights).sum(0)
    mean = grey.mean(axis=(1, 2))[None, :, None, None]
    np.testing.assert_allclose(whole(frames, contrast=0.6).numpy(), np.clip(values * 0.6 + 0.4 * mean, 0, 255), atol=1)
    np.testing.assert_allclose(
        whole(frames, saturation=1.4).numpy(), np.clip(values * 1.4 - 0.4 * grey, 0, 255), atol=1.01
    )


def test_hue_turns_colours_but_not_greys_nor_luma() -> None:
    grey = torch.full((3, 2, 8, 8), 90, dtype=torch.uint8)
    assert torch.equal(whole(grey, hue=0.1), grey)
    colour = torch.tensor([120, 90, 80], dtype=torch.uint8)[:, None, None, None].expand(3, 1, 8, 8)
    turned = whole(colour, hue=0.05)[:, 0, 0, 0].tolist()
    luma = 0.299 * 120 + 0.587 * 90 + 0.114 * 80
    assert abs(0.299 * turned[0] + 0.587 * turned[1] + 0.114 * turned[2] - luma) < 1
    # Near HSV's hue shift for weak colours: the same direction, and about as far.
    before = colorsys.rgb_to_hsv(120 / 255, 90 / 255, 80 / 255)[0]
    after = colorsys.rgb_to_hsv(*(value / 255 for value in turned))[0]
    assert 0.02 < min(abs(after - before), 1 - abs(after - before)) < 0.1


def test_centre_view_takes_the_middle() -> None:
    frames = noise(height=16, width=30)
    assert torch.equal(centre_view(frames, 16), frames[:, :, :, 7:23])
    assert centre_view(frames, 8).shape == (3, 6, 8, 8)
    flat = torch.full((3, 2, 9, 33), 77, dtype=torch.uint8)
    assert (centre_view(flat, 20) == 77).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_area", (0.0, 1.0)),
        ("crop_area", (0.5, 0.4)),
        ("crop_area", (0.5, 1.1)),
        ("crop_area", (0.5,)),
        ("crop_aspect", (-1.0, 1.0)),
        ("flip", 1.5),
        ("jitter", -0.1),
        ("hue", 0.6),
        ("hue", float("nan")),
    ],
)
def test_settings_that_nothing_can_be_drawn_from_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"data.augment.{name} is .*, expected"):
        AugmentConfig(**{name: value})
