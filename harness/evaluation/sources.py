"""Annotations in other forms than the ActivityNet schema: THUMOS14's text files and EPIC-Kitchens' CSV."""

import csv
import gzip
import re
import zlib
from pathlib import Path

from harness.evaluation.ground_truth import UNSCORED, GroundTruth, number_of
from harness.evaluation.settings import Task

CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)")


def read_thumos14_folder(folder: Path) -> GroundTruth:
    """Read the challenge's files `CLASS_test.txt` or `CLASS_val.txt`, rows `video start end` in seconds.

    A video without any row is not known from them.

    Raises:
        ValueError: there are no such files, or a row is not what is expected.
    """
    files = sorted(path for path in folder.glob("*.txt") if path.stem.endswith(("_test", "_val")))
    if not files:
        raise ValueError(f"{folder} has no CLASS_test.txt or CLASS_val.txt, expected THUMOS14's annotation files")
    truth = GroundTruth(subset=" and ".join(sorted({path.stem.rpartition("_")[2] for path in files})), actions={})
    for path in files:
        label = path.stem.rpartition("_")[0]
        for number, line in enumerate(_text(path).splitlines(), start=1):
            if line.strip():
                _add_row(truth, label, line.split(), f"{path} line {number}")
    return truth


def read_epic_csv(path: Path, task: Task) -> GroundTruth:
    """Read EPIC-KITCHENS-100's `EPIC_100_validation.csv` (gzip too); labels are class numbers, `verb,noun` for actions.

    Raises:
        ValueError: a column is missing, or a value is not what is expected.
    """
    rows = csv.DictReader(_text(path).splitlines())
    wanted = ["video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class"]
    missing = [name for name in wanted if name not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]}, expected EPIC-KITCHENS-100's {', '.join(wanted)}")
    truth = GroundTruth(subset=path.name.split(".")[0], actions={})
    for number, row in enumerate(rows, start=2):
        where = f"{path} line {number}"
        verb, noun = (_class(row[name], f"{where}: {name}") for name in ("verb_class", "noun_class"))
        label = {"verb": verb, "noun": noun}.get(task, f"{verb},{noun}")
        segment = [_seconds(row[name], f"{where}: {name}") for name in ("start_timestamp", "stop_timestamp")]
        truth.actions.setdefault(row["video_id"], []).append((segment[0], segment[1], label))
    if not truth.actions:
        raise ValueError(f"{path} has no row, expected at least one")
    return truth


def _add_row(truth: GroundTruth, label: str, fields: list[str], where: str) -> None:
    if len(fields) != 3:
        raise ValueError(f"{where} is {' '.join(fields)!r}, expected video, start and end")
    video_id, start, end = fields[0], number_of(fields[1], f"{where}: start"), number_of(fields[2], f"{where}: end")
    if label == UNSCORED:
        truth.ambiguous.setdefault(video_id, []).append((start, end))
    else:
        truth.actions.setdefault(video_id, []).append((start, end, label))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _class(value: str | None, where: str) -> str:
    if value is None or not value.strip().isdigit():
        raise ValueError(f"{where} is {value!r}, expected a class number")
    return str(int(value))


def _seconds(value: str | None, where: str) -> float:
    clock = CLOCK.fullmatch((value or "").strip())
    if clock is None:
        raise ValueError(f"{where} is {value!r}, expected a time like 00:01:02.50")
    hours, minutes, seconds = map(float, clock.groups())
    return hours * 3600 + minutes * 60 + seconds
