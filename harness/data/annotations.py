"""Annotations in the ActivityNet schema: reading with stated repairs, and writing.

    {"database": {video_id: {"subset": str, "duration": seconds,
                             "annotations": [{"segment": [start_s, end_s], "label": str}, ...]}}}

What a person must mend (not JSON, no subset, a label outside the class list, a time that is no number) is one
`ValueError`. Flaws that published annotations are known to have are mended here by these rules, and counted:

| flaw | rule | counted as |
|---|---|---|
| a time is a number in quotes | read as a number | `time written as text` |
| end at or before start | action dropped | `end not after start` |
| start before 0 | start becomes 0; dropped if nothing is left | `start before 0` |
| end past the video's duration | end becomes the duration | `end past the video's end` |
| start at or past the duration | action dropped | `start past the video's end` |
| same segment and label twice | kept once | `exact duplicate` |
| duration missing, or not more than 0 | taken from the video file | `duration unknown` |
| label `Ambiguous` outside the class list | action dropped (THUMOS14 marks unscored stretches so) | `label Ambiguous` |
"""

import gzip
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

UNSCORED = "Ambiguous"
"""THUMOS14's label for stretches that count neither for nor against; a class only if the class list says so."""

END_TOLERANCE_S = 0.05
"""An end this little past the video's end is rounding: clipped like the others, but not reported."""


@dataclass(frozen=True, kw_only=True, order=True)
class Action:
    """A labelled segment of a video."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, kw_only=True)
class VideoAnnotation:
    """What the annotation file says of one video."""

    video_id: str
    subset: str
    duration_s: float | None
    """None: the file does not say; the video file decides."""
    actions: tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """A whole annotation file, mended."""

    videos: tuple[VideoAnnotation, ...]
    classes: tuple[str, ...]
    repairs: dict[str, int]
    """How often each rule of the module's table was applied."""


def read_classes(path: Path) -> tuple[str, ...]:
    """Read a class list: one label per line, the line number is the class index.

    Raises:
        ValueError: the file cannot be read, is empty, or lists a label twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the class list {path}: {_cause(error)}") from None
    classes = tuple(line.strip() for line in lines if line.strip())
    if not classes:
        raise ValueError(f"the class list {path} is empty, expected one label per line")
    label, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the class list {path} names {label!r} {times} times, expected each label once")
    return classes


def read_annotations(path: Path, classes: Sequence[str] | None = None) -> Annotations:
    """Read an ActivityNet-schema file (gzip too), mending known flaws by the rules above.

    Args:
        path: The JSON file.
        classes: The class list; None: all labels of all subsets, sorted.

    Raises:
        ValueError: one sentence that names the file and the video, label or line at fault.
    """
    database = _read_database(path)
    repairs: Counter[str] = Counter()
    if classes is None:
        labels = {action.get("label") for entry in database.values() for action in _actions_of(entry)}
        classes = tuple(sorted(label for label in labels if isinstance(label, str) and label != UNSCORED))
        if not classes:
            raise ValueError(f"{path} has no labelled action in any video")
    known = frozenset(classes)
    videos = tuple(_read_video(path, video_id, entry, known, repairs) for video_id, entry in database.items())
    return Annotations(videos=videos, classes=tuple(classes), repairs=dict(repairs))


def clip_actions(
    actions: Iterable[Action], duration_s: float, repairs: Counter[str], tolerance_s: float = END_TOLERANCE_S
) -> tuple[Action, ...]:
    """Cut actions to the video's duration, dropping what starts past it and what then is there twice; counted."""
    kept = []
    for action in actions:
        if action.start_s >= duration_s:
            repairs["start past the video's end"] += 1
            continue
        if action.end_s > duration_s:
            if action.end_s > duration_s + tolerance_s:
                repairs["end past the video's end"] += 1
            action = replace(action, end_s=duration_s)
        kept.append(action)
    return _unique(kept, repairs)


def write_annotations(path: Path, videos: Iterable[VideoAnnotation], version: str = "tadscale") -> None:
    """Write an ActivityNet-schema file, whole or not at all."""
    database = {
        video.video_id: {
            "subset": video.subset,
            **({} if video.duration_s is None else {"duration": video.duration_s}),
            "annotations": [{"segment": [a.start_s, a.end_s], "label": a.label} for a in video.actions],
        }
        for video in videos
    }
    write_json(path, {"version": version, "database": database})


