import pytest
import torch
from torch import Tensor

from models.representation import PixelNormalisation, cut_into_clips, pool_to_cells


def through_time(signal: Tensor, cells: int) -> Tensor:
    """Resample one channel's time series, given as clips of eight tubelets."""
    maps = signal.view(-1, 1, 8, 1, 1)
    return pool_to_cells(maps, num_clips=maps.shape[0], cells=cells)[0, 0]


def test_halving_averages_pairs() -> None:
    signal = torch.randn(384)
    torch.testing.assert_close(through_time(signal, 192), signal.view(192, 2).mean(1))


def test_quartering_averages_the_middle_two_of_four() -> None:
    signal = torch.randn(3072)
    torch.testing.assert_close(through_time(signal, 768), signal.view(768, 4)[:, 1:3].mean(1))


def test_doubling_mixes_neighbours_three_to_one() -> None:
    signal = torch.randn(384)
    before, after = torch.cat((signal[:1], signal[:-1])), torch.cat((signal[1:], signal[-1:]))
    expected = torch.stack((0.25 * before + 0.75 * signal, 0.75 * signal + 0.25 * after), 1).flatten()
    torch.testing.assert_close(through_time(signal, 768), expected)


def test_equal_length_changes_nothing() -> None:
    signal = torch.randn(64)
    assert torch.equal(through_time(signal, 64), signal)


def test_space_is_averaged_and_videos_stay_apart() -> None:
    maps = torch.randn(2 * 3, 5, 8, 2, 4)
    pooled = pool_to_cells(maps, num_clips=3, cells=24)
    assert pooled.shape == (2, 5, 24)
    for video in range(2):
        for clip in range(3):
            expected = maps[video * 3 + clip].mean((-2, -1))
            torch.testing.assert_close(pooled[video, :, clip * 8 : clip * 8 + 8], expected)


def test_half_precision_maps_are_pooled_in_float32() -> None:
    maps = torch.full((1, 1, 8, 64, 64), 1.001, dtype=torch.bfloat16)
    pooled = pool_to_cells(maps, num_clips=1, cells=8)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, maps[..., 0, 0].float())


def test_clips_are_consecutive_frames() -> None:
    frames = torch.arange(48, dtype=torch.uint8).view(1, 1, 48, 1, 1).expand(2, 3, 48, 2, 2)
    clips = cut_into_clips(frames, 16)
    assert clips.shape == (6, 3, 16, 2, 2)
    assert clips[:, 0, :, 0, 0].tolist() == [list(range(start, start + 16)) for start in (0, 16, 32)] * 2


def test_a_cut_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="24 frames, expected a multiple of 16"):
        cut_into_clips(torch.zeros(1, 3, 24, 2, 2, dtype=torch.uint8), 16)


def test_normalisation_uses_the_published_statistics_and_leaves_its_input_alone() -> None:
    pixels = torch.randint(0, 256, (1, 3, 2, 2, 2), dtype=torch.uint8)
    before = pixels.clone()
    got = PixelNormalisation()(pixels)
    for channel, (mean, std) in enumerate(((123.675, 58.395), (116.28, 57.12), (103.53, 57.375))):
        torch.testing.assert_close(got[:, channel], (pixels[:, channel].float() - mean) / std)
    assert torch.equal(pixels, before)
