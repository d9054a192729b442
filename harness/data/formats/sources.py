"""Which annotations lie in a folder: files are recognised by what is in them, those that belong together are joined.

    files of a folder --kind_of--> kinds --sources_in--> sources, each of which reads as one listing

Only the name says which subset a CSV is of: it has train, val or test in it.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.data.files import read_json, read_text
from harness.data.formats import bmn, ego4d, epic, thumos14, tsp
from harness.data.formats.activitynet import WHAT, read_schema, read_videos
from harness.data.listing import Listing
from harness.data.spec import Task

Kind = Literal[
    "schema",
    "videos",
    "bmn",
    "bmn_videos",
    "ego4d",
    "thumos14",
    "epic",
    "epic_frames",
    "epic_info",
    "epic_lengths",
    "tsp",
    "tsp_videos",
]
SUFFIXES = (".json", ".json.gz", ".csv", ".csv.gz", ".txt")
THUMOS14_FILE = re.compile(r"[A-Za-z]+_(val|test)\.txt")
COLUMNS: tuple[tuple[Kind, Sequence[str]], ...] = (
    ("epic", epic.TIMES),
    ("epic_frames", epic.FRAMES),
    ("epic_info", epic.INFO),
    ("tsp", tsp.SEGMENTS),
    ("tsp_videos", tsp.VIDEOS),
    ("bmn_videos", bmn.VIDEOS),
    ("epic_lengths", epic.LENGTHS),
)
"""What the header of a CSV must have, the most telling first."""
SUBSETS = (("train", "training"), ("val", "validation"), ("test", "testing"))
FORMATS = ("ActivityNet", "OpenTAD", "THUMOS14", "EPIC-KITCHENS-100", "C2", "Ego4D", "TSP", "BMN", "RTD")
LARGEST_BYTES = 512 * 1024**2
"""A larger file is no annotation file."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Annotation files that make one listing."""

    files: tuple[Path, ...]
    read: Callable[[], Listing]

    @property
    def name(self) -> str:
        """Return the files' names, the first and how many more."""
        first, *others = self.files
        return f"{first.name} and {len(others)} more" if others else first.name


