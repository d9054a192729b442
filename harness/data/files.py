"""Reading small text files that people wrote or edited: JSON, CSV, plain lines, gzipped or not.

Whatever is wrong with a file is one `ValueError` that names it and, where there is one, the line.
"""

import csv
import gzip
import io
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.atomic import whole_file

GZIP = b"\x1f\x8b"
TEXT_TIME = "time written as text"
"""What is counted where a time is a number in quotes."""


def read_text(path: Path, what: str) -> str:
    """Return a file's text, unpacked; the error calls the file `what`."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == GZIP else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"there is no {what} {path}") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(f"cannot read the {what} {path}: {_cause(error)}") from None


def read_json(path: Path, what: str) -> Any:
    """Return a JSON file's value; the error calls the file `what` and names the line at fault."""
    text = read_text(path, what)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"{path} is no {what}: its values are nested too deeply") from None
    except ValueError as error:
        # Python refuses numbers of thousands of digits.
        raise ValueError(f"{path} is not JSON that can be read: {error}") from None


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_rows(path: Path, columns: Sequence[str], what: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a CSV's rows as (place for messages, {column: value}).

    Args:
        path: The file; its first line names the columns.
        columns: Those that must be there.
        what: What the file is, for messages.

    Raises:
        ValueError: a column is missing, or a row has another number of values than the header.
    """
    # Not strict, a quote that is never closed would swallow the rest of the file in silence.
    rows = csv.reader(io.StringIO(read_text(path, what), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(f"{path} has no column {missing[0]!r}, expected {what} with {', '.join(columns)}")
        for values in rows:
            where = f"{path} line {rows.line_num}"
            if not values:
                continue
            if len(values) != len(header):
                raise ValueError(f"{where} has {len(values)} values, expected {len(header)} as the first line has")
            yield where, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} line {rows.line_num} is not CSV: {error}") from None


def seconds_of(value: object, where: str, repairs: Counter[str]) -> float:
    """Return a time that was read; a number in quotes counts as one, and is counted.

    Raises:
        ValueError: it is no number, or not a finite one.
    """
    number = number_of(value, where, " of seconds")
    if isinstance(value, str):
        repairs[TEXT_TIME] += 1
    return number


def number_of(value: object, where: str, unit: str = "") -> float:
    """Return a number, written as such or as text.

    Raises:
        ValueError: it is none, or not a finite one.
    """
    number = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{where} {short(value)}, expected a finite number{unit}")
    return number


def short(value: object) -> str:
    """Return a value as it stands in a message: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
