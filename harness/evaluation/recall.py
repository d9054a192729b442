"""Recall: how many actions are found by the best k x n detections, or by a number of proposals per video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from harness.evaluation.columns import ActionRow, Columns, DetectionRow, Problem, Ties, check_tious, prepare
from harness.evaluation.matching import overlapping_pairs

PROPOSAL_TIOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_PROPOSALS = 100


@dataclass(frozen=True, kw_only=True)
class ProposalRecall:
    """Average recall over average number of proposals per video (AR@AN), shares of 1."""

    at: tuple[float, ...]
    """Recall, averaged over the thresholds, with 1, 2, ... proposals per video on average."""
    area: float
    """Area under that curve over its width."""


def recall_at_kx(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float],
    ks: Sequence[int] = (1, 5),
    *,
    drop_flawed: bool = True,
    ties: Ties = "values",
) -> dict[int, dict[float, float]]:
    """Return Ego4D's recall@kx per k and threshold: the mean over classes (adatad-facts 9.2).

    Where a video has n actions of a class, its k x n best detections of that class count. An action is found if any of
    them reaches the threshold; one detection can find several actions.

    Raises:
        ValueError: as `evaluate`, or a k below 1.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks are {tuple(ks)}, expected whole numbers of at least 1")
    thresholds = check_tious(tious)
    problem = prepare(ground_truth, detections, drop_flawed=drop_flawed, ties=ties)
    actions, found = problem.actions, problem.found
    pairs = overlapping_pairs(actions, found, float(thresholds[0]))
    rank = _rank_within(found.labels * len(problem.videos) + found.videos)[pairs.found]
    group = actions.labels * len(problem.videos) + actions.videos
    rivals = np.unique(group, return_inverse=True, return_counts=True)
    num_there = rivals[2][rivals[1]][pairs.actions]
    recall: dict[int, dict[float, float]] = {}
    for k in sorted(set(ks)):
        counted = rank < k * num_there
        recall[k] = {
            threshold: _mean_recall(actions, pairs.actions[counted & (pairs.overlap >= threshold)])
            for threshold in thresholds.tolist()
        }
    return recall


def proposal_recall(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float] = PROPOSAL_TIOUS,
    most: int = MOST_PROPOSALS,
    *,
    drop_flawed: bool = True,
    ties: Ties = "values",
) -> ProposalRecall:
    """Return AR@AN as the ActivityNet proposal toolkit and OpenTAD compute it; labels do not matter.

    From every video the same share of its proposals is taken, best first, so that `most` are taken on average. A video
    without ground truth adds to the number of proposals that the share is a share of, as it does there.

    Raises:
        ValueError: as `evaluate`, or no proposal in any video with ground truth.
    """
    thresholds = check_tious(tious)
    problem = _without_labels(ground_truth, detections, drop_flawed=drop_flawed, ties=ties)
    found = problem.found.take(np.argsort(problem.found.videos, kind="stable"))
    annotated = np.unique(problem.actions.videos)
    given = np.bincount(found.videos, minlength=len(problem.videos))
    share = most * float(len(annotated)) / max(len(found.starts), 1)
    taken = np.minimum((given * share).astype(np.int64), given)
    total = int(taken[annotated].sum())
    if not total:
        raise ValueError("no proposal lies in a video with ground truth, expected at least one")
    # The order of these products decides where a share of a video is rounded down, and is the toolkit's.
    shares = np.arange(1, most + 1) / most * (most * float(len(annotated)) / total)
    there = taken[problem.actions.videos][:, None]
    allowed = np.minimum((there * shares).astype(np.int64), there)
    first_hits = _first_hits(problem.actions, found, thresholds)
    curve = np.mean([(first[:, None] < allowed).mean(axis=0) for first in first_hits], axis=0)
    numbers = shares * (float(total) / len(annotated))
    return ProposalRecall(at=tuple(curve.tolist()), area=float(np.trapezoid(curve, numbers) / numbers[-1]))


def _without_labels(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    *,
    drop_flawed: bool,
    ties: Ties,
) -> Problem:
    """Return the problem of finding segments of any class; duplicates are dropped by class first."""
    sound = prepare(ground_truth, {}, drop_flawed=drop_flawed)
    actions: dict[str, list[ActionRow]] = {video_id: [] for video_id in ground_truth}
    columns = (sound.actions.videos, sound.actions.starts, sound.actions.ends)
    for video, start, end in zip(*(column.tolist() for column in columns), strict=True):
        actions[sound.videos[video]].append((start, end, ""))
    found = {video_id: [(row[0], row[1], "", row[3]) for row in rows] for video_id, rows in detections.items()}
    return prepare(actions, found, drop_flawed=False, ties=ties)


def _first_hits(
    actions: Columns, found: Columns, thresholds: Float[np.ndarray, " tiou"]
) -> Int[np.ndarray, "tiou actions"]:
    """Return the rank within its video of the best proposal that reaches each action; a huge number if none does."""
    pairs = overlapping_pairs(actions, found, float(thresholds[0]), any_label=True)
    rank = _rank_within(found.videos)[pairs.found]
    first = np.full((len(thresholds), len(actions.starts)), np.iinfo(np.int64).max)
    for row, threshold in zip(first, thresholds, strict=True):
        reached = pairs.overlap >= threshold
        np.minimum.at(row, pairs.actions[reached], rank[reached])
    return first


def _rank_within(groups: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Number the members of each group in the order in which they come."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return ranks


def _mean_recall(actions: Columns, found: Int[np.ndarray, " hits"]) -> float:
    reached: Bool[np.ndarray, " actions"] = np.zeros(len(actions.starts), dtype=bool)
    reached[found] = True
    codes, code = np.unique(actions.labels, return_inverse=True)
    return float((np.bincount(code, weights=reached, minlength=len(codes)) / np.bincount(code)).mean())
