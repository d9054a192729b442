"""Ego4D's Moment Queries: `moments_train.json`, `moments_val.json`, `moments_test_unannotated.json`.

    {"videos": [{"video_uid", "split", "clips": [
        {"clip_uid", "video_start_sec", "video_end_sec", "video_start_frame", "video_end_frame",
         "annotations": [{"labels": [{"primary", "label", "video_start_time", "video_end_time"}]}]}]}]}

The detector's video is the clip. Times are those of the parent video, so the clip's start is taken off. Only primary
labels count, of all annotators together (adatad-facts 6.1). Clips of an impossible frame rate are passed over, as are
those of train and val that no annotator labelled.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.files import number_of, read_json, short
from harness.data.listing import Lister, Listing

SLOWEST_FPS, FASTEST_FPS = 10.0, 100.0
DECIMALS = 4
ODD_RATE, NO_LABEL, NOT_PRIMARY = (
    "clip of an impossible frame rate",
    "clip without a label",
    "label that is not primary",
)


def read_ego4d(paths: Sequence[Path]) -> Listing:
    """Read the files of any subsets.

    Raises:
        ValueError: a field is missing, or not what is expected.
    """
    lister = Lister()
    for path in paths:
        root = read_json(path, "annotation file")
        for number, video in enumerate(_field(root, "videos", list, str(path)), start=1):
            where = f"{path}: video {number}"
            split = _field(video, "split", str, where)
            for place, clip in enumerate(_field(video, "clips", list, where), start=1):
                _add_clip(lister, clip, split, f"{where}, clip {place}")
    return lister.listing("Ego4D's Moment Queries", tuple(paths))


def _add_clip(lister: Lister, clip: Any, split: str, where: str) -> None:
    clip_uid = _field(clip, "clip_uid", str, where)
    start_s = max(_number(clip, "video_start_sec", where), 0.0)
    duration_s = round(_number(clip, "video_end_sec", where) - start_s, DECIMALS)
    frames = int(_number(clip, "video_end_frame", where)) - max(int(_number(clip, "video_start_frame", where)), 0)
    if duration_s <= 0 or not SLOWEST_FPS <= frames / duration_s <= FASTEST_FPS:
        lister.left_out[ODD_RATE] += 1
        return
    labels = list(_labels(lister, clip, where))
    if not labels and split != "test":
        lister.left_out[NO_LABEL] += 1
        return
    lister.video(clip_uid, split, where, duration_s=duration_s, fps=frames / duration_s)
    for label, place in labels:
        times = [_number(label, f"video_{side}_time", place) - start_s for side in ("start", "end")]
        name = _field(label, "label", str, place)
        lister.action(clip_uid, round(times[0], DECIMALS), round(times[1], DECIMALS), name, place)


def _labels(lister: Lister, clip: Mapping[str, Any], where: str) -> Iterator[tuple[Any, str]]:
    """Yield a clip's primary labels and their places; clips of the test set have no annotators."""
    annotators = _field(clip, "annotations", list, where) if "annotations" in clip else []
    for annotator, given in enumerate(annotators, start=1):
        by = f"{where}, annotator {annotator}"
        for number, label in enumerate(_field(given, "labels", list, by), start=1):
            place = f"{by}, label {number},"
            if _field(label, "primary", bool, place):
                yield label, place
            else:
                lister.left_out[NOT_PRIMARY] += 1


def _field(owner: Any, name: str, kind: type, where: str) -> Any:
    value = owner.get(name) if isinstance(owner, dict) else None
    if not isinstance(value, kind):
        expected = {list: "a list", str: "a text", bool: "true or false"}[kind]
        raise ValueError(f'{where} has "{name}" {short(value)}, expected {expected}')
    return value


def _number(owner: Mapping[str, Any], name: str, where: str) -> float:
    return number_of(owner.get(name), f'{where} has "{name}"')
