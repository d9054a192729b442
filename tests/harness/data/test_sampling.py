"""Laws of the index arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import WindowConfig
from harness.data.sampling import (
    Stretch,
    cell_mask,
    frame_indices,
    kept_share,
    random_truncation,
    sliding_windows,
    to_grid,
)

windows = st.builds(
    lambda stride, cell, times: WindowConfig(
        frames=times * cell, span=stride * cell * times, features=stride * times, resolution=8
    ),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 12),
)
lengths = st.integers(1, 400)


@st.composite
def segments_of(draw: st.DrawFn, num_frames: int) -> np.ndarray:
    found = draw(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 1)), max_size=4))
    starts = np.array([start for start, _ in found]) * num_frames
    ends = np.minimum(starts + np.array([size for _, size in found]) * num_frames, num_frames)
    return np.stack([starts, ends], axis=1)[ends > starts].reshape(-1, 2)


@given(num_frames=lengths, window=windows, overlap=st.floats(0, 0.95))
def test_sliding_windows_cover_every_frame_once_in_order(num_frames: int, window: WindowConfig, overlap: float) -> None:
    stretches = sliding_windows(num_frames, window, overlap)
    seen = np.zeros(num_frames, dtype=int)
    for stretch in stretches:
        seen[stretch.start_frame : stretch.start_frame + stretch.num_frames] += 1
        assert 0 <= stretch.start_frame <= num_frames - stretch.num_frames
        assert stretch.num_frames == min(window.span, num_frames)
    assert (seen > 0).all()
    starts = [stretch.start_frame for stretch in stretches]
    assert starts == sorted(set(starts))


def test_sliding_windows_of_a_known_case() -> None:
    window = WindowConfig(frames=10, span=10, features=10, resolution=8)
    assert [s.start_frame for s in sliding_windows(23, window, 0.5)] == [0, 5, 10, 13]
    assert [s.start_frame for s in sliding_windows(20, window, 0.5)] == [0, 5, 10]
    assert [s.start_frame for s in sliding_windows(10, window, 0.5)] == [0]
    with pytest.raises(ValueError, match=r"test_overlap is 1\.0"):
        sliding_windows(23, window, 1.0)


@given(num_frames=lengths, window=windows, data=st.data())
def test_sampled_frames_are_inside_rising_and_evenly_spaced(
    num_frames: int, window: WindowConfig, data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, min(num_frames, window.span)))
    start = data.draw(st.integers(0, num_frames - length))
    stretch = Stretch(start_frame=start, num_frames=length)
    indices = frame_indices(stretch, window)
    # The slow, obvious version.
    assert indices.tolist() == [min(start + i * window.stride, start + length - 1) for i in range(window.frames)]
    assert indices.max() < num_frames
    assert (np.diff(indices) >= 0).all()
    mask = cell_mask(stretch, window)
    assert mask.tolist() == [k * window.cell < length for k in range(window.features)]
    assert mask[0]


@given(num_frames=lengths, window=windows, min_kept=st.floats(0.01, 1), seed=st.integers(0, 99), data=st.data())
def test_truncation_keeps_exactly_the_actions_above_the_threshold(
    num_frames: int, window: WindowConfig, min_kept: float, seed: int, data: st.DataObject
) -> None:
    segments = data.draw(segments_of(num_frames))
    stretch, inside = random_truncation(
        num_frames, segments, window, min_kept=min_kept, min_crop=0.9, generator=np.random.default_rng(seed)
    )
    end = stretch.start_frame + stretch.num_frames
    assert 0 <= stretch.start_frame < end <= num_frames
    if num_frames > window.span:
        assert stretch.num_frames == window.span
    else:
        assert round(0.9 * num_frames) <= stretch.num_frames or stretch.num_frames == 1
    kept = []
    for number, (a, b) in enumerate(segments):
        if max(0.0, min(b, end) - max(a, stretch.start_frame)) / (b - a) >= min_kept:
            kept.append(number)
    assert inside.tolist() == kept


def test_truncation_finds_a_short_action_in_a_long_video() -> None:
    window = WindowConfig(frames=64, span=64, features=64, resolution=8)
    segments = np.array([[500.0, 510.0]])
    for seed in range(50):
        _, inside = random_truncation(
            1000, segments, window, min_kept=0.75, min_crop=0.9, generator=np.random.default_rng(seed)
        )
        assert inside.tolist() == [0]


def test_truncation_reaches_both_ends_of_a_video() -> None:
    window = WindowConfig(frames=8, span=8, features=8, resolution=8)
    everywhere = np.array([[0.0, 10.0]])
    starts = {
        random_truncation(10, everywhere, window, min_kept=0.1, min_crop=0.9, generator=np.random.default_rng(seed))[
            0
        ].start_frame
        for seed in range(100)
    }
    assert starts == {0, 1, 2}


def test_more_frames_of_the_same_span_see_the_same_stretch() -> None:
    segments = np.array([[100.0, 140.0], [300.0, 390.0]])
    drawn = [
        random_truncation(
            1000,
            segments,
            WindowConfig(frames=frames, span=256, features=64, resolution=8),
            min_kept=0.75,
            min_crop=0.9,
            generator=np.random.default_rng(7),
        )[0]
        for frames in (32, 64, 256)
    ]
    assert drawn[0] == drawn[1] == drawn[2]


@settings(max_examples=40)
@given(num_frames=lengths, window=windows, data=st.data())
def test_grid_coordinates_return_to_the_same_frames(num_frames: int, window: WindowConfig, data: st.DataObject) -> None:
    segments = data.draw(segments_of(num_frames))
    for stretch in sliding_windows(num_frames, window, 0.5):
        grid = to_grid(segments, stretch, window)
        assert (grid >= 0).all()
        assert (grid <= stretch.num_cells(window)).all()
        inside = kept_share(segments, stretch.start_frame, stretch.num_frames) >= 1
        back = stretch.start_frame + grid * window.cell
        np.testing.assert_allclose(back[inside], segments[inside], atol=1e-9)


whole = st.builds(
    lambda frames, features: WindowConfig(mode="resize", frames=frames, span=0, features=features, resolution=8),
    st.integers(1, 200),
    st.integers(1, 100),
)


@given(num_frames=lengths, window=whole, overlap=st.floats(0, 0.95))
def test_a_window_that_is_the_whole_video_shows_all_of_it_evenly(
    num_frames: int, window: WindowConfig, overlap: float
) -> None:
    (stretch,) = sliding_windows(num_frames, window, overlap)
    assert stretch == Stretch(start_frame=0, num_frames=num_frames)
    indices = frame_indices(stretch, window)
    # The slow, obvious version: Python's round is half to even too.
    middles = [(i + 0.5) * num_frames / window.frames - 0.5 for i in range(window.frames)]
    assert indices.tolist() == [round(min(max(middle, 0), num_frames - 1)) for middle in middles]
    assert (np.diff(indices) >= 0).all()
    # Symmetric up to halves, which round to even from both sides.
    assert (np.abs(num_frames - 1 - indices[::-1] - indices) <= 1).all()
    assert np.diff(indices).max(initial=0) <= np.ceil(num_frames / window.frames)
    assert cell_mask(stretch, window).all()


@given(num_frames=lengths, window=whole, seed=st.integers(0, 9), data=st.data())
def test_training_on_whole_videos_keeps_every_action_at_its_share_of_the_video(
    num_frames: int, window: WindowConfig, seed: int, data: st.DataObject
) -> None:
    segments = data.draw(segments_of(num_frames))
    stretch, inside = random_truncation(
        num_frames, segments, window, min_kept=0.75, min_crop=0.9, generator=np.random.default_rng(seed)
    )
    assert inside.tolist() == list(range(len(segments)))
    np.testing.assert_allclose(
        to_grid(segments, stretch, window), segments / num_frames * window.features, rtol=1e-12, atol=1e-9
    )


@given(num_frames=lengths, window=windows, overlap=st.floats(0, 0.95))
def test_cells_of_all_windows_show_every_frame_once_overlaps_are_merged(
    num_frames: int, window: WindowConfig, overlap: float
) -> None:
    shown: set[int] = set()
    for stretch in sliding_windows(num_frames, window, overlap):
        cells = np.flatnonzero(cell_mask(stretch, window))
        for cell in cells.tolist():
            first = stretch.start_frame + cell * window.cell
            shown.update(range(first, min(first + window.cell, stretch.start_frame + stretch.num_frames)))
    assert shown == set(range(num_frames))


@given(num_frames=st.integers(1, 300), seed=st.integers(0, 99))
def test_a_short_video_is_cut_to_nine_tenths_or_more_and_padded_with_its_last_frame(num_frames: int, seed: int) -> None:
    window = WindowConfig(frames=75, span=300, features=75, resolution=8)
    everywhere = np.array([[0.0, float(num_frames)]])
    stretch, _ = random_truncation(
        num_frames, everywhere, window, min_kept=0.75, min_crop=0.9, generator=np.random.default_rng(seed)
    )
    assert max(round(0.9 * num_frames), 1) <= stretch.num_frames <= num_frames
    indices = frame_indices(stretch, window)
    valid = -(-stretch.num_frames // window.stride)
    last = stretch.start_frame + stretch.num_frames - 1
    assert indices[:valid].tolist() == list(range(stretch.start_frame, last + 1, window.stride))
    assert (indices[valid:] == last).all()
    assert cell_mask(stretch, window).sum() == valid


@pytest.mark.parametrize(("min_kept", "expected"), [(0.75, []), (0.5, [0]), (0.3, [0, 1])])
def test_each_data_sets_threshold_keeps_what_it_says(min_kept: float, expected: list[int]) -> None:
    """THUMOS14 0.75, Charades 0.5, EPIC-Kitchens and Ego4D 0.3 (adatad-facts 6.3)."""
    # A window 0-99: 60 % of the first action is in it, 40 % of the second.
    shares = kept_share(np.array([[88.0, 108.0], [92.0, 112.0]]), 0, 100)
    np.testing.assert_allclose(shares, [0.6, 0.4])
    assert np.flatnonzero(shares >= min_kept).tolist() == expected
