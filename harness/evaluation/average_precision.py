"""Mean average precision over temporal IoU, by the ActivityNet protocol (adatad-facts 9.1).

    detections --sort--> for each threshold: best free action of that video and class --> hits
    hits --cumulative--> precision over recall, made monotone --> AP per class --> mean over classes --> mean over tIoU

OpenTAD runs it without flawed actions, ActivityNet's own toolkit with them; `evaluate` does either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from harness.evaluation.columns import ActionRow, DetectionRow, Problem, Ties, check_tious, prepare
from harness.evaluation.matching import matched_actions


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
    num_outside: int
    """Detections of an evaluated class in videos that the ground truth lacks; they count as wrong."""

    @property
    def ap_mean(self) -> dict[str, float]:
        """AP per class, averaged over the thresholds."""
        return {label: float(np.mean(list(at.values()))) for label, at in self.ap.items()}


def evaluate(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float],
    *,
    drop_flawed: bool = True,
    ties: Ties = "values",
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
        ties: `file` ranks equal scores as they come, as the public evaluators would with a stable sort.

    Raises:
        ValueError: a threshold outside (0, 1], a number that is not finite, or no action at all.
    """
    thresholds = check_tious(tious)
    problem = prepare(ground_truth, detections, drop_flawed=drop_flawed, ties=ties)
    hits = matched_actions(problem.actions, problem.found, thresholds) >= 0
    bounds, num_actions = problem.bounds, problem.num_actions
    ap = {
        problem.labels[code]: interpolated_precision(hits[:, bounds[code] : bounds[code + 1]], int(num_actions[code]))
        for code in problem.present
    }
    return summarise(problem, thresholds, ap, num_videos=len(ground_truth))


def interpolated_precision(hits: Bool[np.ndarray, "tiou rank"], num_actions: int) -> Float[np.ndarray, " tiou"]:
    """Return the area under the monotone precision-recall curve (VOC 2011: all points, not eleven)."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.where(hits, best_from_here, 0.0).sum(axis=1) / num_actions


def summarise(
    problem: Problem,
    thresholds: Float[np.ndarray, " tiou"],
    ap: Mapping[str, Float[np.ndarray, " tiou"]],
    *,
    num_videos: int,
) -> MapResult:
    """Average the precision of classes, whichever protocol it comes from."""
    mean_at = np.mean(list(ap.values()), axis=0)
    keys = thresholds.tolist()
    return MapResult(
        map_avg=float(mean_at.mean()),
        map_at=dict(zip(keys, mean_at.tolist(), strict=True)),
        ap={label: dict(zip(keys, values.tolist(), strict=True)) for label, values in ap.items()},
        num_videos=num_videos,
        num_instances=len(problem.actions.starts),
        num_non_positive=problem.num_non_positive,
        num_duplicates=problem.num_duplicates,
        num_other_labels=problem.num_other_labels,
        num_outside=problem.num_outside,
    )
