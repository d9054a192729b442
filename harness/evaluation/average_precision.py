"""Mean average precision over temporal IoU, by the ActivityNet protocol as OpenTAD runs it (adatad-facts 9.1).

    detections --sort--> for each threshold: best free action of that video and class --> hits
    hits --cumulative--> precision over recall, made monotone --> AP per class --> mean over classes --> mean over tIoU

Everything is done for all classes, videos and thresholds at once. Greedy matching looks sequential, because an
action goes to the highest-scoring detection that wants it; it is done in rounds instead. In each round every
detection without a partner asks for its best action that has not refused it, and each action keeps the
highest-scoring of those who asked and the one it had. All actions rank detections alike, so this ends in exactly
the greedy result (deferred acceptance), after about as many rounds as actions crowd in one place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DUPLICATE_TOLERANCE_S = 1e-3
UNION_FLOOR_S = 1e-8
PAIRS_AT_ONCE = 2_000_000
"""Detection x action pairs whose overlap is computed in one piece; bounds memory to about 100 MB."""


@dataclass(frozen=True, kw_only=True)
class MapResult:
    """What an evaluation found. All precisions are shares of 1."""

    map_avg: float
    """Mean over classes and thresholds."""
    map_at: dict[float, float]
    """Mean over classes at each temporal IoU."""
    ap: dict[str, dict[float, float]]
    """Per class and temporal IoU, classes in alphabetical order."""
    num_videos: int
    num_instances: int
    """Actions that were evaluated, after the two removals below."""
    num_non_positive: int
    """Actions dropped because they end where or before they start."""
    num_duplicates: int
    """Actions dropped because another of that video and class has the same start and end within 1e-3 s."""
    num_other_labels: int
    """Detections ignored because no action has their label."""

    @property
    def ap_mean(self) -> dict[str, float]:
        """AP per class, averaged over the thresholds."""
        return {label: float(np.mean(list(at.values()))) for label, at in self.ap.items()}


def evaluate(
    ground_truth: Mapping[str, Sequence[tuple[float, float, str]]],
    detections: Mapping[str, Sequence[tuple[float, float, str, float]]],
    tious: Sequence[float],
    *,
    drop_flawed: bool = True,
) -> MapResult:
    """Score detections (start, end, label, score) against actions (start, end, label), both per video.

    The result does not depend on the order of anything: equal scores are ranked by video id, then start, then end.
    (The public evaluators leave ties to an unstable sort, which moves a class by up to 0.155.)

    A detection in a video without actions of its class, or in a video that `ground_truth` lacks, is a false positive:
    to leave a video out, leave it out of both. A class without detections has AP 0.

    Args:
        ground_truth: Videos to evaluate; one without actions may be there with an empty sequence.
        detections: Any order; labels that no action has are ignored and counted.
        tious: Thresholds in (0, 1]; a detection hits at IoU >= threshold.
        drop_flawed: Drop actions without positive length and duplicates, as OpenTAD does; False keeps them, as
            ActivityNet's own toolkit does.

    Raises:
        ValueError: a threshold outside (0, 1], a number that is not finite, or no action at all.
    """
    if not tious or not all(0 < tiou <= 1 for tiou in tious):
        raise ValueError(f"tious are {tuple(tious)}, expected at least one, each above 0 and at most 1")
    thresholds = np.array(sorted(set(tious)), dtype=np.float64)
    video_code = {video_id: code for code, video_id in enumerate(sorted({*ground_truth, *detections}))}
    labels = sorted({row[2] for rows in ground_truth.values() for row in rows})
    label_code = {label: code for code, label in enumerate(labels)}

    actions = _Table.of(ground_truth, video_code, label_code, "ground truth").take_sorted()
    num_non_positive = num_duplicates = 0
    if drop_flawed:
        positive = actions.ends > actions.starts
        num_non_positive = int((~positive).sum())
        actions = actions.take(np.flatnonzero(positive))
        first = _first_of_duplicates(actions)
        num_duplicates = int((~first).sum())
        actions = actions.take(np.flatnonzero(first))
    if not len(actions.starts):
        raise ValueError("the ground truth holds no action, expected at least one")

    found = _Table.of(detections, video_code, label_code, "detections")
    num_other_labels = int((found.labels < 0).sum())
    found = found.take(np.flatnonzero(found.labels >= 0)).take_ranked()

    hits = _match(actions, found, thresholds)
    present = np.unique(actions.labels)
    num_actions = np.bincount(actions.labels, minlength=len(labels))
    bounds = np.searchsorted(found.labels, np.arange(len(labels) + 1))
    ap = {
        labels[code]: interpolated_precision(hits[:, bounds[code] : bounds[code + 1]], int(num_actions[code]))
        for code in present
    }
    mean_at = np.mean(list(ap.values()), axis=0)
    keys = thresholds.tolist()
    return MapResult(
        map_avg=float(mean_at.mean()),
        map_at=dict(zip(keys, mean_at.tolist(), strict=True)),
        ap={label: dict(zip(keys, values.tolist(), strict=True)) for label, values in ap.items()},
        num_videos=len(ground_truth),
        num_instances=len(actions.starts),
        num_non_positive=num_non_positive,
        num_duplicates=num_duplicates,
        num_other_labels=num_other_labels,
    )


def interpolated_precision(hits: Bool[np.ndarray, "tiou rank"], num_actions: int) -> Float[np.ndarray, " tiou"]:
    """Return the area under the monotone precision-recall curve (VOC 2011: all points, not eleven)."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.where(hits, best_from_here, 0.0).sum(axis=1) / num_actions


