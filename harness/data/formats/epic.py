"""EPIC-KITCHENS-100's CSVs: the official ones with times of day, and those of the C2 baseline with frames.

| file | columns that tell it | what is read |
|---|---|---|
| `EPIC_100_train.csv`, `..._validation.csv` | `video_id`, `start_timestamp`, `verb_class` | segments in seconds |
| `EPIC_100_test_timestamps.csv` | the same without classes | videos only |
| C2's `training.csv`, `validation.csv` | `video`, `start`, `stop`, `verb`, `noun` | segments in frames |
| `EPIC_100_video_info.csv` | `video_id`, `duration`, `fps` | duration of each video |
| C2's `video_lengths.csv` | `video`, `frames` | its number of frames, of which C2's segments are |

C2's frames are of videos at about 30 per second: exactly, a video's frames over its duration; 30 where either is not
known. Classes go by their number.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.data.classes import class_name
from harness.data.files import number_of, read_rows, short
from harness.data.listing import Lister, Listing
from harness.data.spec import Task

CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
C2_FPS = 30.0
UNLABELLED = "segment without a class"

TIMES = ("video_id", "start_timestamp", "stop_timestamp")
FRAMES = ("video", "start", "stop", "verb", "noun")
INFO = ("video_id", "duration", "fps")
LENGTHS = ("video", "frames")


def read_epic(segments: Mapping[Path, str], task: Task, info: Path | None = None) -> Listing:
    """Read the official files.

    Args:
        segments: Subset of each file with segments.
        task: `verb` or `noun`.
        info: The file with the videos' durations, if there is one.

    Raises:
        ValueError: a column is missing, or a value is not what is expected.
    """
    lister, durations = Lister(), _durations(info)
    for path, subset in segments.items():
        for where, row in read_rows(path, TIMES, "EPIC-KITCHENS-100's segments"):
            video_id = row["video_id"]
            lister.video(video_id, subset, where, duration_s=durations.get(video_id))
            start_s, end_s = (_clock(row[name], where) for name in TIMES[1:])
            if f"{task}_class" in row:
                lister.action(video_id, start_s, end_s, _class(row[f"{task}_class"], task, where), where)
            else:
                lister.left_out[UNLABELLED] += 1
    return lister.listing("EPIC-KITCHENS-100's CSVs", (*segments, *([info] if info else [])))


def read_epic_frames(
    segments: Mapping[Path, str], task: Task, info: Path | None = None, lengths: Path | None = None
) -> Listing:
    """Read the files with frame columns.

    Args:
        segments: Subset of each file with segments.
        task: `verb` or `noun`.
        info: The file with the videos' durations, if there is one.
        lengths: The file with the videos' numbers of frames, if there is one.

    Raises:
        ValueError: a column is missing, or a value is not what is expected.
    """
    lister, durations = Lister(), _durations(info)
    frames = _numbers(lengths, LENGTHS) if lengths else {}
    for path, subset in segments.items():
        for where, row in read_rows(path, FRAMES, "C2's segments"):
            video_id = row["video"]
            duration_s = durations.get(video_id)
            fps = frames[video_id] / duration_s if video_id in frames and duration_s else C2_FPS
            lister.video(video_id, subset, where, duration_s=duration_s, fps=fps)
            start, stop = (number_of(row[name], f"{where} has", " of frames") for name in ("start", "stop"))
            lister.action(video_id, start / fps, stop / fps, _class(row[task], task, where), where)
    files = (*segments, *(path for path in (info, lengths) if path))
    return lister.listing("EPIC-KITCHENS-100's segments in frames (C2)", files)


def _durations(info: Path | None) -> dict[str, float]:
    return _numbers(info, INFO) if info else {}


def _numbers(path: Path, columns: Sequence[str]) -> dict[str, float]:
    """Return the second column's number by the first one's name."""
    name, number = columns[:2]
    rows = read_rows(path, columns, "a list of videos")
    return {row[name]: number_of(row[number], f"{where} has {number}") for where, row in rows}


def _clock(value: str, where: str) -> float:
    clock = CLOCK.fullmatch(value.strip())
    if clock is None:
        raise ValueError(f"{where} has the time {short(value)}, expected one like 00:01:02.50")
    hours, minutes, seconds = map(float, clock.groups())
    return hours * 3600 + minutes * 60 + seconds


def _class(value: str, task: Task, where: str) -> str:
    if not value.strip().isdecimal():
        raise ValueError(f"{where} has the {task} {short(value)}, expected the number of a class")
    return class_name(value.strip(), task)
