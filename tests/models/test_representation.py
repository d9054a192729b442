import pytest
import torch
from torch import Tensor

from models.backbones.videomae import cut_into_clips
from models.representation import PixelNormalisation, cut_into_snippets, join_snippets, pool_space, resample


def through_time(signal: Tensor, cells: int) -> Tensor:
    """Resample one channel's time series."""
    return resample([signal[None, None]], cells)[0, 0]


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


def test_space_is_averaged_per_pathway() -> None:
    maps = [torch.randn(2, 5, 24, 2, 4), torch.randn(2, 3, 48, 1, 2)]
    pooled = pool_space(maps)
    for mean, values in zip(pooled, maps, strict=True):
        torch.testing.assert_close(mean, values.flatten(3).mean(-1))


def test_pathways_of_different_speed_end_as_channels_of_one_cell() -> None:
    slow, fast = torch.randn(2, 5, 24), torch.randn(2, 3, 48)
    cells = resample([slow, fast], 24)
    assert cells.shape == (2, 8, 24)
    assert torch.equal(cells[:, :5], slow)
    torch.testing.assert_close(cells[:, 5:], fast.view(2, 3, 24, 2).mean(-1))


def test_half_precision_maps_are_pooled_in_float32() -> None:
    maps = torch.full((1, 1, 8, 64, 64), 1.001, dtype=torch.bfloat16)
    (pooled,) = pool_space([maps])
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, maps[..., 0, 0].float())


def test_snippets_are_centred_on_their_step_and_repeat_the_ends() -> None:
    frames = torch.arange(24, dtype=torch.uint8).view(1, 1, 24, 1, 1).expand(2, 3, 24, 2, 2)
    snippets = cut_into_snippets(frames, 16, 4)
    assert snippets.shape == (2 * 6, 3, 16, 2, 2)
    for step in range(6):
        first = 4 * step + 2 - 8
        expected = [min(max(frame, 0), 23) for frame in range(first, first + 16)]
        assert snippets[step, 0, :, 0, 0].tolist() == snippets[6 + step, 0, :, 0, 0].tolist() == expected


def test_a_snippet_becomes_one_cell() -> None:
    pathways = [torch.randn(2 * 6, 5, 8), torch.randn(2 * 6, 3, 4)]
    cells = join_snippets(pathways, 2, 6)
    assert cells.shape == (2, 8, 6)
    torch.testing.assert_close(cells[1, :5, 2], pathways[0][6 + 2].mean(-1))
    torch.testing.assert_close(cells[0, 5:, 5], pathways[1][5].mean(-1))


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
