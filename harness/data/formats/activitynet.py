"""JSON annotations: the ActivityNet schema, OpenTAD's files in it, and the same without its root (BMN, RTD).

    {"database": {video_id: {"subset": str, "duration": seconds, "frame": int,
                             "annotations": [{"segment": [start_s, end_s], "label": str}, ...]}}}

EPIC-Kitchens' classes stand under `label` (`id_012`) in OpenTAD's verb and noun files, and under `verb_label` and
`noun_label` in its full one. BMN's file has no subsets: they are in a CSV beside it (formats/bmn.py).
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.classes import class_name
from harness.data.files import number_of, read_json, seconds_of, short
from harness.data.listing import ListedAction, ListedVideo, Listing
from harness.data.spec import Task

WHAT = "annotation file"


def read_schema(path: Path, task: Task = "label") -> Listing:
    """Read the ActivityNet schema.

    Raises:
        ValueError: one sentence that names the file and the video or annotation at fault.
    """
    root = read_json(path, WHAT)
    database = root.get("database") if isinstance(root, dict) else None
    if not isinstance(database, dict):
        raise ValueError(f'{path} has no "database" object, expected the ActivityNet schema')
    if not database:
        raise ValueError(f'{path} has an empty "database", expected at least one video')
    return read_videos(database, path, task, "ActivityNet schema")


def read_videos(
    database: Mapping[str, Any], path: Path, task: Task, form: str, subsets: Mapping[str, str] | None = None
) -> Listing:
    """Read `{video_id: {...}}`.

    Args:
        database: The videos.
        path: Where they are from, for messages.
        task: Which name of an action counts.
        form: The format, in words.
        subsets: The subset of each video, if it is not said in the video itself.

    Raises:
        ValueError: as `read_schema`.
    """
    repairs: Counter[str] = Counter()
    videos = tuple(
        _read_video(video_id, entry, f"{path}: video {video_id!r}", task, subsets, repairs)
        for video_id, entry in database.items()
    )
    return Listing(form=form, files=(path,), videos=videos, repairs=dict(repairs))


def _read_video(
    video_id: str, entry: Any, where: str, task: Task, subsets: Mapping[str, str] | None, repairs: Counter[str]
) -> ListedVideo:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {short(entry)}, expected an object")
    subset = entry.get("subset") if subsets is None else subsets.get(video_id)
    if not isinstance(subset, str):
        raise ValueError(f'{where} has no "subset"')
    # Test videos of some data sets come without the key.
    raw = entry.get("annotations", [])
    if not isinstance(raw, list):
        raise ValueError(f'{where} has "annotations" {short(raw)}, expected a list')
    duration = entry.get("duration", entry.get("duration_second"))
    duration_s = None if duration is None else seconds_of(duration, f'{where} has "duration"', repairs)
    return ListedVideo(
        video_id=video_id,
        subset=subset,
        duration_s=duration_s,
        fps=_rate(entry, duration_s, where),
        actions=tuple(
            _read_action(item, f"{where}, annotation {number},", task, repairs) for number, item in enumerate(raw, 1)
        ),
    )


def _rate(entry: Mapping[str, Any], duration_s: float | None, where: str) -> float | None:
    """Return the frame rate that a video's entry says or implies."""
    frames = entry.get("frame", entry.get("duration_frame"))
    if entry.get("fps") is not None:
        rate = number_of(entry["fps"], f'{where} has "fps"')
    elif frames is not None and duration_s:
        rate = number_of(frames, f'{where} has "frame"') / duration_s
    else:
        return None
    return rate if rate > 0 else None


def _read_action(item: Any, where: str, task: Task, repairs: Counter[str]) -> ListedAction:
    if not isinstance(item, dict):
        raise ValueError(f"{where} is {short(item)}, expected an object")
    if "segment" not in item:
        raise ValueError(f'{where} has no "segment"')
    segment = item["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise ValueError(f'{where} has "segment" {short(segment)}, expected [start, end] in seconds')
    start_s, end_s = (seconds_of(value, f'{where} has "segment"', repairs) for value in segment)
    return ListedAction(start_s=start_s, end_s=end_s, label=_label(item, where, task), where=where)


def _label(item: Mapping[str, Any], where: str, task: Task) -> str:
    # RTD's files have the number under label and the name under class.
    names = ("class", "label") if task == "label" else (f"{task}_label", f"{task}_class", task, "label")
    found = next((name for name in names if name in item), None)
    if found is None:
        raise ValueError(f'{where} has no "{"label" if task == "label" else names[0]}"')
    value = item[found]
    if isinstance(value, bool) or not isinstance(value, str if task == "label" else str | int):
        raise ValueError(f'{where} has "{found}" {short(value)}, expected the name of a class')
    return class_name(str(value), task)