def sources_in(folder: Path, task: Task = "label") -> tuple[Source, ...]:
    """Return the annotations in a folder, or in the folders right below it whose name says annotation.

    Of OpenTAD's files for EPIC-Kitchens' verbs and nouns only that of the task is one.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}, expected annotation files in it")
    kinds: defaultdict[Kind, list[Path]] = defaultdict(list)
    for path in _files(folder):
        kind = kind_of(path)
        if kind is not None and not _of_another_task(path, task):
            kinds[kind].append(path)
    return tuple(_joined(kinds, task))


def source_of(path: Path, task: Task = "label") -> Source:
    """Return a single file, or a folder with one set of files, as a source.

    Raises:
        ValueError: the file cannot be read or is of no known format, or the folder has no set of files or several.
    """
    if path.is_dir():
        found = sources_in(path, task)
        if len(found) != 1:
            names = ", ".join(source.name for source in found) or "none"
            raise ValueError(f"{path} has {len(found)} sets of annotations ({names}), expected one")
        return found[0]
    if not path.exists():
        raise ValueError(f"there is no annotation file {path}")
    kind = kind_of(path, strict=True)
    found = _joined({kind: [path]}, task) if kind is not None else []
    if found:
        return found[0]
    if path.name.removesuffix(".gz").endswith(".json"):
        # Reading it as the schema says best what it lacks.
        return Source(files=(path,), read=partial(read_schema, path, task))
    raise ValueError(_refusal(path, kind, task))


def _refusal(path: Path, kind: Kind | None, task: Task) -> str:
    """Return why a file by itself is no source."""
    if kind in ("epic", "epic_frames") and task == "label":
        return f"{path} has verbs and nouns of EPIC-KITCHENS-100, expected one of the data sets epic_verb and epic_noun"
    if kind in ("epic", "epic_frames", "tsp") and _subset_of(path) is None:
        return f"{path} does not say which subset it is, expected train, val or test in its name"
    if kind is not None:
        return f"{path} only goes with other files; expected their folder"
    return f"{path} is no annotation file of a format that is known ({', '.join(FORMATS)})"


def kind_of(path: Path, *, strict: bool = False) -> Kind | None:
    """Return what a file is by its content; None if it is no annotation file.

    Args:
        path: The file.
        strict: Whether a file that cannot be read is an error; else it is no annotation file.

    Raises:
        ValueError: with `strict`, the file cannot be read.
    """
    try:
        if THUMOS14_FILE.fullmatch(path.name):
            return "thumos14"
        if path.name.removesuffix(".gz").endswith(".csv"):
            return _kind_of_csv(path)
        if path.name.removesuffix(".gz").endswith(".json") and path.stat().st_size <= LARGEST_BYTES:
            return _kind_of_json(read_json(path, WHAT))
    except (ValueError, OSError):
        if strict:
            raise
    return None


def _kind_of_csv(path: Path) -> Kind | None:
    header = [name.strip() for name in next(csv.reader(read_text(path, WHAT).splitlines()[:1]), [])]
    return next((kind for kind, columns in COLUMNS if set(columns) <= set(header)), None)


def _kind_of_json(value: Any) -> Kind | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("database"), dict):
        return "schema"
    if isinstance(value.get("videos"), list):
        return "ego4d" if any(isinstance(video, dict) and "clips" in video for video in value["videos"]) else None
    entries = [entry for entry in value.values() if isinstance(entry, dict)]
    if not entries or len(entries) < len(value) or not all("annotations" in entry for entry in entries):
        return None
    return "videos" if all("subset" in entry for entry in entries) else "bmn"


def _files(folder: Path) -> list[Path]:
    folders = [
        folder,
        *sorted(path for path in folder.iterdir() if path.is_dir() and "annotation" in path.name.lower()),
    ]
    return [
        path
        for place in folders
        for path in sorted(place.iterdir())
        if path.is_file() and path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")
    ]


def _of_another_task(path: Path, task: Task) -> bool:
    other = {"verb": "noun", "noun": "verb"}.get(task)
    return other is not None and other in path.name.lower() and task not in path.name.lower()


def _joined(kinds: Mapping[Kind, Sequence[Path]], task: Task) -> list[Source]:
    """Return the sources that files of these kinds make."""
    sources = [Source(files=(path,), read=partial(read_schema, path, task)) for path in kinds.get("schema", ())]
    sources += [Source(files=(path,), read=partial(_read_bare, path, task)) for path in kinds.get("videos", ())]
    for segments in kinds.get("bmn", ()):
        sources += [
            Source(files=(segments, videos), read=partial(bmn.read_bmn, segments, videos, task))
            for videos in kinds.get("bmn_videos", ())
        ]
    if clips := kinds.get("ego4d", ()):
        sources.append(Source(files=tuple(clips), read=partial(ego4d.read_ego4d, clips)))
    if texts := kinds.get("thumos14", ()):
        sources.append(Source(files=tuple(texts), read=partial(thumos14.read_thumos14, texts)))
    info, lengths = next(iter(kinds.get("epic_info", ())), None), next(iter(kinds.get("epic_lengths", ())), None)
    if task != "label":
        sources += _of_csvs(kinds.get("epic", ()), partial(epic.read_epic, task=task, info=info))
        sources += _of_csvs(
            kinds.get("epic_frames", ()), partial(epic.read_epic_frames, task=task, info=info, lengths=lengths)
        )
    if kinds.get("tsp") or kinds.get("tsp_videos"):
        videos = _by_subset(kinds.get("tsp_videos", ()))
        sources += _of_csvs(kinds.get("tsp", ()), partial(tsp.read_tsp, videos), tuple(videos))
    return sources


def _of_csvs(
    paths: Sequence[Path], read: Callable[[Mapping[Path, str]], Listing], others: Sequence[Path] = ()
) -> list[Source]:
    subsets = _by_subset(paths)
    return [Source(files=(*subsets, *others), read=partial(read, subsets))] if subsets else []


def _by_subset(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the subset that each file's name says, training first; a file whose name says none is left out."""
    order = [name for _, name in SUBSETS]
    found = {path: subset for path in paths if (subset := _subset_of(path)) is not None}
    return dict(sorted(found.items(), key=lambda item: order.index(item[1])))


def _subset_of(path: Path) -> str | None:
    return next((subset for part, subset in SUBSETS if part in path.name.lower()), None)


def _read_bare(path: Path, task: Task) -> Listing:
    return read_videos(read_json(path, WHAT), path, task, "the videos of the ActivityNet schema without its root")
