"""`--fresh`: earlier results are set aside before a study begins anew; nothing is deleted."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pyarrow import fs

from harness.cli.plan import Plan
from harness.cli.terminal import Terminal
from harness.tables.query import ARCHIVE_FOLDER, live_tables
from harness.tables.storage import Place, place_of


def set_aside(plan: Plan, terminal: Terminal) -> None:
    """Move the tables, checkpoints and pictures of earlier runs to `archive/` beside the study's folder."""
    name = f"{plan.study.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    if isinstance(plan.tables, str):
        _move_tables(plan.tables, name, terminal)
    _move_folder(plan.folder, name, terminal)


def _move_folder(folder: Path, name: str, terminal: Terminal) -> None:
    old = [path for path in folder.iterdir() if path.name != ".lock"]
    if not any(path.suffix == ".parquet" for path in old) and not (folder / "work").is_dir():
        return
    target = folder.parent / ARCHIVE_FOLDER / name
    target.mkdir(parents=True)
    for path in old:
        # The index of the data set was just written for this run.
        if not path.name.startswith("dataset-"):
            path.rename(target / path.name)
    terminal.note(f"earlier results are now in {target}")


def _move_tables(uri: str, name: str, terminal: Terminal) -> None:
    place = place_of(uri)
    tables = live_tables(place)
    if not tables and not place.child("work").is_folder:
        return
    target = replace(place, path=place.path.rstrip("/").rpartition("/")[0]).child(ARCHIVE_FOLDER, name)
    for found in tables:
        folder = target.child(*found.folders)
        place.filesystem.create_dir(folder.path, recursive=True)
        place.filesystem.move(found.place.path, folder.child(found.place.name).path)
    _move_copies(place, target)
    terminal.note(f"earlier tables are now in {target}")


def _move_copies(place: Place, target: Place) -> None:
    """Move the copies of checkpoints: trials that begin anew would go on from them."""
    work = place.child("work")
    selector = fs.FileSelector(work.path, recursive=True, allow_not_found=True)
    for info in place.filesystem.get_file_info(selector):
        if info.is_file:
            folder = target.child("work", *info.path[len(work.path) + 1 :].split("/")[:-1])
            place.filesystem.create_dir(folder.path, recursive=True)
            place.filesystem.move(info.path, folder.child(info.base_name).path)
