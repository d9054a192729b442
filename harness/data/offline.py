"""A data set without its video files: annotations, and for every video the features that somebody extracted.

    annotations in any known format + folder of features -> Dataset

The frames of such a video are those that its features stand for: `data.window.span / data.window.features` of them for
each feature. So windows, training and tests are what they are on video.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.config import WindowConfig, digest_of
from harness.data.annotations import Action, VideoAnnotation, clip_actions
from harness.data.datasets import DATASETS
from harness.data.feature_files import MalformedFeatures
from harness.data.given_features import FACTS, GivenFeatures
from harness.data.index import Dataset, Quarantined, Video
from harness.data.opening import open_annotations
from harness.data.video_info import VideoInfo

LARGEST_GAP = 0.05
"""Share of a video that its features may lack or exceed before it is worth a note."""


def prepare_offline(
    name: str,
    root: Path,
    features: GivenFeatures,
    window: WindowConfig,
    *,
    train_subset: str = "training",
    test_subset: str = "validation",
    blocked: Sequence[str] = (),
    max_unreadable: float = 0.5,
) -> Dataset:
    """Open annotations for features that were extracted elsewhere; no video file is needed.

    Args:
        name: A `DatasetName`.
        root: The folder with the annotations.
        features: The features.
        window: How windows are cut from them.
        train_subset: The subset to train on.
        test_subset: The subset to test on.
        blocked: Videos to leave out.
        max_unreadable: A subset with a larger share of videos without usable features is an error.

    Raises:
        ValueError: one sentence that says what is wrong with annotations or features.
    """
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}, expected annotations.json in it")
    _check_stride(features, window)
    subsets = (train_subset, test_subset)
    annotations = open_annotations(root, DATASETS[name], subsets, blocked)
    repairs = Counter(annotations.repairs)
    videos: list[Video] = []
    lost: list[Quarantined] = []
    for listed in annotations.videos:
        if listed.subset not in subsets:
            continue
        try:
            info = _info(listed, features, window, repairs)
        except ValueError as error:
            lost.append(Quarantined(video_id=listed.video_id, path=None, reason=str(error), subset=listed.subset))
            continue
        videos.append(
            Video(
                video_id=listed.video_id,
                path=features.path(listed.video_id).absolute(),
                subset=listed.subset,
                info=info,
                actions=clip_actions(listed.actions, info.duration_s, repairs),
            )
        )
    for subset in dict.fromkeys(subsets):
        _check_subset(subset, videos, lost, max_unreadable)
    return Dataset(
        name=name,
        classes=annotations.classes,
        videos=tuple(videos),
        quarantined=tuple(lost),
        repairs=dict(repairs),
        fingerprint=_fingerprint(annotations.classes, videos),
    )


def _check_stride(features: GivenFeatures, window: WindowConfig) -> None:
    stride = features.facts.stride
    if stride is not None and window.mode == "sliding" and stride != window.cell:
        raise ValueError(
            f"{features.folder / FACTS} has stride {stride:g}, but data.window.span / data.window.features is "
            f"{window.cell}; expected data.window.span={stride * window.features:g}"
        )


def _info(listed: VideoAnnotation, features: GivenFeatures, window: WindowConfig, repairs: Counter[str]) -> VideoInfo:
    """Return how a video's features lie in time."""
    count = features.length(listed.video_id)
    cell = window.cell if window.mode == "sliding" else 1
    stride, fps = features.facts.stride, features.facts.fps_of(listed.video_id)
    if stride is None or fps is None:
        if listed.duration_s is None:
            raise MalformedFeatures(
                "neither its annotation says how long it is nor the features how far apart they are"
            )
        return _video_info(count * cell, count * cell / listed.duration_s, listed.duration_s)
    offset = stride / 2 if features.facts.offset is None else features.facts.offset
    start_s, covered_s = (offset - stride / 2) / fps, count * stride / fps
    duration_s = listed.duration_s or start_s + covered_s
    if abs(duration_s - covered_s) > LARGEST_GAP * duration_s:
        repairs[f"features that cover {LARGEST_GAP:.0%} more or less than the video"] += 1
    return _video_info(count * cell, fps * cell / stride, duration_s, start_s)


def _video_info(num_frames: int, fps: float, duration_s: float, start_s: float = 0.0) -> VideoInfo:
    return VideoInfo(
        num_frames=num_frames, fps=float(fps), duration_s=float(duration_s), width=0, height=0, start_s=float(start_s)
    )


def _check_subset(subset: str, videos: Sequence[Video], lost: Sequence[Quarantined], max_unreadable: float) -> None:
    usable = [video for video in videos if video.subset == subset]
    missing = [item for item in lost if item.subset == subset]
    total = len(usable) + len(missing)
    if not usable or len(missing) > max_unreadable * total:
        first = f" ({missing[0].video_id}: {missing[0].reason})" if missing else ""
        raise ValueError(
            f"{len(missing)} of {total} videos of subset {subset!r} have no usable features, data.max_unreadable "
            f"allows a share of {max_unreadable:g}{first}"
        )
    if not any(video.actions for video in usable):
        raise ValueError(f"no video of subset {subset!r} that has features has an action")


def _fingerprint(classes: Sequence[str], videos: Sequence[Video]) -> str:
    """Identify annotations and times; the features themselves are `model.weights`."""
    listed = sorted(videos, key=lambda video: video.video_id)
    return digest_of(
        [
            list(classes),
            [[v.video_id, v.subset, asdict(v.info), [_plain(action) for action in v.actions]] for v in listed],
        ]
    )


def _plain(action: Action) -> list[float | str]:
    return [action.start_s, action.end_s, action.label]
