"""Reading real files: the right frames, upright, in time, and a reason where it cannot be."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data import probe
from harness.data.probe import probe_video, probe_videos
from harness.data.video import UnreadableVideo, VideoInfo, probe_here, read_frames

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(frames: np.ndarray) -> list[int]:
    """Read frame numbers off their brightness (see conftest.py)."""
    return [round((float(frame[:, :4].mean()) - 19) / 2) for frame in frames]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "plain.mp4", 90)


def test_probe_measures_a_file(video: Path) -> None:
    info = probe_video(video)
    assert info == VideoInfo(num_frames=90, fps=25.0, duration_s=3.6, width=64, height=32)
    assert info == probe_here(video)


@settings(max_examples=25, deadline=None)
@given(indices=st.lists(st.integers(0, 89), min_size=1, max_size=30))
def test_any_frames_in_any_order_are_the_right_ones(video: Path, indices: list[int]) -> None:
    frames = read_frames(video, indices)
    assert frames.shape == (len(indices), 32, 64, 3)
    np.testing.assert_allclose(numbers(frames), indices, atol=1)
    everything = read_frames(video, range(90))
    np.testing.assert_array_equal(frames, everything[indices])


def test_frames_are_reduced_but_never_enlarged(video: Path) -> None:
    assert read_frames(video, [0, 5], short_side=16).shape == (2, 16, 32, 3)
    assert read_frames(video, [0, 5], short_side=64).shape == (2, 32, 64, 3)
    large, small = read_frames(video, [50]), read_frames(video, [50], short_side=8)
    assert abs(large.mean() - small.mean()) < 1


def test_rotated_video_is_reduced_by_its_upright_short_side(shared_data: Path) -> None:
    frames = read_frames(shared_data / "videos" / "decord__video_90.mov", [0, 1, 2], short_side=80)
    assert frames.shape == (3, 142, 80, 3)


def test_variable_rate_goes_through_the_time_stamps(tmp_path: Path, make_video) -> None:
    # 30 frames at 20 per second, then 30 at 5 per second: 1.5 s and 6 s
    pts = [30 * i for i in range(30)] + [900 + 120 * i for i in range(30)]
    path = make_video(tmp_path / "variable.mp4", 60, pts=pts)
    info = probe_video(path)
    assert info.timestamps_s is not None
    # The file does not say how long its last frame lasts.
    assert info.duration_s == pytest.approx(7.5, abs=0.2)
    np.testing.assert_allclose(info.frames_at(np.array([0, 1.0, 1.5, 5.5])), [0, 20, 30, 50], atol=0.01)
    np.testing.assert_allclose(info.seconds_at(np.array([0, 20, 30, 50.5])), [0, 1.0, 1.5, 5.6], atol=0.01)
    np.testing.assert_allclose(numbers(read_frames(path, [3, 29, 30, 59])), [3, 29, 30, 59], atol=1)


infos = st.one_of(
    st.builds(
        lambda n, fps: VideoInfo(num_frames=n, fps=fps, duration_s=n / fps, width=8, height=8),
        st.integers(1, 5000),
        st.floats(1, 120),
    ),
    st.lists(st.floats(0.001, 2), min_size=1, max_size=60).map(
        lambda steps: VideoInfo(
            num_frames=len(steps),
            fps=len(steps) / sum(steps),
            duration_s=float(np.sum(steps)),
            width=8,
            height=8,
            timestamps_s=tuple(np.cumsum([0, *steps[:-1]]).tolist()),
        )
    ),
)


@given(info=infos, places=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_seconds_to_frames_and_back(info: VideoInfo, places: list[float]) -> None:
    seconds = np.array(places) * info.duration_s
    frames = info.frames_at(seconds)
    assert (frames >= 0).all()
    assert (frames <= info.num_frames * (1 + 1e-9)).all()
    np.testing.assert_allclose(info.seconds_at(frames), seconds, rtol=1e-6, atol=1e-6)


REAL = {
    "decord__corrupted.mp4": None,
    "decord__flipping_a_pancake.mkv": (310, 30.0),
    "decord__unordered.mov": (4, 32.0),
    "decord__video_0.mov": (3, 30.0),
    "decord__video_180.mov": (3, 30.0),
    "decord__video_270.mov": (3, 30.0),
    "decord__video_90.mov": (3, 30.0),
    "ffmpeg-libav-tutorial__small_bunny_1080p_60fps.mp4": (120, 60.0),
    "mediabunny__annex-b-avc.mkv": (745, 745 / 35.229),
    "mediabunny__annex-b.mp4": None,
    "mediabunny__edts.mp4": (225, 25.0),
    "mediabunny__sar_2x1.mp4": (150, 30.0),
    "mmaction2__demo.mp4": (280, 28.0),
    "mmaction2__demo_skeleton.mp4": (72, 28.0519),
    "moviepy__fire2.mp4": (25, 10.5052),
    "moviepy__test_video.mp4": (5, 1.0),
    "mp4parse-rust__bipbop_cbcs_video_init.mp4": None,
    "mp4parse-rust__chunk_out_of_range.mp4": None,
    "mp4parse-rust__minimal.mp4": (1, 25.0),
    "mp4parse-rust__no_timescale.mp4": None,
    "mp4parse-rust__short-cenc.mp4": None,
    "mp4parse-rust__zero_empty_stsc.mp4": None,
    "sample-videos__bottle-detection.mp4": (1189, 29.8333),
    "sample-videos__car-detection.mp4": (377, 12.5),
    "sample-videos__one-by-one-person-detection.mp4": (1394, 10.0),
    "torchcodec__av1_video.mkv": (125, 25.0),
    "torchcodec__h264_10bits.mp4": (30, 30.0),
    "torchcodec__h265_10bits.mp4": (30, 30.0),
    "torchcodec__h265_video.mp4": (10, 10.0),
    "torchcodec__nasa_13013.mp4": (390, 29.97003),
    "torchcodec__nasa_13013.mp4.audio.mp3": None,
}
"""Frames and rate as ../shared/data/README.md has them, for the stream that decord takes; None: nobody can read it."""
VARIABLE = {"mmaction2__demo_skeleton.mp4", "moviepy__fire2.mp4", "mediabunny__annex-b-avc.mkv"}
NOT_FOR_DECORD = {"mediabunny__annex-b-avc.mkv", "moviepy__test_video.mp4", "torchcodec__av1_video.mkv"}


def test_every_real_file_probes_as_documented_or_says_why_not(shared_data: Path) -> None:
    paths = sorted(path for path in (shared_data / "videos").iterdir() if path.suffix != ".json")
    assert {path.name for path in paths} == set(REAL)
    started = time.monotonic()
    for path, result in zip(paths, probe_videos(paths, timeout_s=20), strict=True):
        expected = REAL[path.name]
        if expected is None:
            assert isinstance(result, UnreadableVideo), path.name
            assert 5 < len(result.reason) < 140
            assert "\n" not in result.reason
            assert "/github" not in result.reason
        else:
            assert isinstance(result, VideoInfo), (path.name, result)
            assert (result.num_frames, result.fps) == (expected[0], pytest.approx(expected[1], rel=1e-4))
            assert result.duration_s == pytest.approx(expected[0] / expected[1], rel=1e-3)
            assert (result.timestamps_s is not None) == (path.name in VARIABLE), path.name
            assert result.reader == ("pyav" if path.name in NOT_FOR_DECORD else "decord"), path.name
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "name",
    [
        "decord__video_0.mov",
        "decord__video_90.mov",
        "decord__video_180.mov",
        "decord__video_270.mov",
        "moviepy__fire2.mp4",
    ],
)
def test_rotated_files_come_out_upright(shared_data: Path, name: str) -> None:
    import av

    path = shared_data / "videos" / name
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        # The display matrix's angle, counter-clockwise, as players apply it.
        expected = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    read = read_frames(path, [0])[0]
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected.astype(int)).mean() < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"not a video at all" * 100, "cannot be opened"), (None, "No such file")],
)
def test_a_file_that_is_no_video_gives_its_reason(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    for read in (lambda: probe_video(path), lambda: read_frames(path, [0])):
        with pytest.raises(UnreadableVideo, match=reason):
            read()


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="folder"):
        probe_video(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_video_cut_off_anywhere_is_unreadable_in_time(tmp_path: Path, video: Path, share: float) -> None:
    data = video.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(len(data) * share)])
    started = time.monotonic()
    with pytest.raises(UnreadableVideo):
        probe_video(path, timeout_s=5)
    assert time.monotonic() - started < 8


def test_frames_that_are_not_there_are_unreadable(video: Path) -> None:
    with pytest.raises(UnreadableVideo, match="has 90 frames, but frame 90 was asked for"):
        read_frames(video, [0, 90])


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """Return a pipe nobody writes to: opening it blocks inside C code, as a hung decoder or disk does."""
    path = tmp_path / "hanging.mp4"
    os.mkfifo(path)
    return path


def test_a_hanging_read_ends(hanging: Path) -> None:
    started = time.monotonic()
    with pytest.raises(UnreadableVideo, match=r"no frames for 0\.5 s"):
        read_frames(hanging, [0], timeout_s=0.5)
    assert time.monotonic() - started < 3
    # The thread left behind is let go, so that this process ends clean.
    os.close(os.open(hanging, os.O_WRONLY | os.O_NONBLOCK))


def test_a_hanging_probe_ends_and_the_others_go_on(hanging: Path, video: Path) -> None:
    seen: list[tuple[int, int]] = []
    results = probe_videos([video, hanging, video, video], timeout_s=3, progress=lambda *done: seen.append(done))
    assert [isinstance(result, VideoInfo) for result in results] == [True, False, True, True]
    assert "longer than 3 s" in str(results[1])
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_crashing_probe_is_the_files_fault_and_the_others_go_on(video: Path, tmp_path: Path) -> None:
    """The helper is killed from outside while it works on a file, as a segmentation fault would end it."""
    path = tmp_path / "crash.mp4"
    os.mkfifo(path)
    with probe._Helper() as helper:
        assert helper.probe(video, 10).num_frames == 90
        process = helper._process
        assert process is not None
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        with pytest.raises(UnreadableVideo, match="crashed"):
            helper.probe(path, 10)
        assert helper.probe(video, 10).num_frames == 90


def test_where_decord_crashes_the_second_reader_is_asked_in_a_new_helper(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """decord ends the helper (here by a signal that its start is made to send) before it has answered."""
    crash = (
        "import harness.data.decode_decord as d, os, signal; "
        "d.DecordReader.__init__ = lambda *_: os.kill(os.getpid(), signal.SIGSEGV); "
    )
    real = probe.subprocess.Popen

    def crashing(command: list[str], **settings):
        start, code = command[:2], command[2]
        assert code.endswith("serve()")
        return real([*start, code.replace("from harness.data.probe", crash + "from harness.data.probe")], **settings)

    monkeypatch.setattr(probe.subprocess, "Popen", crashing)
    info = probe_video(video)
    assert (info.reader, info.num_frames) == ("pyav", 90)
    (listed,) = probe_videos([video])
    assert listed == info
