"""Damaged files: each is quarantined with its reason or read rightly, in seconds, and nothing hangs or crashes."""

import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from harness.data.probe import probe_video, probe_videos
from harness.data.video import read_frames
from harness.data.video_info import UnreadableVideo, VideoInfo

pytestmark = pytest.mark.usefixtures("one_thread")
TIMEOUT_S = 20.0
FRAMES = 90
Damage = Callable[[Path, Path], Path]
"""Takes a good mp4 and a folder, gives the damaged file."""


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def remux(good: Path, path: Path, **options: str) -> Path:
    """Put the same packets into another container."""
    with av.open(str(good)) as source, av.open(str(path), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def truncated(share: float, suffix: str = "mp4", **options: str) -> Damage:
    def damage(good: Path, folder: Path) -> Path:
        data = remux(good, folder / f"whole.{suffix}", **options).read_bytes()
        return write(folder, f"cut.{suffix}", data[: int(share * len(data))])

    return damage


def patched(change: Callable[[bytearray], None]) -> Damage:
    def damage(good: Path, folder: Path) -> Path:
        data = bytearray(good.read_bytes())
        change(data)
        return write(folder, "patched.mp4", bytes(data))

    return damage


def zero_the_middle(data: bytearray) -> None:
    start = data.index(b"mdat") + 4
    size = data.index(b"moov") - start
    data[start + size // 3 : start + 2 * size // 3] = bytes(2 * size // 3 - size // 3)


def scramble_all_pictures(data: bytearray) -> None:
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8).tobytes()


def claim_a_thousand_times_the_duration(data: bytearray) -> None:
    """The media header's duration; the frames' own times stay."""
    place = data.index(b"mdhd") + 4 + 16
    (duration,) = struct.unpack(">I", data[place : place + 4])
    data[place : place + 4] = struct.pack(">I", min(duration * 1000, 2**31))


def claim_more_frames_than_there_are(data: bytearray) -> None:
    """The sample size table's count."""
    place = data.index(b"stsz") + 4 + 8
    data[place : place + 4] = struct.pack(">I", 60000)


def point_past_the_end(data: bytearray) -> None:
    """The chunk offset table's first entry."""
    place = data.index(b"stco") + 4 + 8
    data[place : place + 4] = struct.pack(">I", 2**31 - 1)


def forget_the_codec(data: bytearray) -> None:
    place = data.index(b"avc1", data.index(b"stsd"))
    data[place : place + 4] = b"xxxx"


def empty_box_sizes(data: bytearray) -> None:
    place = data.index(b"moov")
    data[place - 4 : place] = struct.pack(">I", 8)


def audio_only(_: Path, folder: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


UNREADABLE: dict[str, Damage] = {
    "zero bytes": lambda _, folder: write(folder, "a.mp4", b""),
    "one byte": lambda _, folder: write(folder, "a.mp4", b"\0"),
    "text": lambda _, folder: write(folder, "a.mp4", b"this is no video\n" * 500),
    "json": lambda _, folder: write(folder, "a.mkv", b'{"database": {}}'),
    "zeros": lambda _, folder: write(folder, "a.avi", bytes(100_000)),
    "noise": lambda _, folder: write(folder, "a.mp4", np.random.default_rng(1).bytes(100_000)),
    "half a picture file": lambda _, folder: write(folder, "a.mp4", b"\x89PNG\r\n\x1a\n" + bytes(200)),
    "audio only": audio_only,
    "cut before the index": truncated(0.5),
    "cut behind a leading index": truncated(0.4, movflags="faststart"),
    "cut to the header": truncated(0.03, "mkv"),
    "pictures zeroed in the middle": patched(zero_the_middle),
    "pictures replaced by noise": patched(scramble_all_pictures),
    "header claims more frames": patched(claim_more_frames_than_there_are),
    "index points past the end": patched(point_past_the_end),
    "unknown codec": patched(forget_the_codec),
    "a folder": lambda _, folder: folder,
    "nothing": lambda _, folder: folder / "nowhere.mp4",
    "a dangling link": lambda _, folder: link(folder / "link.mp4", folder / "nowhere.mp4"),
    "a link to itself": lambda _, folder: link(folder / "loop.mp4", folder / "loop.mp4"),
}


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


READABLE: dict[str, Damage] = {
    "the wrong ending": lambda good, folder: Path(shutil.copy(good, folder / "a.avi")),
    "no ending": lambda good, folder: Path(shutil.copy(good, folder / "a")),
    "a name with spaces and letters of other scripts": lambda good, folder: Path(
        shutil.copy(good, folder / "-vidéo 动作 %20'.mp4")
    ),
    "trailing garbage": lambda good, folder: write(folder, "a.mp4", good.read_bytes() + bytes(5000)),
    "no length in the header": lambda good, folder: remux(good, folder / "a.mkv", live="1"),
    "a header box of size zero": patched(empty_box_sizes),
    "fragments": lambda good, folder: remux(good, folder / "a.mp4", movflags="frag_keyframe+empty_moov"),
    "a transport stream": lambda good, folder: remux(good, folder / "a.ts"),
    "flash": lambda good, folder: remux(good, folder / "a.flv"),
    "matroska": lambda good, folder: remux(good, folder / "a.mkv"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    return make_video(tmp_path_factory.mktemp("good") / "good.mp4", FRAMES)


@pytest.fixture(scope="module")
def verdicts(
    tmp_path_factory: pytest.TempPathFactory, good: Path
) -> tuple[dict[str, Path], dict[str, VideoInfo | UnreadableVideo]]:
    """Make every file and probe them as a data set's are, in helper processes under a timeout."""
    paths = {}
    for name, damage in (UNREADABLE | READABLE).items():
        folder = tmp_path_factory.mktemp("damaged")
        paths[name] = damage(good, folder)
    started = time.monotonic()
    results = probe_videos(list(paths.values()), timeout_s=TIMEOUT_S)
    assert time.monotonic() - started < TIMEOUT_S * 3
    return paths, dict(zip(paths, results, strict=True))


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_damaged_file_is_quarantined_with_its_reason(verdicts, name: str) -> None:
    paths, results = verdicts
    result = results[name]
    assert isinstance(result, UnreadableVideo), result
    assert not result.passing, "a final verdict, not a timeout"
    assert not result.crashed
    assert 5 < len(result.reason) < 140
    assert "\n" not in result.reason
    assert str(paths[name].parent) not in result.reason
    assert "Error(" not in result.reason


@pytest.mark.parametrize("name", UNREADABLE)
def test_reading_a_damaged_file_unprobed_ends_with_a_reason_too(verdicts, name: str) -> None:
    paths, _ = verdicts
    started = time.monotonic()
    for reader in ("decord", "pyav"):
        with pytest.raises(UnreadableVideo):
            read_frames(paths[name], range(FRAMES), reader=reader, timeout_s=TIMEOUT_S)
    assert time.monotonic() - started < TIMEOUT_S


@pytest.mark.parametrize("name", READABLE)
def test_an_odd_file_gives_all_its_frames(verdicts, good: Path, name: str) -> None:
    paths, results = verdicts
    info = results[name]
    assert isinstance(info, VideoInfo), info
    assert info.num_frames == FRAMES
    assert info.duration_s == pytest.approx(FRAMES / 25, rel=0.02)
    kept = [0, 13, 44, 89]
    frames = read_frames(paths[name], kept, reader=info.reader)
    np.testing.assert_allclose(frames, read_frames(good, kept), atol=3)


def test_a_header_that_lies_about_the_duration_is_not_believed_where_the_frames_tell(
    tmp_path: Path, good: Path
) -> None:
    """Either the frames' own times are taken, or the file is set aside; never the header's hour."""
    path = patched(claim_a_thousand_times_the_duration)(good, tmp_path)
    (result,) = probe_videos([path], timeout_s=TIMEOUT_S)
    if isinstance(result, UnreadableVideo):
        assert "header states" in result.reason
    else:
        assert result.duration_s == pytest.approx(FRAMES / 25, rel=0.02)


def test_a_file_without_permission_says_so(tmp_path: Path, good: Path) -> None:
    path = Path(shutil.copy(good, tmp_path / "a.mp4"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UnreadableVideo, match="cannot be opened"):
        probe_video(path)


def test_a_file_cut_after_probing_is_given_up_while_reading(tmp_path: Path, good: Path) -> None:
    path = Path(shutil.copy(good, tmp_path / "a.mp4"))
    info = probe_video(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UnreadableVideo):
        read_frames(path, range(FRAMES), reader=info.reader, timeout_s=TIMEOUT_S)
