"""The whole check of a data set's folder: its annotations, each set of them, and its videos.

sources -> listing of each -> counts, flaws -> the one a study would read -> its videos
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.annotations import classes_of, mended
from harness.data.checks.counts import SubsetCounts, count_subsets
from harness.data.checks.findings import Finding, in_order, of_classes, of_flaws
from harness.data.checks.videos import VideoCheck, check_videos
from harness.data.formats import Source, source_of
from harness.data.listing import Listing
from harness.data.opening import find_classes, find_sources, read_block_files, with_subsets, without_blocked
from harness.data.spec import DatasetSpec
from harness.data.video_files import files_by_stem


@dataclass(frozen=True, kw_only=True)
class SourceCheck:
    """One set of annotation files."""

    name: str
    form: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    subsets: dict[str, SubsetCounts]
    """As the files call them, before blocked videos are left out."""
    left_out: dict[str, int]
    """What the format itself passes over."""
    findings: tuple[Finding, ...]
    problem: str = ""
    """Why it cannot be read; then nothing else is known."""


@dataclass(frozen=True, kw_only=True)
class FolderCheck:
    """All that a check found."""

    dataset: str
    sources: tuple[SourceCheck, ...]
    chosen: str
    """Name of the source that a study would read; empty: none."""
    problem: str
    """Why a study would refuse the folder; empty: it would not."""
    blocked: int
    """Annotated videos that are left out because they are on a block list."""
    videos: VideoCheck | None
    """None: there are no video files, or the annotations cannot be used."""
    findings: tuple[Finding, ...]
    """Of the chosen annotations and the videos, what weighs most first."""


def check_folder(
    root: Path,
    spec: DatasetSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    annotations: Path | None = None,
) -> FolderCheck:
    """Check a data set's folder, with or without videos.

    Args:
        root: The folder.
        spec: The data set.
        progress: Called with (video files measured, video files in all).
        annotations: A file or folder to read instead of what lies in `root`.

    Raises:
        ValueError: there is no such folder, no annotations in it, or its class list cannot be read.
    """
    sources = (source_of(annotations, spec.task),) if annotations else find_sources(root, spec)
    if not sources:
        raise ValueError(f"there is no annotations.json in {root}, nor annotation files of a format that is known")
    classes = find_classes(root, spec)
    read = [(source, *_read(source)) for source in sources]
    checks = tuple(_check_source(source, listing, problem, classes, spec) for source, listing, problem in read)
    chosen = [
        (check, listing)
        for check, (_, listing, _) in zip(checks, read, strict=True)
        if listing is not None and not check.problem and _has_subsets(listing, spec)
    ]
    found = FolderCheck(
        dataset=spec.name,
        sources=checks,
        chosen="",
        problem=_problem(checks, chosen, spec),
        blocked=0,
        videos=None,
        findings=(),
    )
    if found.problem or len(chosen) != 1:
        return found
    return _check_chosen(found, root, spec, *chosen[0], progress)


def _read(source: Source) -> tuple[Listing | None, str]:
    try:
        return source.read(), ""
    except ValueError as error:
        return None, str(error)


def _check_source(
    source: Source, listing: Listing | None, problem: str, classes: tuple[str, ...] | None, spec: DatasetSpec
) -> SourceCheck:
    nothing = SourceCheck(
        name=source.name, form="", files=source.files, classes=(), subsets={}, left_out={}, findings=(), problem=problem
    )
    if listing is None:
        return nothing
    try:
        known = classes_of(listing) if classes is None else classes
    except ValueError as error:
        return replace(nothing, form=listing.form, problem=str(error))
    _, flaws = mended(listing, known)
    renamed = with_subsets(listing, spec, _subsets(spec))
    published = spec.data.num_classes if spec.published else None
    spread = of_classes(renamed, known, *_subsets(spec), published) if renamed else []
    return replace(
        nothing,
        form=listing.form,
        classes=known,
        subsets=count_subsets(listing, known),
        left_out=dict(listing.left_out),
        findings=tuple(in_order([*of_flaws(listing, flaws), *spread])),
    )


def _check_chosen(
    found: FolderCheck,
    root: Path,
    spec: DatasetSpec,
    check: SourceCheck,
    listing: Listing,
    progress: Callable[[int, int], None] | None,
) -> FolderCheck:
    renamed = with_subsets(listing, spec, _subsets(spec))
    assert renamed is not None
    kept, blocked = without_blocked(renamed, {*spec.data.blocked, *read_block_files(root, spec)})
    wanted = replace(kept, videos=tuple(video for video in kept.videos if video.subset in _subsets(spec)))
    annotations, _ = mended(wanted, check.classes)
    unused = {video.video_id for video in listing.videos} - {video.video_id for video in wanted.videos}
    videos = None
    if files_by_stem(root):
        videos = check_videos(root, wanted.videos, annotations, unused, spec.data.max_unreadable, progress)
    findings = in_order([*check.findings, *(videos.findings if videos else ())])
    stops = [finding for finding in findings if finding.weight == "stops"]
    problem = f"{stops[0].count} x {stops[0].kind}: {stops[0].consequence}" if stops else ""
    return replace(found, chosen=check.name, problem=problem, blocked=blocked, videos=videos, findings=tuple(findings))


def _subsets(spec: DatasetSpec) -> tuple[str, str]:
    return spec.data.train_subset, spec.data.test_subset


def _has_subsets(listing: Listing, spec: DatasetSpec) -> bool:
    return with_subsets(listing, spec, _subsets(spec)) is not None


def _problem(checks: tuple[SourceCheck, ...], chosen: list[tuple[SourceCheck, Listing]], spec: DatasetSpec) -> str:
    broken = [check.problem for check in checks if check.problem]
    if broken:
        return broken[0]
    if not chosen:
        pairs = " or ".join(f"{train} and {test}" for train, test in spec.subset_names)
        return f"no annotations have both subsets, expected {pairs}"
    if len(chosen) > 1:
        names = ", ".join(check.name for check, _ in chosen)
        return f"{len(chosen)} sets of annotations ({names}), expected one, or annotations.json"
    return ""
