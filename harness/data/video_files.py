"""Video files of a folder: which belongs to which video id, and a digest that notices when one is replaced."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm"}
    | {".wmv"}
)
ENDS_BYTES = 64 * 1024


def match_files(root: Path, video_ids: Sequence[str]) -> dict[str, Path]:
    """Return the file of each video that has one.

    Raises:
        ValueError: there is no video file at all, or two for one video.
    """
    by_stem = files_by_stem(root)
    if not by_stem:
        raise ValueError(f"there are no video files in {root} or below it")
    files: dict[str, Path] = {}
    for video_id in video_ids:
        found = files_of(video_id, by_stem)
        if len(found) > 1:
            raise ValueError(f"video {video_id!r} could be {found[0]} or {found[1]}, expected one file of that name")
        if found:
            files[video_id] = found[0]
    return files


def files_by_stem(root: Path) -> dict[str, list[Path]]:
    """Return the video files in a folder and below it, by their names without suffix."""
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _video_files(root):
        by_stem[path.stem].append(path)
    return dict(by_stem)


def files_of(video_id: str, by_stem: Mapping[str, list[Path]]) -> list[Path]:
    """Return the files that are called like a video: an exact name goes first, then one with or without `v_`.

    ActivityNet's files are called v_ID, its ids sometimes too.
    """
    for stem in (video_id, f"v_{video_id}", video_id.removeprefix("v_")):
        if stem in by_stem:
            return by_stem[stem]
    return []


def digest_of_file(path: Path) -> str:
    """Digest size, head and tail: enough to notice a re-encoded, cut or replaced video without reading terabytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(f"{size} ".encode())
            file.seek(0)
            digest.update(file.read(ENDS_BYTES))
            file.seek(max(0, size - ENDS_BYTES))
            digest.update(file.read(ENDS_BYTES))
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return digest.hexdigest()


def _video_files(root: Path) -> Iterator[Path]:
    """Yield video files below a folder in a fixed order, through links too, but no folder twice."""
    entered: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in entered else sorted(name for name in folders if not name.startswith("."))
        if real in entered:
            continue
        entered.add(real)
        for file in sorted(names):
            if not file.startswith(".") and Path(file).suffix.lower() in VIDEO_SUFFIXES:
                yield Path(folder, file)
