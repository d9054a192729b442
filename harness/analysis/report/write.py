"""From a results folder to report.html: which studies there are, and a file that is there whole or not at all."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.analysis.report.gather import Report, gather
from harness.analysis.report.page import render
from harness.atomic import whole_file
from harness.tables import ARCHIVE_FOLDER
from harness.tables.write import CURVES_FOLDER

REPORT_NAME = "report.html"


def write_report(
    folder: Path | str,
    path: Path | str | None = None,
    *,
    title: str | None = None,
    x: str | None = None,
    by: str | None = None,
    refresh_seconds: int | None = None,
) -> list[Path]:
    """Write a report for each study whose tables are in the folder and return the files.

    Args:
        folder: A study's folder, or where tables are kept elsewhere: `s3://bucket/study`.
        path: File to write; None for report.html in the folder. Where the folder holds several studies their names
            are put between the file's name and its ending.
        title: Of the page; the study's name when None.
        x: Config path of the horizontal axis; chosen from what varies when None.
        by: Config path that colours tell apart; likewise.
        refresh_seconds: The page loads itself anew this often, for a study that is running.

    Raises:
        ValueError: the folder holds no results, or `x` or `by` is no config path.
    """
    reports = gather(folder, title=title, x=x, by=by)
    target = Path(path) if path is not None else Path(folder) / REPORT_NAME
    return [
        save(render(report, refresh_seconds=refresh_seconds), place)
        for report, place in zip(reports, report_places(reports, target), strict=True)
    ]


def report_places(reports: Sequence[Report], target: Path) -> list[Path]:
    """Return the file of each report: `target`, or with several studies one beside it for each."""
    if len(reports) == 1:
        return [target]
    return [target.with_name(f"{target.stem}-{file_name(report.study)}{target.suffix}") for report in reports]


def file_name(study: str) -> str:
    """Return a study's name as part of a file's: it comes out of a table and must not lead out of the folder."""
    return re.sub(r"[^\w-]+", "_", study)


def study_folders(root: Path) -> Iterator[Path]:
    """Yield the folders at or below `root` that hold trials, except what `--fresh` set aside."""
    folders = {path.parent for path in root.rglob("*.parquet")}
    for folder in sorted(folders):
        if folder.name != CURVES_FOLDER and ARCHIVE_FOLDER not in folder.relative_to(root).parts:
            yield folder


def save(text: str, path: Path) -> Path:
    """Write a page so that who opens or reloads `path` sees the old one or the new one."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