class _Table(NamedTuple):
    """Actions or detections as columns."""

    starts: Float[np.ndarray, " n"]
    ends: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    videos: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    """Code of the label, -1 where it has none."""

    @classmethod
    def of(
        cls,
        videos: Mapping[str, Sequence[tuple]],
        video_code: Mapping[str, int],
        label_code: Mapping[str, int],
        what: str,
    ) -> "_Table":
        rows = [(video_code[video_id], row) for video_id, per_video in videos.items() for row in per_video]
        numbers = np.array([(row[0], row[1], row[3] if len(row) > 3 else 0.0) for _, row in rows], dtype=np.float64)
        numbers = numbers.reshape(-1, 3)
        broken = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
        if len(broken):
            raise ValueError(f"{what} hold {rows[broken[0]][1]}, expected finite numbers")
        return cls(
            starts=numbers[:, 0],
            ends=numbers[:, 1],
            scores=numbers[:, 2],
            videos=np.array([code for code, _ in rows], dtype=np.int64),
            labels=np.array([label_code.get(row[2], -1) for _, row in rows], dtype=np.int64),
        )

    def take(self, indices: Int[np.ndarray, " m"]) -> "_Table":
        return _Table(*(column[indices] for column in self))

    def take_sorted(self) -> "_Table":
        """Return the rows by label, video, start, end."""
        return self.take(np.lexsort((self.ends, self.starts, self.videos, self.labels)))

    def take_ranked(self) -> "_Table":
        """Return the rows by label, then best first."""
        return self.take(np.lexsort((self.ends, self.starts, self.videos, -self.scores, self.labels)))


def _first_of_duplicates(actions: _Table) -> Bool[np.ndarray, " n"]:
    """Mark the actions, sorted by label, video and start, that repeat no earlier marked one."""
    keep = np.ones(len(actions.starts), dtype=bool)
    keys = list(
        zip(
            *(column.tolist() for column in (actions.labels, actions.videos, actions.starts, actions.ends)), strict=True
        )
    )
    for index, (label, video, start, end) in enumerate(keys):
        for earlier in range(index - 1, -1, -1):
            other_label, other_video, other_start, other_end = keys[earlier]
            if (other_label, other_video) != (label, video) or start - other_start > DUPLICATE_TOLERANCE_S:
                break
            if keep[earlier] and abs(end - other_end) <= DUPLICATE_TOLERANCE_S:
                keep[index] = False
                break
    return keep


