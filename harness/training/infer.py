"""A trained detector on the test subset: sliding windows to detections, detections to mAP.

test windows -> detector -> points above the threshold -> seconds -> all ranks -> NMS per video
             (-> classes from an external classifier) -> mAP
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.config import TrialConfig
from harness.data.features import FeatureStore
from harness.data.index import Dataset, Video
from harness.data.loader import Batch, cells_to_seconds, test_loader
from harness.detection import (
    ClassScores,
    Detections,
    Rows,
    merge_windows,
    name_segments,
    read_class_scores,
    select_candidates,
    to_rows,
    write_detections,
)
from harness.evaluation.average_precision import MapResult, evaluate
from harness.training.distributed import gather
from harness.training.precision import autocast
from harness.training.report import Reporter
from harness.training.saved import FILE_NAME, save_detector
from harness.training.step import Trainee
from models.detector import Detector

if TYPE_CHECKING:
    from harness.training.loop import Places

REPORT_EVERY = 10
"""Batches between two signs of life."""


def score(
    trainee: Trainee,
    dataset: Dataset,
    config: TrialConfig,
    places: "Places",
    reporter: Reporter,
    unreadable: dict[str, str],
    features: FeatureStore | None = None,
    *,
    keep: bool = True,
) -> MapResult:
    """Score the averaged weights on the test subset; every rank returns the same result.

    With `keep`, rank 0 writes the detector (`harness.training.saved`) and its detections.

    Videos that turn out unreadable are added to `unreadable` and left out of the ground truth: what was never
    seen is not a miss of the detector. With `features` the detector is given those instead of frames.
    """
    detector = trainee.detector
    detector.eval()
    with trainee.ema.applied(detector):
        if keep and reporter.rank == 0:
            save_detector(places.work / FILE_NAME, detector, config, dataset.classes, places.weights)
        detections = detect_subset(detector, dataset, config, places, reporter, unreadable, features)
    detector.train()
    truth = ground_truth(dataset, config.data.test_subset, leave_out=unreadable)
    if keep and reporter.rank == 0:
        write_detections(places.work / "detections.json", detections)
    return evaluate(
        truth, {video: rows for video, rows in detections.items() if video in truth}, config.evaluation.tious
    )


def detect_subset(
    detector: Detector,
    dataset: Dataset,
    config: TrialConfig,
    places: "Places",
    reporter: Reporter,
    unreadable: dict[str, str],
    features: FeatureStore | None = None,
) -> dict[str, Rows]:
    """Return the detections of every test video, in the order of the dataset."""
    device = torch.device(places.device)
    loader = test_loader(
        dataset,
        config.data,
        batch_size=config.training.batch_size,
        rank=reporter.rank,
        world_size=reporter.world_size,
        workers=places.data_workers,
        batch_timeout_s=places.batch_timeout_s,
        unreadable=unreadable,
        features=features,
        cache=places.cache,
    )
    videos = {video.video_id: video for video in dataset.subset(config.data.test_subset)}
    windows: dict[str, list[Detections]] = defaultdict(list)
    for index, batch in enumerate(loader):
        for video_id, found in detect_batch(detector, batch.to(device), videos, config):
            windows[video_id].append(found)
        if index % REPORT_EVERY == 0:
            reporter.report({"test_batch": index + 1, "test_batches": len(loader)})
    gathered: dict[str, list[Detections]] = defaultdict(list)
    for part in gather(dict(windows)):
        for video_id, found in part.items():
            gathered[video_id].extend(found)
    for part in gather(unreadable):
        unreadable.update(part)
    classifier = open_class_scores(config, places.class_scores)
    return {
        video_id: video_rows(video_id, gathered.get(video_id, []), config, dataset.classes, classifier)
        for video_id in videos
        if video_id not in unreadable
    }


def open_class_scores(config: TrialConfig, path: Path | None) -> ClassScores | None:
    """Return what the external classifier says of each video; None where the head names the classes itself.

    Raises:
        ValueError: the config has an external classifier and there is no file, or the file cannot be used.
    """
    if config.detection.external == "none":
        return None
    if path is None:
        raise ValueError(
            f"detection.external is {config.detection.external}, but no class scores were given; expected "
            "--class-scores FILE"
        )
    return read_class_scores(path)


def check_class_scores(config: TrialConfig, path: Path | None, dataset: Dataset) -> None:
    """Refuse class scores that lack a test video or a class, before hours are spent on training.

    Raises:
        ValueError: as for `open_class_scores`, or what is lacking.
    """
    classifier = open_class_scores(config, path)
    if classifier is None:
        return
    for video in dataset.subset(config.data.test_subset):
        classifier.of(video.video_id, dataset.classes)


def video_rows(
    video_id: str,
    windows: Sequence[Detections],
    config: TrialConfig,
    classes: Sequence[str],
    classifier: ClassScores | None,
) -> Rows:
    """Return one video's detections from those of its windows."""
    merged = merge_windows(windows, config.detection)
    if classifier is not None:
        merged = name_segments(merged, classifier.of(video_id, classes), config.detection)
    return to_rows(merged, classes)


@torch.inference_mode()
def detect_batch(
    detector: Detector, batch: Batch, videos: Mapping[str, Video], config: TrialConfig
) -> list[tuple[str, Detections]]:
    """Return each window's candidates, in seconds of its video."""
    with autocast(config.training.precision, batch.inputs.device.type):
        raw = detector.detect(batch.inputs, batch.mask)
    segments, scores, valid = (
        raw.segments.float().cpu().numpy(),
        raw.scores.float().cpu().numpy(),
        raw.valid.cpu().numpy(),
    )
    found = []
    for row, window in enumerate(batch.windows):
        candidates = select_candidates(segments[row], scores[row], config.detection, valid[row])
        seconds = cells_to_seconds(videos[window.video_id], window, candidates.segments)
        found.append((window.video_id, candidates._replace(segments=seconds)))
    return found


def ground_truth(
    dataset: Dataset, subset: str, leave_out: Mapping[str, str] | Sequence[str] = ()
) -> dict[str, list[tuple[float, float, str]]]:
    """Return the actions of a subset's videos, as the evaluator takes them."""
    return {
        video.video_id: [(action.start_s, action.end_s, action.label) for action in video.actions]
        for video in dataset.subset(subset)
        if video.video_id not in leave_out
    }
