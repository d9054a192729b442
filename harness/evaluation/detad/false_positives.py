"""What is wrong with false positives, and what mAP_N would be without each kind (adatad-facts 11.4).

A detection that hits no action is compared with all actions of its video, whatever their class:

    best overlap        with an action of its label    of another label
    >= threshold        double detection               wrong label
    >= 0.1              localisation                   confusion
    less, or no action  background                     background

Where several actions overlap it equally, one of its own label decides. (Every CliffDiving of THUMOS14 is annotated a
second time as Diving; the original takes whichever comes first in the file.)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from harness.evaluation.columns import Columns
from harness.evaluation.detad.case import Case, normalised_map
from harness.evaluation.matching import overlapping_pairs

KINDS = ("true positive", "double detection", "wrong label", "localisation", "confusion", "background")
HIT, DOUBLE, WRONG_LABEL, LOCALISATION, CONFUSION, BACKGROUND = range(6)
LEAST_OVERLAP = 0.1
GROUPS = 10
"""Detections of each class are looked at in this many portions, each as large as the class has actions."""


@dataclass(frozen=True, kw_only=True)
class FalsePositives:
    """The false-positive profile."""

    map_n: float
    """Of the detections looked at, averaged over the thresholds."""
    profile: Float[np.ndarray, "groups kinds"]
    """Share of each kind among the best 1G, the next 1G ... detections, averaged over the thresholds."""
    gain: dict[str, float]
    """mAP_N without each kind, minus mAP_N."""


def profile_false_positives(case: Case, *, compat: bool = False) -> FalsePositives:
    """Return the profile of a case that holds the best `GROUPS` x N detections of each class."""
    kinds = kinds_of_error(case, compat=compat)
    base = float(normalised_map(case).mean())
    gain = {
        name: float(normalised_map(case, kinds == code).mean()) - base for code, name in enumerate(KINDS) if code != HIT
    }
    return FalsePositives(map_n=base, profile=_profile(case, kinds), gain=gain)


def kinds_of_error(case: Case, *, compat: bool = False) -> Int[np.ndarray, "tiou found"]:
    """Return each detection's kind, as an index of `KINDS`.

    Args:
        case: Detections and what they hit.
        compat: Repeat what the original does: of actions with equal overlap the first in the file decides, and all but
            the first detection of a video without actions are compared with another video's actions.
    """
    actions = case.problem.actions
    actions = actions.take(np.lexsort((actions.places, actions.videos)))
    kinds = np.empty(case.matched.shape, dtype=np.int64)
    overlap, same = _nearest(actions, case.found, first_decides=compat)
    for row, matched, threshold in zip(kinds, case.matched, case.thresholds, strict=True):
        if compat:
            astray = case.found._replace(videos=_videos_of_the_original(case, actions, matched < 0))
            overlap, same = _nearest(actions, astray, first_decides=True)
        row[:] = np.select(
            [matched >= 0, overlap >= threshold, overlap >= LEAST_OVERLAP],
            [HIT, np.where(same, DOUBLE, WRONG_LABEL), np.where(same, LOCALISATION, CONFUSION)],
            BACKGROUND,
        )
    return kinds


def _nearest(
    actions: Columns, found: Columns, *, first_decides: bool
) -> tuple[Float[np.ndarray, " found"], Bool[np.ndarray, " found"]]:
    """Return the largest overlap of each detection with an action of its video, and whether that has its label."""
    pairs = overlapping_pairs(actions, found, LEAST_OVERLAP, any_label=True)
    best = np.zeros(len(found.starts))
    np.maximum.at(best, pairs.found, pairs.overlap)
    nearest = np.flatnonzero(pairs.overlap == best[pairs.found])
    if first_decides:
        nearest = nearest[np.unique(pairs.found[nearest], return_index=True)[1]]
    same = np.zeros(len(found.starts), dtype=bool)
    agree = found.labels[pairs.found[nearest]] == actions.labels[pairs.actions[nearest]]
    same[pairs.found[nearest[agree]]] = True
    return best, same


def _videos_of_the_original(
    case: Case, actions: Columns, unmatched: Bool[np.ndarray, " found"]
) -> Int[np.ndarray, " found"]:
    """Return the video whose actions the original compares each detection with.

    It goes through unmatched detections video by video. One without actions leaves the last video's actions in place
    for all but its first detection. (Where there is no last video the original stops with an error; here the detection
    stays with its own video, which makes it background.)
    """
    videos = case.found.videos.copy()
    annotated = np.zeros(len(case.problem.videos), dtype=bool)
    annotated[actions.videos] = True
    last = None
    order = np.flatnonzero(unmatched)[np.argsort(videos[unmatched], kind="stable")]
    before = -1
    for index in order.tolist():
        video = int(case.found.videos[index])
        if annotated[video]:
            last = video
        elif video == before and last is not None:
            videos[index] = last
        before = video
    return videos


def _profile(case: Case, kinds: Int[np.ndarray, "tiou found"]) -> Float[np.ndarray, "groups kinds"]:
    labels = case.found.labels
    rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
    portion = rank // case.problem.num_actions[labels]
    cells = portion * len(KINDS) + kinds
    counts = np.bincount(cells.ravel(), minlength=GROUPS * len(KINDS)).reshape(GROUPS, len(KINDS))
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
