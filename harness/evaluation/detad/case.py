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

    @property
    def rows(self) -> list[tuple[int, slice]]:
        """Code and detections of each class that has an action."""
        bounds = np.searchsorted(self.found.labels, np.arange(len(self.problem.labels) + 1))
        return [(int(code), slice(int(bounds[code]), int(bounds[code + 1]))) for code in self.problem.present]


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
        for code, rows in case.rows:
            num_actions = int(problem.num_actions[code])
            precision, _ = normalised_precision(matched[:, rows] >= 0, num_actions, case.mean_actions)
            matched[:, rows][precision <= least_precision] = NOBODY
    return case


def normalised_precision(
    hits: Bool[np.ndarray, "tiou rank"], num_actions: int, mean_actions: float
) -> tuple[Float[np.ndarray, "tiou rank"], Float[np.ndarray, " tiou"]]:
    """Return precision at each rank as if the class had `mean_actions` actions, and the AP from it.

    With recall R and F false positives it is R N / (R N + F).
    """
    if not hits.shape[1]:
        return np.zeros(hits.shape), np.zeros(len(hits))
    expected = np.cumsum(hits, axis=1) / num_actions * mean_actions
    precision = expected / (expected + np.cumsum(~hits, axis=1))
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return precision, np.where(hits, best_from_here, 0.0).sum(axis=1) / num_actions


def normalised_map(case: Case, without: Bool[np.ndarray, "tiou found"] | None = None) -> Float[np.ndarray, " tiou"]:
    """Return mAP_N at each threshold.

    Args:
        case: Detections and what they hit.
        without: Detections to leave out at each threshold.
    """
    precision = []
    for code, rows in case.rows:
        hits, num_actions = case.matched[:, rows] >= 0, int(case.problem.num_actions[code])
        if without is None:
            precision.append(normalised_precision(hits, num_actions, case.mean_actions)[1])
        else:
            precision.append(
                [
                    float(normalised_precision(row[None, ~left_out], num_actions, case.mean_actions)[1][0])
                    for row, left_out in zip(hits, without[:, rows], strict=True)
                ]
            )
    return np.mean(precision, axis=0)
