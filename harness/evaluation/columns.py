"""Actions and detections as columns of numbers, the form in which all measures are computed."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

ActionRow = tuple[float, float, str]
"""Start and end in seconds, label."""
DetectionRow = tuple[float, float, str, float]
"""Start and end in seconds, label, score."""
Ties = Literal["values", "file"]
"""What ranks detections of one score: their video id, start and end, or their place in the input."""

DUPLICATE_TOLERANCE_S = 1e-3


class Columns(NamedTuple):
    """Actions or detections, one a row."""

    starts: Float[np.ndarray, " n"]
    ends: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    """0 for actions."""
    videos: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    """Code of the label, -1 where it has none."""
    places: Int[np.ndarray, " n"]
    """Number of the row in the input."""

    @property
    def lengths(self) -> Float[np.ndarray, " n"]:
        """End minus start, in seconds."""
        return self.ends - self.starts

    def take(self, indices: Int[np.ndarray, " m"]) -> "Columns":
        """Return some of the rows."""
        return Columns(*(column[indices] for column in self))


class Problem(NamedTuple):
    """Actions and detections made ready for a measure."""

    actions: Columns
    """By label, video, start, end."""
    found: Columns
    """Those with the label of an action, by label, then best first."""
    labels: tuple[str, ...]
    """Label of each code, sorted."""
    videos: tuple[str, ...]
    """Video id of each code, sorted; detections' videos that have no ground truth included."""
    num_non_positive: int
    num_duplicates: int
    num_other_labels: int
    num_outside: int

    @property
    def present(self) -> Int[np.ndarray, " classes"]:
        """Codes of the labels that have an action."""
        return np.unique(self.actions.labels)

    @property
    def num_actions(self) -> Int[np.ndarray, " labels"]:
        """Actions of each label."""
        return np.bincount(self.actions.labels, minlength=len(self.labels))

    @property
    def bounds(self) -> Int[np.ndarray, " labels_and_end"]:
        """Where each label's detections begin, and the end."""
        return np.searchsorted(self.found.labels, np.arange(len(self.labels) + 1))


def prepare(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    *,
    drop_flawed: bool,
    ties: Ties = "values",
) -> Problem:
    """Encode and sort the two sides of an evaluation.

    Args:
        ground_truth: Videos to evaluate; one without actions may be there with an empty sequence.
        detections: Labels that no action has are left out and counted.
        drop_flawed: Drop actions without positive length and duplicates.
        ties: What ranks equal scores.

    Raises:
        ValueError: a number that is not finite, or no action at all.
    """
    videos = sorted({*ground_truth, *detections})
    labels = sorted({row[2] for rows in ground_truth.values() for row in rows})
    video_code = {video_id: code for code, video_id in enumerate(videos)}
    label_code = {label: code for code, label in enumerate(labels)}
    actions = _encode(ground_truth, video_code, label_code, "the ground truth holds")
    actions = actions.take(np.lexsort((actions.ends, actions.starts, actions.videos, actions.labels)))
    num_non_positive = num_duplicates = 0
    if drop_flawed:
        positive = actions.lengths > 0
        num_non_positive = int((~positive).sum())
        actions = actions.take(np.flatnonzero(positive))
        first = _first_of_duplicates(actions)
        num_duplicates = int((~first).sum())
        actions = actions.take(np.flatnonzero(first))
    if not len(actions.starts):
        raise ValueError("the ground truth holds no action, expected at least one")
    found = _encode(detections, video_code, label_code, "the detections hold")
    known = np.flatnonzero(found.labels >= 0)
    num_other_labels = len(found.labels) - len(known)
    found = found.take(known)
    outside = np.array([video_id not in ground_truth for video_id in videos], dtype=bool)
    return Problem(
        actions=actions,
        found=_ranked(found, ties),
        labels=tuple(labels),
        videos=tuple(videos),
        num_non_positive=num_non_positive,
        num_duplicates=num_duplicates,
        num_other_labels=num_other_labels,
        num_outside=int(outside[found.videos].sum()),
    )


def check_tious(tious: Sequence[float]) -> Float[np.ndarray, " tiou"]:
    """Return the thresholds, sorted and each once.

    Raises:
        ValueError: there is none, or one is outside (0, 1].
    """
    if not tious or not all(0 < tiou <= 1 for tiou in tious):
        raise ValueError(f"tious are {tuple(tious)}, expected at least one, each above 0 and at most 1")
    return np.array(sorted(set(tious)), dtype=np.float64)


def _ranked(found: Columns, ties: Ties) -> Columns:
    # lexsort is stable: without further keys equal scores stay in the order of the input.
    keys = (found.ends, found.starts, found.videos) if ties == "values" else ()
    return found.take(np.lexsort((*keys, -found.scores, found.labels)))


def _encode(
    videos: Mapping[str, Sequence[tuple]], video_code: Mapping[str, int], label_code: Mapping[str, int], what: str
) -> Columns:
    counts = [len(rows) for rows in videos.values()]
    total = sum(counts)

    def column(index: int) -> np.ndarray:
        return np.fromiter((row[index] for row in chain.from_iterable(videos.values())), np.float64, total)

    scored = any(len(row) > 3 for row in chain.from_iterable(videos.values()))
    starts, ends, scores = column(0), column(1), column(3) if scored else np.zeros(total)
    broken = np.flatnonzero(~(np.isfinite(starts) & np.isfinite(ends) & np.isfinite(scores)))
    if len(broken):
        row = list(chain.from_iterable(videos.values()))[broken[0]]
        raise ValueError(f"{what} {row}, expected finite numbers")
    codes = np.array([video_code[video_id] for video_id in videos], dtype=np.int64)
    names = (label_code.get(row[2], -1) for row in chain.from_iterable(videos.values()))
    return Columns(
        starts=starts,
        ends=ends,
        scores=scores,
        videos=np.repeat(codes, counts),
        labels=np.fromiter(names, np.int64, total),
        places=np.arange(total),
    )


def _first_of_duplicates(actions: Columns) -> Bool[np.ndarray, " n"]:
    """Mark the actions, sorted by label, video and start, that repeat no earlier marked one."""
    keep = np.ones(len(actions.starts), dtype=bool)
    groups = list(zip(actions.labels.tolist(), actions.videos.tolist(), strict=True))
    starts, ends = actions.starts.tolist(), actions.ends.tolist()
    for index, group in enumerate(groups):
        for earlier in range(index - 1, -1, -1):
            if groups[earlier] != group or starts[index] - starts[earlier] > DUPLICATE_TOLERANCE_S:
                break
            if keep[earlier] and abs(ends[index] - ends[earlier]) <= DUPLICATE_TOLERANCE_S:
                keep[index] = False
                break
    return keep
