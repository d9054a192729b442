"""The video files of a folder against what the annotations say of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.annotations import LATE_END, LATE_START, VideoAnnotation, clip_actions
from harness.data.checks.findings import NUM_EXAMPLES, Finding, Weight
from harness.data.listing import ListedVideo
from harness.data.probe import probe_videos
from harness.data.video_files import files_by_stem, files_of
from harness.data.video_info import UnreadableVideo, VideoInfo

DURATION_SHARE, DURATION_S = 0.01, 0.5
"""A file's duration differs where it is off by both: rounding and container overheads are not meant."""
RATE_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class VideoCounts:
    """The files of one subset."""

    annotated: int
    found: int
    missing: int
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class VideoCheck:
    """What the files of a folder are worth."""

    num_files: int
    """Video files in the folder, annotated or not."""
    subsets: dict[str, VideoCounts]
    unreadable: dict[str, str]
    """Video -> reason."""
    findings: tuple[Finding, ...]


def check_videos(
    root: Path,
    listed: Sequence[ListedVideo],
    annotations: Sequence[VideoAnnotation],
    unused: Collection[str],
    max_unreadable: float,
    progress: Callable[[int, int], None] | None = None,
) -> VideoCheck:
    """Find and measure the videos' files.

    Args:
        root: The folder; files may lie anywhere below it.
        listed: The videos as they were written.
        annotations: The same, mended.
        unused: Videos that are annotated too, but of which a study uses none.
        max_unreadable: Share of a subset's videos that may be lost before a study refuses.
        progress: Called with (files measured, files in all).
    """
    by_stem = files_by_stem(root)
    candidates = {video.video_id: files_of(video.video_id, by_stem) for video in listed}
    present = [video_id for video_id, files in candidates.items() if files]
    measured = dict(
        zip(present, probe_videos([candidates[i][0].absolute() for i in present], progress=progress), strict=True)
    )
    infos = {video_id: info for video_id, info in measured.items() if isinstance(info, VideoInfo)}
    unreadable = {video_id: str(error) for video_id, error in measured.items() if isinstance(error, UnreadableVideo)}
    subsets = _count(listed, candidates, unreadable)
    findings = (
        *_lost(subsets, listed, candidates, unreadable, max_unreadable),
        *_ambiguous(candidates),
        *_mismatches(listed, infos),
        *_past_the_file(annotations, infos),
        *_strangers(by_stem, [*candidates, *unused]),
    )
    return VideoCheck(
        num_files=sum(map(len, by_stem.values())), subsets=subsets, unreadable=unreadable, findings=findings
    )


def _count(
    listed: Sequence[ListedVideo], candidates: Mapping[str, list[Path]], unreadable: Mapping[str, str]
) -> dict[str, VideoCounts]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for video in listed:
        state = "unreadable" if video.video_id in unreadable else "found" if candidates[video.video_id] else "missing"
        counts[video.subset][state] += 1
    return {
        subset: VideoCounts(
            annotated=found.total(),
            found=found["found"] + found["unreadable"],
            missing=found["missing"],
            unreadable=found["unreadable"],
        )
        for subset, found in counts.items()
    }


def _lost(
    subsets: Mapping[str, VideoCounts],
    listed: Sequence[ListedVideo],
    candidates: Mapping[str, list[Path]],
    unreadable: Mapping[str, str],
    max_unreadable: float,
) -> list[Finding]:
    """Return what is missing and what cannot be read, per subset: too much of both stops a study."""
    found = []
    for subset, counts in subsets.items():
        lost = counts.missing + counts.unreadable
        stops = lost == counts.annotated or lost > max_unreadable * counts.annotated
        consequence = f"{lost} of {counts.annotated} are lost, " + (
            f"more than data.max_unreadable allows ({max_unreadable:g})" if stops else "and left out of the study"
        )
        ids = [video.video_id for video in listed if video.subset == subset]
        missing = [video_id for video_id in ids if not candidates[video_id]]
        broken = [f"{video_id}: {unreadable[video_id]}" for video_id in ids if video_id in unreadable]
        weight: Weight = "stops" if stops else "matters"
        found += _some(weight, f"{subset} video without a file", missing, consequence)
        found += _some(weight, f"{subset} video that cannot be read", broken, consequence)
    return found


def _ambiguous(candidates: Mapping[str, list[Path]]) -> list[Finding]:
    several = [f"{video_id}: {', '.join(map(str, files))}" for video_id, files in candidates.items() if len(files) > 1]
    return _some("stops", "video with several files", several, "a study refuses to choose: keep one of that name")


def _mismatches(listed: Sequence[ListedVideo], infos: Mapping[str, VideoInfo]) -> list[Finding]:
    durations, rates = [], []
    for video in listed:
        info = infos.get(video.video_id)
        if info is None:
            continue
        said = video.duration_s
        if said and said > 0 and abs(info.duration_s - said) > max(DURATION_S, DURATION_SHARE * said):
            durations.append(f"{video.video_id}: file {info.duration_s:.2f} s, annotations {said:.2f} s")
        if video.fps and abs(info.fps - video.fps) > RATE_SHARE * video.fps:
            rates.append(f"{video.video_id}: file {info.fps:.2f}, annotations {video.fps:.2f} frames per second")
    return [
        *_some(
            "matters",
            "duration that differs from the file's",
            durations,
            "the file is cut or another version: its actions may be elsewhere",
        ),
        *_some(
            "harmless",
            "frame rate that differs from the file's",
            rates,
            "times are seconds here, and frames are found by the file's own timestamps",
        ),
    ]


def _past_the_file(annotations: Sequence[VideoAnnotation], infos: Mapping[str, VideoInfo]) -> list[Finding]:
    """Return the actions that reach past the end of the file, whatever the annotations say of its duration."""
    ends, starts = [], []
    for video in annotations:
        info = infos.get(video.video_id)
        if info is None:
            continue
        for action in video.actions:
            repairs: Counter[str] = Counter()
            clip_actions((action,), info.duration_s, repairs)
            text = f"{video.video_id} {action.start_s:g}-{action.end_s:g} s of {info.duration_s:.2f} s"
            ends += [text] * repairs[LATE_END]
            starts += [text] * repairs[LATE_START]
    return [
        *_some("matters", "action that starts past the file's end", starts, "dropped"),
        *_some("matters", "action that ends past the file's end", ends, "cut at the file's end"),
    ]


def _strangers(by_stem: Mapping[str, list[Path]], video_ids: Collection[str]) -> list[Finding]:
    known = {path for video_id in video_ids for path in files_of(video_id, by_stem)}
    others = [path.name for files in by_stem.values() for path in files if path not in known]
    return _some("harmless", "video file without annotations", others, "not used")


def _some(weight: Weight, kind: str, items: Sequence[str], consequence: str) -> list[Finding]:
    """Return a finding if there is anything to find."""
    if not items:
        return []
    examples = tuple(items[:NUM_EXAMPLES])
    return [Finding(weight=weight, kind=kind, count=len(items), consequence=consequence, examples=examples)]
