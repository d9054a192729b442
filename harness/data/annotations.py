"""Annotations, mended: the same in memory whatever format they come from (harness.data.formats).

What a person must mend (not JSON, no subset, a label outside the class list, a time that is no number) is one
`ValueError`. Flaws that published annotations are known to have are mended here by these rules, and counted:

| flaw | rule | counted as |
|---|---|---|
| a time is a number in quotes | read as a number | `time written as text` |
| end at or before start | action dropped | `end not after start` |
| start before 0 | start becomes 0; dropped if nothing is left | `start before 0` |
| end past the video's duration | end becomes the duration | `end past the video's end` |
| start at or past the duration | action dropped | `start past the video's end` |
| same segment and label twice | kept once | `exact duplicate` |
| duration missing, or not more than 0 | taken from the video file | `duration unknown` |
| label `Ambiguous` outside the class list | action dropped (THUMOS14 marks unscored stretches so) | `label Ambiguous` |
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.data.classes import in_order
from harness.data.listing import ListedAction, ListedVideo, Listing

UNSCORED = "Ambiguous"
"""THUMOS14's label for stretches that count neither for nor against; a class only if the class list says so."""

END_TOLERANCE_S = 0.05
"""An end this little past the video's end is rounding: clipped like the others, but not reported."""

NO_END, EARLY, LATE_END, LATE_START = (
    "end not after start",
    "start before 0",
    "end past the video's end",
    "start past the video's end",
)
TWICE, NO_DURATION, UNSCORED_LABEL = "exact duplicate", "duration unknown", f"label {UNSCORED}"
STRANGER = "label outside the class list"


@dataclass(frozen=True, kw_only=True, order=True)
class Action:
    """A labelled segment of a video."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, kw_only=True)
class VideoAnnotation:
    """What the annotation file says of one video."""

    video_id: str
    subset: str
    duration_s: float | None
    """None: the file does not say; the video file decides."""
    actions: tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """One thing that was mended."""

    kind: str
    """As the module's table counts it."""
    video_id: str
    subset: str
    action: ListedAction | None
    """None: it is the video's."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """All annotations of a data set, mended."""

    videos: tuple[VideoAnnotation, ...]
    classes: tuple[str, ...]
    repairs: dict[str, int]
    """How often each rule of the module's table was applied."""


def mend(listing: Listing, classes: Sequence[str] | None = None) -> Annotations:
    """Mend what a format's files say by the rules above.

    Args:
        listing: What they say.
        classes: The class list; None: all labels of all subsets, in order.

    Raises:
        ValueError: a label is not in the class list, or there is none at all.
    """
    classes = classes_of(listing) if classes is None else tuple(classes)
    videos, flaws = mended(listing, classes)
    for flaw in flaws:
        if flaw.kind == STRANGER and flaw.action is not None:
            raise ValueError(f"{flaw.action.where} has label {flaw.action.label!r}, which is not in the class list")
    repairs = Counter(listing.repairs) + Counter(flaw.kind for flaw in flaws)
    return Annotations(videos=videos, classes=classes, repairs=dict(repairs))


def mended(listing: Listing, classes: Sequence[str]) -> tuple[tuple[VideoAnnotation, ...], list[Flaw]]:
    """Return the mended videos and each flaw; an action whose label is not in the class list is one, and dropped."""
    known, flaws = frozenset(classes), []
    return tuple(_mend_video(video, known, flaws) for video in listing.videos), flaws


def classes_of(listing: Listing) -> tuple[str, ...]:
    """Return all labels of all subsets as a class list.

    Raises:
        ValueError: there is none.
    """
    labels = {action.label for video in listing.videos for action in video.actions} - {UNSCORED}
    if not labels:
        raise ValueError(f"{', '.join(map(str, listing.files))} has no labelled action in any video")
    return in_order(labels)


def clip_actions(
    actions: Iterable[Action], duration_s: float, repairs: Counter[str], tolerance_s: float = END_TOLERANCE_S
) -> tuple[Action, ...]:
    """Cut actions to the video's duration, dropping what starts past it and what then is there twice; counted."""
    kept: dict[Action, None] = {}
    for action in actions:
        cut, kind = _cut(action, duration_s, tolerance_s)
        repairs.update(filter(None, (kind, TWICE if cut in kept else None)))
        if cut is not None:
            kept[cut] = None
    return tuple(kept)


def _mend_video(video: ListedVideo, known: frozenset[str], flaws: list[Flaw]) -> VideoAnnotation:
    def note(kind: str, action: ListedAction | None = None) -> None:
        flaws.append(Flaw(kind=kind, video_id=video.video_id, subset=video.subset, action=action))

    duration_s = video.duration_s if video.duration_s is not None and video.duration_s > 0 else None
    if duration_s is None:
        note(NO_DURATION)
    kept: dict[Action, None] = {}
    for listed in video.actions:
        action, kinds = _mend_action(listed, known, duration_s)
        if action is not None and action in kept:
            kinds = [*kinds, TWICE]
        for kind in kinds:
            note(kind, listed)
        if action is not None:
            kept[action] = None
    return VideoAnnotation(video_id=video.video_id, subset=video.subset, duration_s=duration_s, actions=tuple(kept))


def _mend_action(
    listed: ListedAction, known: frozenset[str], duration_s: float | None
) -> tuple[Action | None, list[str]]:
    """Return the action as it can be used, if at all, and the kinds of flaws it had."""
    if listed.label not in known:
        return None, [UNSCORED_LABEL if listed.label == UNSCORED else STRANGER]
    if listed.end_s <= listed.start_s:
        return None, [NO_END]
    kinds = [EARLY] if listed.start_s < 0 else []
    if listed.end_s <= 0:
        return None, kinds
    action = Action(start_s=max(listed.start_s, 0.0), end_s=listed.end_s, label=listed.label)
    if duration_s is None:
        return action, kinds
    cut, kind = _cut(action, duration_s, END_TOLERANCE_S)
    return cut, [*kinds, *([kind] if kind else [])]


def _cut(action: Action, duration_s: float, tolerance_s: float) -> tuple[Action | None, str | None]:
    """Return an action cut to a duration, None if nothing is left, and the flaw that made it necessary."""
    if action.start_s >= duration_s:
        return None, LATE_START
    if action.end_s <= duration_s:
        return action, None
    return replace(action, end_s=duration_s), LATE_END if action.end_s > duration_s + tolerance_s else None
