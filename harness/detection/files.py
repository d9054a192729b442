"""The file between the detector and whoever scores or shows its detections: ActivityNet's result schema.

    {"version": ..., "external_data": ..., "results": {video: [{"segment": [s, e], "label": ..., "score": ...}, ...]}}

Written with full precision, so that evaluating the file gives the same mAP to the last digit. Read with forgiveness:
gzip, numbers in quotes, EPIC-Kitchens' `verb` and `noun` in place of `label`. Where a video is listed twice the later
entry counts, as everywhere in JSON.
"""

import gzip
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.atomic import whole_file

Row = tuple[float, float, str, float]
"""Start and end in seconds, label, score."""
Rows = list[Row]
"""A video's detections as the evaluator takes them."""
LabelKey = Literal["label", "verb", "noun", "action"]
VERSION = "VERSION 1.3"
"""Of ActivityNet's schema; some readers want the key."""
LARGEST_BYTES = 4 * 2**30
"""More text than this, unpacked, is taken for a mistake rather than read."""


class MalformedDetections(ValueError):
    """A detection file that cannot be used, and why."""


def write_detections(
    path: Path,
    detections: Mapping[str, Sequence[Row]],
    *,
    version: str = VERSION,
    external_data: Mapping[str, object] | None = None,
) -> None:
    """Write the ActivityNet result file, all or nothing: a reader never sees half of it."""
    document = {**document_of(detections), "version": version, "external_data": dict(external_data or {})}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, allow_nan=False)


def document_of(detections: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Return what a result file of these detections holds."""
    results = {
        video_id: [
            {"segment": [start_s, end_s], "label": label, "score": score} for start_s, end_s, label, score in rows
        ]
        for video_id, rows in detections.items()
    }
    return {"version": VERSION, "external_data": {}, "results": results}


def read_detections(path: Path, label_key: LabelKey = "label") -> dict[str, Rows]:
    """Read a result file of any ActivityNet-style tool.

    Args:
        path: JSON, gzipped or not.
        label_key: What to take for the label; `action` is EPIC-Kitchens' verb and noun as `verb,noun`.

    Raises:
        MalformedDetections: the file cannot be read, is not JSON, or lacks a value; the message names the place.
    """
    return detections_of(read_document(path), str(path), label_key)


def detections_of(document: object, place: str, label_key: LabelKey = "label") -> dict[str, Rows]:
    """Return the detections of what a result file holds; see `read_detections`."""
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise MalformedDetections(f'{place} lacks results, expected {{"results": {{video: [...]}}}}')
    return {video_id: _rows(rows, f"{place}: ", video_id, label_key) for video_id, rows in results.items()}


def read_document(path: Path) -> Any:
    """Read a JSON file, gzipped or not.

    Raises:
        MalformedDetections: one sentence that says what keeps it from being read.
    """
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise MalformedDetections(
            f"{path} is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise MalformedDetections(f"{path} is nested too deeply to be read") from None
    except MalformedDetections:
        raise
    except ValueError as error:
        # What Python says of a whole number with thousands of digits.
        raise MalformedDetections(f"{path} is not usable JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise MalformedDetections(f"{path} is not a file, expected JSON")
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(LARGEST_BYTES + 1)
        elif path.suffix == ".gz":
            raise MalformedDetections(f"{path} is not gzip, although its name ends in .gz")
        if len(data) > LARGEST_BYTES:
            raise MalformedDetections(f"{path} holds more than {LARGEST_BYTES // 2**30} GiB, expected less")
        if not data.strip():
            raise MalformedDetections(f"{path} is empty, expected JSON")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedDetections(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except FileNotFoundError:
        raise MalformedDetections(f"there is no file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise MalformedDetections(f"{path} cannot be read: {reason}") from None


def _rows(rows: object, place: str, video_id: str, label_key: LabelKey) -> Rows:
    if not isinstance(rows, list):
        raise MalformedDetections(f"{place}the results of {video_id} are {_short(rows)}, expected a list")
    quick = _plain_rows(rows, label_key)
    if quick is not None:
        return quick
    return [_row(row, f"{place}detection {index} of {video_id}", label_key) for index, row in enumerate(rows)]


def _plain_rows(rows: list[Any], label_key: LabelKey) -> Rows | None:
    """Return the rows if all of them are of the usual types: several times as fast as looking at each closely."""
    try:
        plain = [(start, end, row[label_key], row["score"]) for row in rows for start, end in (row["segment"],)]
    except (KeyError, TypeError, ValueError):
        return None
    usual = all(
        type(start) is float
        and type(end) is float
        and type(score) is float
        and type(label) is str
        and math.isfinite(start + end + score)
        for start, end, label, score in plain
    )
    return plain if usual and label_key == "label" else None


def _row(row: Any, place: str, label_key: LabelKey) -> Row:
    try:
        start_s, end_s = row["segment"]
        label, numbers = _label(row, label_key), (_number(start_s), _number(end_s), _number(row["score"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise MalformedDetections(
            f"{place} is {_short(row)}, expected segment [start, end], {label_key} and score"
        ) from None
    if label is None or not all(map(math.isfinite, numbers)):
        raise MalformedDetections(f"{place} is {_short(row)}, expected a label in words and finite numbers")
    return numbers[0], numbers[1], label, numbers[2]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return float(value)


def _label(row: Mapping[str, Any], key: LabelKey) -> str | None:
    """Return the label, of EPIC-Kitchens' classes (`3`, `"3"`, `"id_3"`) the number; None for what is no label."""
    if key == "label":
        return row["label"] if isinstance(row["label"], str) else None
    if key == "action":
        names = (_class_name(row["verb"]), _class_name(row["noun"]))
        return None if None in names else ",".join(map(str, names))
    return _class_name(row[key] if key in row else row["label"])


def _class_name(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).removeprefix("id_")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
