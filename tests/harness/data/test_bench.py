"""What `tadscale bench data` compares gives the same frames, and the ratios are those of its own times."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.bench import frame_by_frame, main, make_video
from harness.data.probe import probe_video
from harness.data.video_frames import FrameSource

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two seconds of the video that the measurement makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.data.bench.MADE_FRAMES", 60)
        return make_video(tmp_path_factory.mktemp("bench") / "made.mp4")


def test_every_way_gives_the_frames_of_the_obvious_one(video: Path) -> None:
    source = FrameSource(path=video, info=probe_video(video), short_side=182)
    wanted = np.arange(0, 60, 7)
    obvious = frame_by_frame(source, wanted).astype(int)
    exact = source.read(wanted).astype(int)
    # Pillow and torch reduce alike; two FFmpegs turn YUV to RGB, and round, differently.
    assert np.abs(exact - obvious).mean() < 1.0
    assert np.abs(exact - obvious).max() <= 12
    for other in (replace(source, reduce_in="decoder"), replace(source, frame_format="jpeg")):
        difference = np.abs(other.read(wanted).astype(int) - exact)
        assert 0 < difference.mean() < 2.5


def test_the_measurement_prints_rates_and_their_ratios(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--video", str(video), "--frames", "30", "--stride", "2", "--resolution", "32", "--rounds", "1", "--json"])
    rates = json.loads(capsys.readouterr().out)
    slow = rates[0]
    assert slow["ratio"] == 1
    for rate in rates:
        assert rate["ratio"] == pytest.approx(rate["frames_per_s"] / slow["frames_per_s"])
    sizes = {rate["way"]: rate["bytes_per_frame"] for rate in rates if rate["bytes_per_frame"]}
    assert sizes["cached"] == 36 * 64 * 3
    assert sizes["cached as JPEG"] < sizes["cached"] / 2
    main(["--video", str(video), "--frames", "10", "--resolution", "32", "--rounds", "1"])
    assert len(capsys.readouterr().out.splitlines()) == len(rates) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames is 0, expected at least 1"),
        (["--video", "nowhere.mp4"], "--video is nowhere.mp4, which cannot be read: cannot be opened"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(arguments)
