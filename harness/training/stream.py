"""Detection on a user's own video, window after window, in memory that does not grow with its length.

file --probe--> windows --one at a time--> detector -> candidates in seconds -> pool -> NMS over the video -> rows
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.config import TrialConfig
from harness.data.index import Dataset, Video
from harness.data.loader import test_loader
from harness.data.probe import probe_video
from harness.data.video import UnreadableVideo
from harness.detection import ClassScores, Pool, Rows
from harness.training.infer import detect_batch, video_rows
from models.detector import Detector


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was found in one video."""

    video_id: str
    """The file's name without its ending."""
    path: Path
    duration_s: float
    rows: Rows
    """All detections, best first."""


def detect_video(
    detector: Detector,
    path: Path,
    config: TrialConfig,
    classes: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    classifier: ClassScores | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Watched:
    """Detect the actions of one video file, as a test does.

    Args:
        detector: on the device, ready to detect.
        path: the file.
        config: how windows are cut, and what is done with what they give.
        classes: names of the detector's classes, or of all classes beside an external classifier.
        device: where the detector is.
        workers: decoding processes; 0 decodes in this one.
        classifier: an external classifier's scores, where the config has one.
        progress: called with (windows done, windows in all).

    Raises:
        UnreadableVideo: the file cannot be used.
    """
    video = Video(
        video_id=path.stem, path=path.absolute(), subset=config.data.test_subset, info=probe_video(path), actions=()
    )
    dataset = Dataset(
        name="custom", classes=tuple(classes), videos=(video,), quarantined=(), repairs={}, fingerprint=""
    )
    unreadable: dict[str, str] = {}
    loader = test_loader(dataset, config.data, batch_size=1, workers=workers, unreadable=unreadable)
    pool = Pool()
    for number, batch in enumerate(loader, start=1):
        for _, found in detect_batch(detector, batch.to(device), {video.video_id: video}, config):
            pool.add(found)
        if progress is not None:
            progress(number, len(loader))
    if unreadable:
        raise UnreadableVideo(unreadable[video.video_id])
    rows = video_rows(video.video_id, pool.windows, config, classes, classifier)
    return Watched(video_id=video.video_id, path=path, duration_s=video.info.duration_s, rows=rows)
