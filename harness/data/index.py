"""A data set as a value: annotated videos that were found and measured, and those that were set aside.

    folder -> annotations in any known format, classes.txt, videos anywhere below
           -> match files to video ids -> probe every file -> Dataset -> index file (JSON)

The index is what trials read: a worker needs no probing and no annotation file.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.annotations import Action, Annotations, clip_actions
from harness.data.datasets import DATASETS
from harness.data.files import read_json, write_json
from harness.data.opening import open_annotations
from harness.data.probe import PROBE_TIMEOUT_S, info_from_json, probe_videos
from harness.data.video_files import digest_of_file, match_files
from harness.data.video_info import UnreadableVideo, VideoInfo

INDEX_VERSION = 2
NAMED = 5
"""How many of many culprits an error names."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video that can be read, with its actions inside the file's duration."""

    video_id: str
    path: Path
    subset: str
    info: VideoInfo
    actions: tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """An annotated video that cannot be used."""

    video_id: str
    path: Path | None
    """None: no file was found."""
    reason: str
    subset: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Videos, in the annotation file's order, and what had to be left out or mended."""

    name: str
    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    quarantined: tuple[Quarantined, ...]
    repairs: dict[str, int]
    """Kind of flaw -> how often it was mended (annotations.py lists the rules)."""
    fingerprint: str
    """Identity of annotations, classes and files: the same on every machine that holds the same files."""

    def subset(self, name: str) -> tuple[Video, ...]:
        """Return the videos of one subset."""
        return tuple(video for video in self.videos if video.subset == name)


def prepare_dataset(
    name: str,
    root: Path,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    train_subset: str = "training",
    test_subset: str = "validation",
    blocked: Sequence[str] = (),
    max_unreadable: float = 0.5,
    probe_timeout_s: float = PROBE_TIMEOUT_S,
) -> Dataset:
    """Open a folder of videos with `annotations.json` or the data set's own annotation files, perhaps `classes.txt`.

    A file belongs to the video id that equals its name without suffix (with or without ActivityNet's `v_`). Videos
    of other subsets than the two are ignored. The result is kept in `cache`, so the next call opens no video.

    Args:
        name: A `DatasetName`.
        root: The folder; videos may lie anywhere below it.
        cache: Folder for the index.
        progress: Called with (files probed, files in all).
        train_subset: The subset to train on.
        test_subset: The subset to test on.
        blocked: Videos to leave out.
        max_unreadable: A subset with a larger share of unusable videos is an error.
        probe_timeout_s: Longest time for one file.

    Raises:
        ValueError: one sentence that says what is wrong with the folder or the annotations.
    """
    if name not in DATASETS:
        raise ValueError(f"data.name is {name!r}, expected one of {', '.join(DATASETS)}")
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}, expected videos and annotations.json in it")
    annotations = open_annotations(root, DATASETS[name], (train_subset, test_subset), blocked)
    wanted = tuple(video for video in annotations.videos if video.subset in (train_subset, test_subset))
    annotations = replace(annotations, videos=wanted)
    files = match_files(root, [video.video_id for video in wanted])
    digests = {video_id: digest_of_file(path) for video_id, path in files.items()}
    fingerprint = _fingerprint(annotations, digests)
    index = cache / _index_name(name, fingerprint, root, files)
    dataset = _load_if_sound(index)
    if dataset is None:
        dataset, settled = _probe_all(name, annotations, files, fingerprint, probe_timeout_s, progress)
        # A file that was only too slow gets another chance next time.
        if settled:
            save_index(dataset, index)
    for subset in dict.fromkeys((train_subset, test_subset)):
        _check_subset(dataset, subset, max_unreadable)
    return dataset


def save_index(dataset: Dataset, path: Path) -> None:
    """Write a data set as JSON, whole or not at all."""
    write_json(path, {"version": INDEX_VERSION, **_plain(asdict(dataset))})


