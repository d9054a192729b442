"""Non-maximum suppression over time: Gaussian, linear and hard, class by class (adatad-facts 8.2)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from harness.config import DetectionConfig

LENGTH_EPSILON = 1e-6
"""Added to every length, as the public code does: two identical segments overlap by a little less than 1."""
GONE = -1.0
"""Stands for the score of what was taken or dropped; real scores are at least 0."""


class Detections(NamedTuple):
    """Scored, classified segments of one window or one video."""

    segments: Float[np.ndarray, "n 2"]
    """Start and end; seconds once windows are merged."""
    scores: Float[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]


def soft_nms(
    segments: Float[np.ndarray, "n 2"],
    scores: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    config: DetectionConfig,
) -> Detections:
    """Return the detections that survive, highest decayed score first, at most `max_detections` of them.

    Within a class the highest remaining score is taken again and again (the earlier index wins a tie) and the
    scores that remain decay by their overlap with it:

        gaussian   x exp(-IoU^2 / sigma)
        linear     x (1 - IoU)  where IoU >= nms_iou
        hard       dropped      where IoU >= nms_iou

    A candidate below `nms_min_score` is dropped. Equal scores of different classes come out in the order of
    their labels.

    Two corners differ from the public code on purpose: there a class keeps its best candidate even when that is
    below the minimum, and hard suppression with a minimum of 0 keeps the suppressed with a score of 0.
    """
    segments, scores = np.asarray(segments, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    kept_indices, kept_scores = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & (scores >= config.nms_min_score))
        order, decayed = _suppress(segments[members], scores[members], config)
        kept_indices.append(members[order])
        kept_scores.append(decayed)
    indices, decayed = np.concatenate(kept_indices), np.concatenate(kept_scores)
    best = np.argsort(-decayed, kind="stable")[: config.max_detections]
    return Detections(segments[indices[best]], decayed[best], np.asarray(labels)[indices[best]])


def _suppress(segments: np.ndarray, scores: np.ndarray, config: DetectionConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and decayed scores of one class in the order in which they are taken."""
    starts, ends = segments[:, 0].copy(), segments[:, 1].copy()
    lengths = ends - starts + LENGTH_EPSILON
    scores = scores.copy()
    indices = np.arange(len(scores))
    gone = np.zeros(len(scores), dtype=bool)
    order: list[int] = []
    decayed: list[float] = []
    while len(scores) and len(order) < config.max_detections:
        top = int(scores.argmax())
        if gone[top]:
            break
        order.append(int(indices[top]))
        decayed.append(float(scores[top]))
        gone[top] = True
        overlap = np.minimum(ends, ends[top])
        overlap -= np.maximum(starts, starts[top])
        np.maximum(overlap, 0.0, out=overlap)
        overlap /= lengths + lengths[top] - overlap
        _decay(scores, overlap, gone, config)
        if config.nms_min_score > 0:
            gone |= scores < config.nms_min_score
        np.copyto(scores, GONE, where=gone)
        # Packing keeps the order, so that ties still go to the earlier index; it costs about one step.
        if 2 * np.count_nonzero(gone) > len(gone):
            starts, ends, lengths, scores, indices = (
                values[~gone] for values in (starts, ends, lengths, scores, indices)
            )
            gone = np.zeros(len(scores), dtype=bool)
    return np.array(order, dtype=np.int64), np.array(decayed, dtype=np.float64)


def _decay(scores: np.ndarray, overlap: np.ndarray, gone: np.ndarray, config: DetectionConfig) -> None:
    """Lower `scores` by their overlap with the one just taken; overwrites `overlap`."""
    if config.nms == "gaussian":
        overlap *= overlap
        overlap /= -config.nms_sigma
        scores *= np.exp(overlap, out=overlap)
        return
    suppressed = overlap >= config.nms_iou
    if config.nms == "hard":
        gone |= suppressed
    else:
        scores[suppressed] *= 1.0 - overlap[suppressed]