def _match(actions: _Table, found: _Table, thresholds: np.ndarray) -> Bool[np.ndarray, "tiou n"]:
    """Return which detections (ranked within their label) hit an action at each threshold."""
    num_found, num_actions = len(found.starts), len(actions.starts)
    hits = np.zeros((len(thresholds), num_found), dtype=bool)
    detection, action, overlap = _overlapping_pairs(actions, found, float(thresholds[0]))
    if not len(detection):
        return hits
    # Per detection: its actions by falling IoU (earlier start first where equal); those above a threshold are a prefix.
    order = np.lexsort((action, -overlap, detection))
    action, overlap, detection = action[order], overlap[order], detection[order]
    begin = np.searchsorted(detection, np.arange(num_found))
    # A "seat" is an action at one threshold, an "asker" a detection at one threshold. A smaller asker ranks higher:
    # within a seat all askers have the same threshold and label.
    next_pair = np.tile(begin, (len(thresholds), 1))
    last_pair = np.stack([begin + np.bincount(detection[overlap >= t], minlength=num_found) for t in thresholds])
    next_pair, last_pair = next_pair.ravel(), last_pair.ravel()
    nobody = len(thresholds) * num_found
    seated = np.full(len(thresholds) * num_actions, nobody)
    asking = np.flatnonzero(next_pair < last_pair)
    while len(asking):
        seats = asking // num_found * num_actions + action[next_pair[asking]]
        before = seated[seats]
        np.minimum.at(seated, seats, asking)
        after = seated[seats]
        unseated = before[(before != after) & (before != nobody)]
        refused = np.concatenate([asking[after != asking], np.unique(unseated)])
        next_pair[refused] += 1
        asking = refused[next_pair[refused] < last_pair[refused]]
    winners = seated[seated != nobody]
    hits.ravel()[winners] = True
    return hits


def _overlapping_pairs(actions: _Table, found: _Table, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return detection index, action index and IoU of every pair of one video and class with IoU >= floor."""
    num_videos = int(max(actions.videos.max(initial=0), found.videos.max(initial=0))) + 1
    action_group = actions.labels * num_videos + actions.videos
    found_group = found.labels * num_videos + found.videos
    first = np.searchsorted(action_group, found_group, side="left")
    counts = np.searchsorted(action_group, found_group, side="right") - first
    found_lengths, action_lengths = found.ends - found.starts, actions.ends - actions.starts
    kept = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for block in _blocks(counts):
        detection = np.repeat(block, counts[block])
        within = np.arange(len(detection)) - np.repeat(np.cumsum(counts[block]) - counts[block], counts[block])
        action = first[detection] + within
        inter = np.minimum(found.ends[detection], actions.ends[action])
        inter = np.maximum(inter - np.maximum(found.starts[detection], actions.starts[action]), 0.0)
        # Times with one decimal often give an IoU of exactly 0.5 or so: the order of these sums decides such hits,
        # and is that of the public evaluators (another order moves S-CNN's mAP at 0.5 by 0.03).
        lengths = found_lengths[detection] + action_lengths[action]
        overlap = inter / np.maximum(lengths - inter, UNION_FLOOR_S)
        # 0 / 0: the same instant twice. ActivityNet's toolkit takes it for a hit too (by way of NaN).
        overlap[(lengths == 0) & (found.starts[detection] == actions.starts[action])] = 1.0
        enough = overlap >= floor
        kept.append((detection[enough], action[enough], overlap[enough]))
    detection, action, overlap = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return detection, action, overlap


def _blocks(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield runs of detections that have partners, each with about `PAIRS_AT_ONCE` pairs."""
    wanted = np.flatnonzero(counts)
    piece = np.cumsum(counts[wanted]) // PAIRS_AT_ONCE
    yield from np.split(wanted, np.flatnonzero(np.diff(piece)) + 1)
