"""From a folder to mended annotations: which files are read, by which class list, without which videos.

annotations.json, or the one set of files that has both subsets
    -> subsets called as the config calls them -> blocked videos left out -> mended
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from harness.data.annotations import Annotations, mend
from harness.data.classes import read_classes
from harness.data.files import read_json, read_text
from harness.data.formats import Source, source_of, sources_in
from harness.data.listing import Listing
from harness.data.spec import DatasetSpec

OWN_FILES = ("annotations.json", "annotations.json.gz")
"""What is read if it is there, whatever lies beside it."""
BLOCKED = "blocked video"


def open_annotations(
    root: Path, spec: DatasetSpec, subsets: tuple[str, str], blocked: Collection[str] = ()
) -> Annotations:
    """Read and mend the annotations of a data set's folder.

    Args:
        root: The folder.
        spec: The data set.
        subsets: What the config calls the subset to train on and that to test on.
        blocked: Videos to leave out, besides those of the block files in the folder.

    Raises:
        ValueError: one sentence that says what is wrong with the folder or the annotations.
    """
    listing = find_listing(root, spec, subsets)
    listing, num_blocked = without_blocked(listing, {*blocked, *read_block_files(root, spec)})
    annotations = mend(listing, find_classes(root, spec))
    repairs = Counter(annotations.repairs) + Counter({BLOCKED: num_blocked})
    return replace(annotations, repairs=dict(repairs))


def find_listing(root: Path, spec: DatasetSpec, subsets: tuple[str, str]) -> Listing:
    """Return what the folder's annotations say, their subsets called as the config calls them.

    Raises:
        ValueError: there are none, none with both subsets, or several.
    """
    sources = find_sources(root, spec)
    if not sources:
        raise ValueError(f"there is no annotations.json in {root}, nor annotation files of a format that is known")
    listings = [source.read() for source in sources]
    fitting = [
        (source, found)
        for source, listing in zip(sources, listings, strict=True)
        if (found := with_subsets(listing, spec, subsets))
    ]
    if len(fitting) > 1:
        names = "; ".join(source.name for source, _ in fitting)
        raise ValueError(f"{root} has {len(fitting)} sets of annotations ({names}), expected one, or annotations.json")
    if not fitting:
        said = "; ".join(
            f"{source.name} has {_counts(listing)}" for source, listing in zip(sources, listings, strict=True)
        )
        missing = next((name for name in subsets if name not in listings[0].subsets), subsets[0])
        raise ValueError(f"no annotations in {root} have subset {missing!r}: {said}")
    return fitting[0][1]


def find_sources(root: Path, spec: DatasetSpec) -> tuple[Source, ...]:
    """Return the sets of annotation files in a folder; only `annotations.json` if there is one.

    Raises:
        ValueError: there is no such folder, or annotations.json cannot be read.
    """
    own = next((root / name for name in OWN_FILES if (root / name).is_file()), None)
    return (source_of(own, spec.task),) if own else sources_in(root, spec.task)


def with_subsets(listing: Listing, spec: DatasetSpec, subsets: tuple[str, str]) -> Listing | None:
    """Return the listing with its subsets called as the config calls them; None if it has not both of them."""
    for pair in (subsets, *spec.subset_names):
        if all(name in listing.subsets for name in pair):
            # Another subset that has one of the config's names already must not be taken for it.
            others = {name: f"other {name}" for name in subsets if name not in pair}
            return listing.renamed({**others, **dict(zip(pair, subsets, strict=True))})
    return None


def find_classes(root: Path, spec: DatasetSpec) -> tuple[str, ...] | None:
    """Return the folder's class list, else the data set's own, else None: the labels decide.

    Raises:
        ValueError: the file is no class list.
    """
    names = ("classes.txt", "category_idx.txt", f"category_idx_{spec.task}.txt")
    for place in _places(root):
        for name in names:
            if (place / name).is_file():
                return read_classes(place / name, spec.task)
    return spec.classes or None


def read_block_files(root: Path, spec: DatasetSpec) -> frozenset[str]:
    """Return the videos that the folder's block files name, one a line or as a JSON list.

    Raises:
        ValueError: a file is neither.
    """
    blocked: set[str] = set()
    for place in _places(root):
        for name in spec.block_files:
            if (place / name).is_file():
                blocked.update(_video_ids(place / name))
    return frozenset(blocked)


def without_blocked(listing: Listing, blocked: Collection[str]) -> tuple[Listing, int]:
    """Return the listing without the videos, whose ids may differ by ActivityNet's `v_`, and how many those were."""
    bare = {name.removeprefix("v_") for name in blocked}
    kept = tuple(video for video in listing.videos if video.video_id.removeprefix("v_") not in bare)
    return replace(listing, videos=kept), len(listing.videos) - len(kept)


def _places(root: Path) -> Sequence[Path]:
    return (root, *(path for path in sorted(root.glob("*annotation*")) if path.is_dir()))


def _video_ids(path: Path) -> list[str]:
    if path.suffix != ".json":
        return [line.strip() for line in read_text(path, "list of videos").splitlines() if line.strip()]
    listed = read_json(path, "list of videos")
    if not isinstance(listed, list) or not all(isinstance(video_id, str) for video_id in listed):
        raise ValueError(f"{path} is no JSON list of video ids, expected one")
    return listed


def _counts(listing: Listing) -> str:
    return ", ".join(f"{name} ({count})" for name, count in listing.subsets.items())
