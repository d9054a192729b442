"""Both readers give the frames of a plain decode from beginning to end, of the same stream, wherever they start."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from harness.data.probe import probe_video
from harness.data.video import probe_here, read_frames
from harness.data.video_info import ReaderName, UnreadableVideo, VideoInfo

pytestmark = pytest.mark.usefixtures("one_thread")

READABLE = [
    "decord__flipping_a_pancake.mkv",
    "decord__unordered.mov",
    "decord__video_0.mov",
    "decord__video_180.mov",
    "decord__video_270.mov",
    "decord__video_90.mov",
    "ffmpeg-libav-tutorial__small_bunny_1080p_60fps.mp4",
    "mediabunny__annex-b-avc.mkv",
    "mediabunny__edts.mp4",
    "mediabunny__sar_2x1.mp4",
    "mmaction2__demo.mp4",
    "mmaction2__demo_skeleton.mp4",
    "moviepy__fire2.mp4",
    "moviepy__test_video.mp4",
    "mp4parse-rust__minimal.mp4",
    "sample-videos__bottle-detection.mp4",
    "sample-videos__car-detection.mp4",
    "sample-videos__one-by-one-person-detection.mp4",
    "torchcodec__av1_video.mkv",
    "torchcodec__h264_10bits.mp4",
    "torchcodec__h265_10bits.mp4",
    "torchcodec__h265_video.mp4",
    "torchcodec__nasa_13013.mp4",
]
"""The files of ../shared/data/videos that can be read; test_video.py has the reasons for the others."""
SAMPLES = 4
DIFFERENT_ROUNDING = 2.0
"""Two versions of FFmpeg turn YUV into RGB differently: by less than this on average (the largest seen is 1.4)."""
DEEP_ROUNDING = 4.0
"""The same of 10 bits per colour (up to 3.6 seen; the frame before or after differs by 6)."""


def plain_decode(path: Path, kept: list[int]) -> tuple[int, list[float], list[np.ndarray]]:
    """Decode all of a file with PyAV; return the number of frames, and times and pictures of some."""
    count, first, times, pictures = 0, 0.0, [], []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, VideoStream)
        for number, frame in enumerate(container.decode(stream)):
            assert frame.time is not None
            count, first = number + 1, frame.time if number == 0 else first
            if number in kept:
                times.append(frame.time - first)
                pictures.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    return count, times, pictures


@pytest.mark.parametrize("name", READABLE)
def test_frames_are_those_of_a_plain_decode(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    info = probe_here(path)
    kept = sorted({round(share * (info.num_frames - 1)) for share in np.linspace(0, 1, SAMPLES)})
    count, times, pictures = plain_decode(path, kept)
    assert info.num_frames == count
    assert (info.height, info.width) == pictures[0].shape[:2]
    step = info.duration_s / info.num_frames
    np.testing.assert_allclose(info.seconds_at(np.array(kept)), times, atol=step / 2)
    readers: tuple[ReaderName, ...] = ("pyav",) if info.reader == "pyav" else ("decord", "pyav")
    for reader in readers:
        # Backwards, so that the reader has to find its way to each.
        frames = read_frames(path, kept[::-1], reader=reader)[::-1]
        for picture, frame in zip(pictures, frames, strict=True):
            difference = np.abs(picture.astype(int) - frame)
            allowed = DEEP_ROUNDING if "10bits" in name else DIFFERENT_ROUNDING
            assert difference.mean() < (allowed if reader == "decord" else 0.2), (reader, difference.mean())


@pytest.mark.parametrize("name", READABLE)
def test_both_readers_know_the_same_of_a_file(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    by_pyav = probe_here(path, ["pyav"])
    try:
        by_decord = probe_here(path, ["decord"])
    except UnreadableVideo:
        assert probe_here(path) == by_pyav
        return
    assert (by_decord.num_frames, by_decord.width, by_decord.height) == (
        by_pyav.num_frames,
        by_pyav.width,
        by_pyav.height,
    )
    frames = np.arange(by_pyav.num_frames + 1)
    np.testing.assert_allclose(by_decord.seconds_at(frames), by_pyav.seconds_at(frames), atol=0.002)


def test_the_stream_of_two_is_the_one_with_more_data_and_its_times_are_those_listed(shared_data: Path) -> None:
    path = shared_data / "videos" / "torchcodec__nasa_13013.mp4"
    # Made by the file's own project, frame by frame, with ffprobe; stream 3 is the larger picture.
    listed = json.loads((path.parent / f"{path.name}.stream3.all_frames_info.json").read_text())
    truth = np.array([float(frame["pts_time"]) for frame in listed])
    for reader in ("decord", "pyav"):
        info = probe_here(path, [reader])
        assert (info.width, info.height, info.num_frames) == (480, 270, len(truth))
        np.testing.assert_allclose(info.seconds_at(np.arange(len(truth))), truth - truth[0], atol=0.002)


def test_pyav_starts_anywhere(shared_data: Path) -> None:
    path = shared_data / "videos" / "mediabunny__annex-b-avc.mkv"
    everything = read_frames(path, range(260), reader="pyav", short_side=16)
    for indices in ([259], [250, 251], [0, 259, 130], list(range(90, 200, 7))):
        np.testing.assert_array_equal(
            read_frames(path, indices, reader="pyav", short_side=16), everything[np.array(indices)]
        )


def test_more_threads_give_the_same_frames(shared_data: Path) -> None:
    path = shared_data / "videos" / "mmaction2__demo.mp4"
    for reader in ("decord", "pyav"):
        one, two = (read_frames(path, [3, 100, 279], reader=reader, threads=threads) for threads in (1, 2))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "name", ["mmaction2__demo.mp4", "sample-videos__car-detection.mp4", "mmaction2__demo_skeleton.mp4"]
)
def test_reducing_in_the_decoder_is_off_by_one_of_255_on_average(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    exact, scaled = (
        read_frames(path, [0, 30, 60], short_side=182, reduce_in=reduce_in) for reduce_in in ("torch", "decoder")
    )
    difference = np.abs(exact.astype(int) - scaled)
    assert exact.shape == scaled.shape
    # Measured: 0.84 to 1.10 on these and the 1080p clip; 99 % of the values within 3 to 7.
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) <= 10


def test_a_rotated_file_is_reduced_upright_in_the_decoder(shared_data: Path) -> None:
    path = shared_data / "videos" / "decord__video_90.mov"
    exact, scaled = (
        read_frames(path, [0, 2], short_side=80, reduce_in=reduce_in) for reduce_in in ("torch", "decoder")
    )
    assert exact.shape == scaled.shape == (2, 142, 80, 3)
    assert np.abs(exact.astype(int) - scaled).mean() < 3


@pytest.mark.parametrize("width", [16, 24, 48, 72])
def test_frames_too_narrow_for_decord_are_pyavs(tmp_path: Path, make_video, width: int) -> None:
    path = make_video(tmp_path / "narrow.mp4", 30, width=width, height=16)
    info = probe_video(path)
    assert info == VideoInfo(num_frames=30, fps=25.0, duration_s=1.2, width=width, height=16, reader=info.reader)
    frames = read_frames(path, [0, 12, 29], reader=info.reader)
    assert frames.shape == (3, 16, width, 3)
    # Brightness tells frames apart (conftest.py).
    assert np.diff(frames.mean(axis=(1, 2, 3))).min() > 15