def load_index(path: Path) -> Dataset:
    """Read what `save_index` wrote."""
    value = read_json(path, "data set index")
    if not isinstance(value, dict) or value.get("version") != INDEX_VERSION:
        raise ValueError(f"{path} is not a data set index of version {INDEX_VERSION}; delete it to have it made anew")
    return Dataset(
        name=value["name"],
        classes=tuple(value["classes"]),
        videos=tuple(_video_from_json(item) for item in value["videos"]),
        quarantined=tuple(
            Quarantined(**{**item, "path": None if item["path"] is None else Path(item["path"])})
            for item in value["quarantined"]
        ),
        repairs=value["repairs"],
        fingerprint=value["fingerprint"],
    )


def _load_if_sound(path: Path) -> Dataset | None:
    """Return a cached index; a missing or damaged one is simply made anew."""
    try:
        return load_index(path) if path.is_file() else None
    except (ValueError, KeyError, TypeError):
        return None


def _video_from_json(item: dict[str, Any]) -> Video:
    return Video(
        video_id=item["video_id"],
        path=Path(item["path"]),
        subset=item["subset"],
        info=info_from_json(item["info"]),
        actions=tuple(Action(**action) for action in item["actions"]),
    )


def _plain(value: Any) -> Any:
    """Return JSON-able values: paths become strings."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _fingerprint(annotations: Annotations, digests: dict[str, str]) -> str:
    """Identify what decides a result: no paths, times or formatting, so a copy of the data has the same identity."""
    value = {
        "classes": annotations.classes,
        "videos": [asdict(video) for video in sorted(annotations.videos, key=lambda video: video.video_id)],
        "files": digests,
    }
    return _short_digest(value)


def _index_name(name: str, fingerprint: str, root: Path, files: dict[str, Path]) -> str:
    # The index holds absolute paths, so a copy of the data elsewhere needs its own.
    places = {video_id: str(path) for video_id, path in files.items()}
    return f"index-{name}-{fingerprint}-{_short_digest([INDEX_VERSION, str(root.resolve()), places])[:8]}.json"


def _short_digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _probe_all(
    name: str,
    annotations: Annotations,
    files: dict[str, Path],
    fingerprint: str,
    timeout_s: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[Dataset, bool]:
    """Return the data set, and whether every file got its final verdict."""
    present = [video.video_id for video in annotations.videos if video.video_id in files]
    results = dict(zip(present, probe_videos([files[i].absolute() for i in present], timeout_s, progress), strict=True))
    repairs = Counter(annotations.repairs)
    videos, quarantined = [], []
    for item in annotations.videos:
        result = results.get(item.video_id, UnreadableVideo("no file found"))
        path = files.get(item.video_id)
        if isinstance(result, UnreadableVideo) or path is None:
            reason = str(result)
            quarantined.append(
                Quarantined(
                    video_id=item.video_id,
                    path=path and path.absolute(),
                    reason=reason,
                    subset=item.subset,
                )
            )
            continue
        videos.append(
            Video(
                video_id=item.video_id,
                path=path.absolute(),
                subset=item.subset,
                info=result,
                actions=clip_actions(item.actions, result.duration_s, repairs),
            )
        )
    dataset = Dataset(
        name=name,
        classes=annotations.classes,
        videos=tuple(videos),
        quarantined=tuple(quarantined),
        repairs=dict(repairs),
        fingerprint=fingerprint,
    )
    return dataset, not any(isinstance(r, UnreadableVideo) and r.passing for r in results.values())


def _check_subset(dataset: Dataset, subset: str, max_unreadable: float) -> None:
    usable = dataset.subset(subset)
    lost = [item for item in dataset.quarantined if item.subset == subset]
    total = len(usable) + len(lost)
    if not usable or len(lost) > max_unreadable * total:
        named = "; ".join(f"{item.video_id}: {item.reason}" for item in lost[:NAMED])
        more = f"; and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        raise ValueError(
            f"{len(lost)} of {total} videos of subset {subset!r} cannot be used, "
            f"data.max_unreadable allows a share of {max_unreadable:g} ({named}{more})"
        )
    if not any(video.actions for video in usable):
        raise ValueError(f"no usable video of subset {subset!r} has an action")
