"""Which detection belongs to which action: overlaps of pairs, and the greedy assignment of one side to the other.

Greedy assignment looks sequential, because whoever ranks higher chooses first. It is done in rounds instead, for all
classes, videos and thresholds at once: everyone without a partner asks for the best one that has not refused, and
each partner keeps the highest-ranking of those who asked and the one it had. All partners rank the askers alike, so
this ends in exactly the greedy result (deferred acceptance), after about as many rounds as rivals crowd in one place.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from harness.evaluation.columns import Columns

UNION_FLOOR_S = 1e-8
PAIRS_AT_ONCE = 2_000_000
"""Pairs whose overlap is computed in one piece; bounds memory to about 100 MB."""
NOBODY = -1


class Pairs(NamedTuple):
    """Detections and actions that overlap enough."""

    found: Int[np.ndarray, " pairs"]
    actions: Int[np.ndarray, " pairs"]
    overlap: Float[np.ndarray, " pairs"]


def overlapping_pairs(
    actions: Columns, found: Columns, floor: float, *, hull: bool = False, any_label: bool = False
) -> Pairs:
    """Return every pair of one video and class with an IoU of at least `floor`.

    Args:
        actions: Sorted by label and video; by video alone with `any_label`.
        found: In any order.
        floor: Pairs that overlap less are left out.
        hull: Divide by what both span together, gap included, as the THUMOS14 toolkit does; differs from the union
            only where there is no overlap, or a negative length.
        any_label: Pair across classes.
    """
    action_group, found_group = _groups(actions, found, any_label)
    first = np.searchsorted(action_group, found_group, side="left")
    counts = np.searchsorted(action_group, found_group, side="right") - first
    kept = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for block in _blocks(counts):
        detection = np.repeat(block, counts[block])
        within = np.arange(len(detection)) - np.repeat(np.cumsum(counts[block]) - counts[block], counts[block])
        action = first[detection] + within
        overlap = _overlap(found, detection, actions, action, hull=hull)
        enough = overlap >= floor
        kept.append((detection[enough], action[enough], overlap[enough]))
    return Pairs(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))


def assign(
    askers: Int[np.ndarray, " pairs"],
    partners: Int[np.ndarray, " pairs"],
    overlap: Float[np.ndarray, " pairs"],
    thresholds: Float[np.ndarray, " tiou"],
    *,
    num_askers: int,
    num_partners: int,
    strict: bool = False,
) -> Int[np.ndarray, "tiou askers"]:
    """Let each asker in turn take the free partner that it overlaps most; return the partners, -1 for none.

    Askers with a smaller number choose first. Of partners with equal overlap the one with the smaller number is taken.

    Args:
        askers: One side of the pairs.
        partners: The other side.
        overlap: Of each pair.
        thresholds: Pairs need at least this overlap.
        num_askers: All of them, those in no pair included.
        num_partners: All of them.
        strict: Pairs need more than the threshold.
    """
    taken = np.full((len(thresholds), num_askers), NOBODY)
    if not len(askers):
        return taken
    order = np.lexsort((partners, -overlap, askers))
    askers, partners, overlap = askers[order], partners[order], overlap[order]
    begin = np.searchsorted(askers, np.arange(num_askers))
    enough = [overlap > threshold if strict else overlap >= threshold for threshold in thresholds]
    # An asker's pairs fall in overlap, so those that are enough come first. All thresholds are numbered through.
    next_pair = np.tile(begin, len(thresholds))
    last_pair = np.concatenate([begin + np.bincount(askers[which], minlength=num_askers) for which in enough])
    nobody = len(thresholds) * num_askers
    held_by = np.full(len(thresholds) * num_partners, nobody)
    asking = np.flatnonzero(next_pair < last_pair)
    while len(asking):
        wanted = asking // num_askers * num_partners + partners[next_pair[asking]]
        before = held_by[wanted]
        np.minimum.at(held_by, wanted, asking)
        after = held_by[wanted]
        unseated = before[(before != after) & (before != nobody)]
        refused = np.concatenate([asking[after != asking], np.unique(unseated)])
        next_pair[refused] += 1
        asking = refused[next_pair[refused] < last_pair[refused]]
    held = np.flatnonzero(held_by != nobody)
    taken.ravel()[held_by[held]] = held % num_partners
    return taken


def matched_actions(
    actions: Columns, found: Columns, thresholds: Float[np.ndarray, " tiou"]
) -> Int[np.ndarray, "tiou found"]:
    """Return the action that each detection hits at each threshold, -1 for none.

    Args:
        actions: Sorted by label and video.
        found: Best first within each label.
        thresholds: Rising.
    """
    pairs = overlapping_pairs(actions, found, float(thresholds[0]))
    return assign(
        pairs.found,
        pairs.actions,
        pairs.overlap,
        thresholds,
        num_askers=len(found.starts),
        num_partners=len(actions.starts),
    )


def _groups(actions: Columns, found: Columns, any_label: bool) -> tuple[np.ndarray, np.ndarray]:
    if any_label:
        return actions.videos, found.videos
    num_videos = int(max(actions.videos.max(initial=0), found.videos.max(initial=0))) + 1
    return actions.labels * num_videos + actions.videos, found.labels * num_videos + found.videos


def _overlap(found: Columns, detection: np.ndarray, actions: Columns, action: np.ndarray, *, hull: bool) -> np.ndarray:
    starts, ends = found.starts[detection], found.ends[detection]
    inter = np.minimum(ends, actions.ends[action])
    inter = np.maximum(inter - np.maximum(starts, actions.starts[action]), 0.0)
    # Times with one decimal often give an IoU of exactly 0.5 or so: the order of these sums decides such hits,
    # and is that of the public evaluators (another order moves S-CNN's mAP at 0.5 by 0.03).
    if hull:
        union = np.maximum(ends, actions.ends[action]) - np.minimum(starts, actions.starts[action])
        return inter / np.maximum(union, UNION_FLOOR_S)
    lengths = (ends - starts) + (actions.ends - actions.starts)[action]
    overlap = inter / np.maximum(lengths - inter, UNION_FLOOR_S)
    # 0 / 0: the same instant twice. ActivityNet's toolkit takes it for a hit too (by way of NaN).
    overlap[(starts == ends) & (lengths == 0) & (starts == actions.starts[action])] = 1.0
    return overlap


def _blocks(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield runs of detections that have partners, each with about `PAIRS_AT_ONCE` pairs."""
    wanted = np.flatnonzero(counts)
    piece = np.cumsum(counts[wanted]) // PAIRS_AT_ONCE
    yield from np.split(wanted, np.flatnonzero(np.diff(piece)) + 1)
