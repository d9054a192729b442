"""Average precision as the THUMOS14 challenge's toolkit defines it: the numbers of papers up to about 2018.

It differs from `average_precision` in four things:
- actions choose, one after the other, the free detection that they overlap most; there detections choose;
- an overlap counts from above the threshold; there from the threshold on;
- precision is averaged where recall rises as it is, without interpolation;
- detections that touch a stretch annotated as `Ambiguous` and hit nothing count neither for nor against.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from harness.evaluation.average_precision import MapResult, summarise
from harness.evaluation.columns import ActionRow, Columns, DetectionRow, Problem, Ties, check_tious, prepare
from harness.evaluation.matching import assign, overlapping_pairs


def evaluate_thumos14(
    ground_truth: Mapping[str, Sequence[ActionRow]],
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float],
    *,
    ambiguous: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ties: Ties = "values",
) -> MapResult:
    """Score detections against actions by the toolkit's rules.

    Args:
        ground_truth: Videos to evaluate.
        detections: Any order; labels that no action has are ignored and counted.
        tious: Thresholds in (0, 1]; a detection hits at IoU > threshold.
        ambiguous: Stretches of the videos that are not scored, in seconds.
        ties: What ranks equal scores, and in which order actions choose: `values` goes by time, so that the order of
            the input changes nothing. The toolkit goes by the files, detections of a video together, videos by id.

    Raises:
        ValueError: a threshold outside (0, 1], a number that is not finite, or no action at all.
    """
    thresholds = check_tious(tious)
    problem = prepare(ground_truth, detections, drop_flawed=False, ties=ties)
    hits = _hits(problem, thresholds, ties)
    ignored = _touching(problem, ambiguous or {})
    bounds, num_actions = problem.bounds, problem.num_actions
    ap = {}
    for code in problem.present:
        rows = slice(bounds[code], bounds[code + 1])
        ap[problem.labels[code]] = np.array(
            [_precision(hit, ignored[rows], int(num_actions[code])) for hit in hits[:, rows]]
        )
    return summarise(problem, thresholds, ap, num_videos=len(ground_truth))


def _hits(problem: Problem, thresholds: Float[np.ndarray, " tiou"], ties: Ties) -> Bool[np.ndarray, "tiou found"]:
    actions, found = problem.actions, problem.found
    turn = np.arange(len(actions.starts))
    if ties == "file":
        turn[np.argsort(actions.places)] = np.arange(len(turn))
    pairs = overlapping_pairs(actions, found, float(thresholds[0]), hull=True)
    chosen = assign(
        turn[pairs.actions],
        pairs.found,
        pairs.overlap,
        thresholds,
        num_askers=len(actions.starts),
        num_partners=len(found.starts),
        strict=True,
    )
    hits = np.zeros((len(thresholds), len(found.starts)), dtype=bool)
    rows, columns = np.nonzero(chosen >= 0)
    hits[rows, chosen[rows, columns]] = True
    return hits


def _precision(
    hits: Bool[np.ndarray, " rank"],
    ignored: Bool[np.ndarray, " rank"],
    num_actions: int,
) -> float:
    ranked = hits[hits | ~ignored]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].sum() / num_actions)


def _touching(problem: Problem, ambiguous: Mapping[str, Sequence[tuple[float, float]]]) -> Bool[np.ndarray, " found"]:
    """Mark the detections that share a moment with an unscored stretch of their video."""
    code_of = {video_id: code for code, video_id in enumerate(problem.videos)}
    rows = sorted((code_of[v], start, end) for v, parts in ambiguous.items() if v in code_of for start, end in parts)
    starts, ends = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    videos = np.array([row[0] for row in rows], dtype=np.int64)
    zeros = np.zeros(len(rows))
    stretches = Columns(starts, ends, zeros, videos, videos, videos)
    pairs = overlapping_pairs(stretches, problem.found, 0.0, hull=True, any_label=True)
    touching = np.zeros(len(problem.found.starts), dtype=bool)
    touching[pairs.found[pairs.overlap > 0]] = True
    return touching
