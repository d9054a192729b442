"""Detections matched to actions, and average precision normalised by class size (adatad-facts 11.3)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from harness.evaluation.columns import Columns, DetectionRow, Problem, Ties, prepare
from harness.evaluation.ground_truth import GroundTruth
from harness.evaluation.matching import NOBODY, matched_actions


class Case(NamedTuple):
    """One data set's actions, detections and who belongs to whom."""

    problem: Problem
    thresholds: Float[np.ndarray, " tiou"]
    found: Columns
    """By label, best first; perhaps only the best of each class."""
    matched: Int[np.ndarray, "tiou found"]
    """Action that each detection hits, -1 for none."""

    @property
    def mean_actions(self) -> float:
        """Actions per class, which the precision of every class is normalised to."""
        return len(self.problem.actions.starts) / len(self.problem.present)


def make_case(
    truth: GroundTruth,
    detections: Mapping[str, Sequence[DetectionRow]],
    thresholds: Float[np.ndarray, " tiou"],
    *,
    per_action: int | None = None,
    least_precision: float = 0.0,
    ties: Ties = "values",
) -> Case:
    """Match detections to actions as for average precision.

    Args:
        truth: Without flawed actions.
        detections: What was found.
        thresholds: Rising.
        per_action: Of each class keep so many times as many detections as it has actions, the best; None: all.
        least_precision: Hits at a normalised precision of at most this do not count; nor do the actions they hit.
        ties: What ranks equal scores.
    """
    problem = prepare(truth.actions, detections, drop_flawed=False, ties=ties)
    found = problem.found
    if per_action is not None:
        rank = np.arange(len(found.starts)) - problem.bounds[found.labels]
        found = found.take(np.flatnonzero(rank < per_action * problem.num_actions[found.labels]))
    matched = matched_actions(problem.actions, found, thresholds)
    case = Case(problem, thresholds, found, matched)
    if least_precision > 0:
        matched[normalised_precision(case, matched >= 0)[0] <= least_precision] = NOBODY
    return case


def normalised_precision(
    case: Case,
    hits: Bool[np.ndarray, "tiou found"],
    kept: Bool[np.ndarray, "tiou found"] | None = None,
    num_actions: Int[np.ndarray, " labels"] | None = None,
) -> tuple[Float[np.ndarray, "tiou found"], Float[np.ndarray, "tiou labels"]]:
    """Return precision at each detection as if its class had the mean number of actions, and the AP from it.

    With recall R, F false positives and N actions per class on average it is R N / (R N + F).

    Args:
        case: The detections.
        hits: Which of them hit an action.
        kept: Which of them are there at all; None: all.
        num_actions: Actions of each class that are to be found; None: all. A class without any has AP 0.
    """
    labels = case.found.labels
    kept = np.ones_like(hits) if kept is None else kept
    wanted = np.maximum(case.problem.num_actions if num_actions is None else num_actions, 1)
    hits = hits & kept
    expected = _running(hits, labels) / wanted[labels] * case.mean_actions
    wrong = _running(kept & ~hits, labels)
    precision = np.divide(expected, expected + wrong, out=np.zeros(hits.shape), where=kept & (expected + wrong > 0))
    # Classes follow each other with rising labels: lowered by 2 a class, none is seen past the end of the one before.
    lowered = precision - 2.0 * labels
    best_from_here = np.maximum.accumulate(lowered[:, ::-1], axis=1)[:, ::-1] + 2.0 * labels
    areas = [np.bincount(labels, weights=row, minlength=len(wanted)) for row in np.where(hits, best_from_here, 0.0)]
    return precision, np.array(areas) / wanted


def normalised_map(case: Case, without: Bool[np.ndarray, "tiou found"] | None = None) -> Float[np.ndarray, " tiou"]:
    """Return mAP_N at each threshold.

    Args:
        case: Detections and what they hit.
        without: Detections to leave out at each threshold.
    """
    _, precision = normalised_precision(case, case.matched >= 0, None if without is None else ~without)
    return precision[:, case.problem.present].mean(axis=1)


def _running(
    marked: Bool[np.ndarray, "tiou found"], labels: Int[np.ndarray, " found"]
) -> Int[np.ndarray, "tiou found"]:
    """Count the marked detections of the same class up to each."""
    so_far = np.cumsum(marked, axis=1)
    before = np.concatenate([np.zeros((len(marked), 1), dtype=so_far.dtype), so_far], axis=1)
    return so_far - before[:, np.searchsorted(labels, labels)]