def write_json(path: Path, value: object) -> None:
    """Write JSON under a temporary name, flush it to disk and rename it, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp gives 0600, which would hide a shared cache from the group.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file, gzipped or not; a ValueError calls the file `what` and names the line at fault."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"there is no {what} {path}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the {what} {path}: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _read_database(path: Path) -> dict[str, Any]:
    root = read_json(path, "annotation file")
    database = root.get("database") if isinstance(root, dict) else None
    if not isinstance(database, dict):
        raise ValueError(f'{path} has no "database" object, expected the ActivityNet schema')
    if not database:
        raise ValueError(f'{path} has an empty "database", expected at least one video')
    return database


def _actions_of(entry: object) -> list[dict[str, Any]]:
    """Return the annotation objects that can be looked at; what is wrong with the others is said later."""
    actions = entry.get("annotations") if isinstance(entry, dict) else None
    return [action for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []


def _read_video(
    path: Path, video_id: str, entry: Any, classes: frozenset[str], repairs: Counter[str]
) -> VideoAnnotation:
    where = f"{path}: video {video_id!r}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {entry!r}, expected an object")
    if not isinstance(entry.get("subset"), str):
        raise ValueError(f'{where} has no "subset"')
    # Test videos of some data sets come without the key.
    raw = entry.get("annotations", [])
    if not isinstance(raw, list):
        raise ValueError(f'{where} has "annotations" {raw!r}, expected a list')
    duration_s = _read_duration(where, entry.get("duration"), repairs)
    actions = [a for number, item in enumerate(raw) if (a := _read_action(where, number, item, classes, repairs))]
    mended = _unique(actions, repairs) if duration_s is None else clip_actions(actions, duration_s, repairs)
    return VideoAnnotation(video_id=video_id, subset=entry["subset"], duration_s=duration_s, actions=mended)


def _unique(actions: Sequence[Action], repairs: Counter[str]) -> tuple[Action, ...]:
    unique = tuple(dict.fromkeys(actions))
    _count(repairs, "exact duplicate", len(actions) - len(unique))
    return unique


def _read_duration(where: str, value: object, repairs: Counter[str]) -> float | None:
    duration_s = None if value is None else _seconds(f'{where} has "duration"', value, repairs)
    if duration_s is None or duration_s <= 0:
        _count(repairs, "duration unknown")
        return None
    return duration_s


def _read_action(where: str, number: int, item: Any, classes: frozenset[str], repairs: Counter[str]) -> Action | None:
    where = f"{where}, annotation {number + 1},"
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} is {item!r}, expected an object")
    missing = [key for key in ("segment", "label") if key not in item]
    if missing:
        raise ValueError(f'{where} has no "{missing[0]}"')
    label, segment = item["label"], item["segment"]
    if label == UNSCORED and label not in classes:
        _count(repairs, f"label {UNSCORED}")
        return None
    if label not in classes:
        raise ValueError(f"{where} has label {label!r}, which is not in the class list")
    if not isinstance(segment, list) or len(segment) != 2:
        raise ValueError(f'{where} has "segment" {segment!r}, expected [start, end] in seconds')
    start_s, end_s = (_seconds(f'{where} has "segment"', value, repairs) for value in segment)
    if end_s <= start_s:
        _count(repairs, "end not after start")
        return None
    if start_s < 0:
        _count(repairs, "start before 0")
        start_s = 0.0
        if end_s <= 0:
            return None
    return Action(start_s=start_s, end_s=end_s, label=label)


def _seconds(where: str, value: object, repairs: Counter[str]) -> float:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{where} {value!r}, expected seconds") from None
        _count(repairs, "time written as text")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"{where} {value!r}, expected seconds")
    if not math.isfinite(number):
        raise ValueError(f"{where} {value!r}, expected a finite number of seconds")
    return number


def _count(repairs: Counter[str], kind: str, times: int = 1) -> None:
    if times:
        repairs[kind] += times
