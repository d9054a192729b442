"""Non-maximum suppression over time: Gaussian, linear and hard, by class or over all classes (adatad-facts 8.2)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from harness.config import DetectionConfig, NmsMethod
from harness.detection.voting import vote

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
    """Return what survives `suppress` with a trial's settings."""
    return suppress(
        segments,
        scores,
        labels,
        method=config.nms,
        sigma=config.nms_sigma,
        iou=config.nms_iou,
        min_score=config.nms_min_score,
        most=config.max_detections,
        class_agnostic=config.class_agnostic,
        voting_iou=config.voting_iou,
    )


def suppress(
    segments: Float[np.ndarray, "n 2"],
    scores: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    *,
    method: NmsMethod,
    sigma: float = 0.5,
    iou: float = 0.5,
    min_score: float = 0.0,
    most: int = 2000,
    class_agnostic: bool = False,
    voting_iou: float | None = None,
) -> Detections:
    """Return the detections that survive, highest decayed score first, at most `most` of them.

    Within a class the highest remaining score is taken again and again (the earlier index wins a tie) and the
    scores that remain decay by their overlap with it:

        gaussian   x exp(-IoU^2 / sigma)
        linear     x (1 - IoU)  where IoU >= iou
        hard       dropped      where IoU >= iou

    A candidate below `min_score` is dropped. Equal scores of different classes come out in the order of their labels.

    Two corners differ from the public code on purpose: there a class keeps its best candidate even when that is
    below the minimum, and hard suppression with a minimum of 0 keeps the suppressed with a score of 0.

    Args:
        segments: Start and end.
        scores: At least 0.
        labels: Class of each.
        method: How scores decay.
        sigma: Width of the Gaussian decay.
        iou: Overlap from which linear and hard suppression act.
        min_score: What falls below is dropped.
        most: Detections that are kept.
        class_agnostic: Segments suppress each other whatever their class.
        voting_iou: Replace each survivor by the mean of the input segments that overlap it at least so much, as `vote`
            does; None: do not.

    Raises:
        ValueError: voting by class (the public code leaves the setting without effect), or a sigma that is not
            positive.
    """
    if voting_iou is not None and not class_agnostic:
        raise ValueError(f"voting_iou is {voting_iou}, which goes with class_agnostic only; expected None without it")
    if sigma <= 0:
        raise ValueError(f"sigma is {sigma}, expected more than 0")
    segments, scores = np.asarray(segments, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels)
    groups = np.zeros(len(labels), dtype=np.int64) if class_agnostic else labels
    kept_indices, kept_scores = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for group in np.unique(groups):
        members = np.flatnonzero((groups == group) & (scores >= min_score))
        decay = _Decay(method=method, sigma=sigma, iou=iou)
        order, decayed = _suppress(segments[members], scores[members], decay, min_score=min_score, most=most)
        kept_indices.append(members[order])
        kept_scores.append(decayed)
    indices, decayed = np.concatenate(kept_indices), np.concatenate(kept_scores)
    best = np.argsort(-decayed, kind="stable")[:most]
    survivors = segments[indices[best]]
    if voting_iou is not None:
        survivors = vote(survivors, segments, scores, voting_iou)
    return Detections(survivors, decayed[best], labels[indices[best]])


class _Decay(NamedTuple):
    """How overlap lowers a score."""

    method: NmsMethod
    sigma: float
    iou: float

    def apply(
        self, scores: Float[np.ndarray, " n"], overlap: Float[np.ndarray, " n"], gone: Bool[np.ndarray, " n"]
    ) -> None:
        """Lower `scores` by their overlap with the one just taken; overwrites `overlap`."""
        if self.method == "gaussian":
            overlap *= overlap
            overlap /= -self.sigma
            scores *= np.exp(overlap, out=overlap)
            return
        suppressed = overlap >= self.iou
        if self.method == "hard":
            gone |= suppressed
        else:
            scores[suppressed] *= 1.0 - overlap[suppressed]


def _suppress(
    segments: np.ndarray, scores: np.ndarray, decay: _Decay, *, min_score: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and decayed scores of one group in the order in which they are taken."""
    starts, ends = segments[:, 0].copy(), segments[:, 1].copy()
    lengths = ends - starts + LENGTH_EPSILON
    scores = scores.copy()
    indices = np.arange(len(scores))
    gone = np.zeros(len(scores), dtype=bool)
    order: list[int] = []
    decayed: list[float] = []
    while len(scores) and len(order) < most:
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
        decay.apply(scores, overlap, gone)
        if min_score > 0:
            gone |= scores < min_score
        np.copyto(scores, GONE, where=gone)
        # Packing keeps the order, so that ties still go to the earlier index; it costs about one step.
        if 2 * np.count_nonzero(gone) > len(gone):
            starts, ends, lengths, scores, indices = (
                values[~gone] for values in (starts, ends, lengths, scores, indices)
            )
            gone = np.zeros(len(scores), dtype=bool)
    return np.array(order, dtype=np.int64), np.array(decayed, dtype=np.float64)
