"""`tadscale report`: one self-contained HTML page per study, and its tables and figures as files for a paper."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError

if TYPE_CHECKING:
    from harness.analysis.report import Report

Places = list[tuple["Report", Path]]
"""Reports and the files that they are written to."""
Files = dict[Path, tuple[int, int]]
"""Size and time of files, which tell whether anything is new."""
ELSEWHERE = "://"
"""What tells a bucket from a folder."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "report",
        help="write a study as one HTML page",
        description="Write report.html beside the tables of each study: summary in words, sortable tables, figures, "
        "the paper's numbers, failures, provenance. The page needs no network and no other file.",
    )
    parser.add_argument(
        "study",
        nargs="?",
        metavar="STUDY",
        help="name of a study below --results, a folder, or a bucket such as s3://bucket/study (default: every study)",
    )
    parser.add_argument(
        "--results", default="results", metavar="DIR", help="folder or bucket of the results tables (default: results)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="page to write (default: report.html in the folder)"
    )
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the study's name)")
    parser.add_argument("--x", metavar="PATH", help="config path of the horizontal axis, e.g. data.window.frames")
    parser.add_argument("--by", metavar="PATH", help="config path that colours tell apart")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="DIR",
        help="also write every table as .md and .tex, every figure as .png and .svg",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--watch",
        type=_seconds,
        metavar="SECONDS",
        help="write anew whenever there are new results, until Ctrl-C; the page loads itself anew as often",
    )
    return parser


def run(given: argparse.Namespace) -> int:
    """Write the pages and say where they are."""
    from harness.analysis.report import file_name

    if given.watch is not None:
        return _watch(given)
    places = _write(given)
    for report, page in places:
        print(_line(report, page))
        if given.open:
            _open(page)
        if given.export:
            _export(report, given.export if len(places) == 1 else given.export / file_name(report.study))
    return 0


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of seconds above 0")
    return int(text)


def _write(given: argparse.Namespace, *, refresh_seconds: int | None = None) -> Places:
    """Write every page that was asked for."""
    from harness.analysis.report import gather, render, report_places, save

    places: Places = []
    for folder in _folders(given.study, given.results):
        reports = gather(folder, title=given.title, x=given.x, by=given.by)
        places += zip(reports, report_places(reports, given.output or _beside(folder)), strict=True)
    if len({page for _, page in places}) < len(places):
        names = ", ".join(sorted(report.study for report, _ in places))
        raise UserError(f"--output is one file for {len(places)} studies ({names}), expected STUDY to name one of them")
    for report, page in places:
        save(render(report, refresh_seconds=refresh_seconds), page)
    return places


def _folders(study: str | None, results: str) -> list[Path | str]:
    """Return where the tables are that a report is wanted of."""
    from harness.analysis.report import study_folders

    place = _place(study, results)
    if isinstance(place, str):
        return [place]
    found = list(study_folders(place)) if place.is_dir() else []
    if not found:
        known = sorted({folder.name for folder in study_folders(Path(results))}) if Path(results).is_dir() else []
        expected = f"one of {', '.join(known)} or a folder" if study and known else "a folder with results tables"
        raise UserError(f"{f'STUDY is {study}' if study else f'--results is {results}'}, expected {expected}")
    return [*found]


def _place(study: str | None, results: str) -> Path | str:
    """Return the folder or bucket that was named: a study below the results, or any folder."""
    if study is not None and ELSEWHERE in study:
        return study
    if ELSEWHERE in results:
        return results if study is None else f"{results.rstrip('/')}/{study}"
    if study is None:
        return Path(results)
    below = Path(results) / study
    return below if below.is_dir() else Path(study)


def _beside(folder: Path | str) -> Path:
    from harness.analysis.report import REPORT_NAME

    return Path(REPORT_NAME) if isinstance(folder, str) else folder / REPORT_NAME


def _open(page: Path) -> None:
    import webbrowser

    webbrowser.open(page.resolve().as_uri())


def _line(report: "Report", page: Path) -> str:
    finished = sum(row["state"] in ("finished", "stopped_early") for row in report.rows)
    return f"{page}: {report.study}, {finished} of {len(report.rows)} trials have a result"


def _export(report: "Report", folder: Path) -> None:
    from harness.analysis.export import write_tables
    from harness.analysis.plots import plot_report
    from harness.analysis.report import all_tables

    written = [*write_tables(all_tables(report), folder), *plot_report(report, folder)]
    print(f"{folder}: {len(written)} files")


def _watch(given: argparse.Namespace) -> int:
    """Write the pages whenever the tables change; on Ctrl-C once more, as pages that no longer load themselves anew."""
    seen: Files | None = None
    opened = not given.open
    try:
        while True:
            files = _files(_place(given.study, given.results))
            # Nothing tells whether a bucket has changed, so it is read every time.
            if files is None or (files and files != seen):
                for report, page in _write(given, refresh_seconds=given.watch):
                    print(_line(report, page), flush=True)
                    if not opened:
                        _open(page)
                opened = True
            elif not files and files != seen:
                print("waiting for the first trial to end", flush=True)
            seen = files
            time.sleep(given.watch)
    except KeyboardInterrupt:
        if seen != {}:
            _write(given)
    return 0


def _files(place: Path | str) -> Files | None:
    """Return size and time of every table file of trials; None where files cannot be listed."""
    from harness.analysis.report import study_folders

    if isinstance(place, str):
        return None
    found: Files = {}
    for folder in study_folders(place) if place.is_dir() else ():
        for path in folder.glob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):  # compacted since the folder was listed
                found[path] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found
