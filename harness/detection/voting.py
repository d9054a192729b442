"""Segment voting: what suppression leaves is moved to the mean of all that overlapped it (adatad-facts 8.2)."""

import numpy as np
from jaxtyping import Float

PAIRS_AT_ONCE = 1_000_000
"""Pairs of segments compared in one piece; bounds memory to about 40 MB."""


def vote(
    kept: Float[np.ndarray, "kept 2"],
    segments: Float[np.ndarray, "n 2"],
    scores: Float[np.ndarray, " n"],
    iou: float,
) -> Float[np.ndarray, "kept 2"]:
    """Return each kept segment as the mean, weighted by score, of all segments with an IoU of at least `iou`.

    A segment that no score votes for, as one without length, stays as it is; there the public code gives NaN.

    Args:
        kept: Survivors of suppression.
        segments: All candidates before suppression.
        scores: Their scores before suppression.
        iou: In (0, 1].

    Raises:
        ValueError: an `iou` outside (0, 1].
    """
    if not 0 < iou <= 1:
        raise ValueError(f"voting_iou is {iou}, expected more than 0 and at most 1")
    rows = max(1, PAIRS_AT_ONCE // max(1, len(segments)))
    moved = [_vote(kept[start : start + rows], segments, scores, iou) for start in range(0, len(kept), rows)]
    return np.concatenate([np.empty((0, 2)), *moved])


def _vote(kept: np.ndarray, segments: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    inter = np.minimum(kept[:, None, 1], segments[None, :, 1]) - np.maximum(kept[:, None, 0], segments[None, :, 0])
    inter = np.maximum(inter, 0.0)
    union = (kept[:, 1] - kept[:, 0])[:, None] + (segments[:, 1] - segments[:, 0]) - inter
    overlap = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    weights = np.where(overlap >= iou, scores, 0.0)
    total = weights.sum(axis=1)
    voted = total > 0
    moved = kept.copy()
    moved[voted] = weights[voted] @ segments / total[voted, None]
    return moved
