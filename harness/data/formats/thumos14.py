"""THUMOS14's original text files: `CLASS_val.txt` and `CLASS_test.txt`, rows `video start end` in seconds."""

from collections.abc import Sequence
from pathlib import Path

from harness.data.files import number_of, read_text
from harness.data.listing import Lister, Listing

SUBSETS = {"val": "validation", "test": "test"}


def read_thumos14(paths: Sequence[Path]) -> Listing:
    """Read the challenge's files of any subset; `Ambiguous` is a label like the others here.

    A video without any row is not known from them, nor is any video's duration.

    Raises:
        ValueError: a row is not what is expected.
    """
    lister = Lister()
    for path in paths:
        label, _, part = path.name.removesuffix(".txt").rpartition("_")
        for number, line in enumerate(read_text(path, "annotation file").splitlines(), start=1):
            if line.strip():
                _add_row(lister, label, SUBSETS[part], line.split(), f"{path} line {number}")
    return lister.listing("THUMOS14's text files", tuple(paths))


def _add_row(lister: Lister, label: str, subset: str, values: list[str], where: str) -> None:
    if len(values) != 3:
        raise ValueError(f"{where} is {' '.join(values)!r}, expected video, start and end")
    video_id, start, end = values
    start_s, end_s = (number_of(value, f"{where} has", " of seconds") for value in (start, end))
    lister.video(video_id, subset, where)
    lister.action(video_id, start_s, end_s, label, where)
