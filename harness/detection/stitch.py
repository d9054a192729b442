"""From dense head outputs to one sorted list of detections per video.

    (P, C) probabilities --select_candidates--> a window's candidates --seconds--> merge_windows --> a video's list
                                                                                      (--name_segments--> with classes)

The public code rounds segments to 0.01 s and scores to 1e-4 between those steps. Here nothing is rounded: the
ties that rounding makes are what moves its mAP between machines (adatad-facts 14).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from harness.config import DetectionConfig
from harness.detection.files import Rows
from harness.detection.fusion import fuse
from harness.detection.nms import Detections, soft_nms


def select_candidates(
    segments: Float[np.ndarray, "points 2"] | Float[np.ndarray, "points classes 2"],
    scores: Float[np.ndarray, "points classes"],
    config: DetectionConfig,
    valid: Bool[np.ndarray, " points"] | None = None,
) -> Detections:
    """Return a window's `pre_nms` best (point, class) pairs of at least `min_score`, best first.

    A point can stand for several classes, with one segment for all of them or one for each. Equal scores are taken in
    the order of points, then classes.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if valid is not None:
        scores = np.where(valid[:, None], scores, -1.0)
    flat = scores.ravel()
    above = np.flatnonzero(flat >= max(config.min_score, 0.0))
    if len(above) > config.pre_nms:
        # Everything as good as the last one to be kept stays in, so that the stable sort below settles ties.
        last_kept = np.partition(flat[above], len(above) - config.pre_nms)[len(above) - config.pre_nms]
        above = above[flat[above] >= last_kept]
    best = above[np.argsort(-flat[above], kind="stable")][: config.pre_nms]
    points, labels = np.divmod(best, scores.shape[1])
    segments = np.asarray(segments, dtype=np.float64)
    chosen = segments[points] if segments.ndim == 2 else segments[points, labels]
    return Detections(chosen, flat[best], labels)


def merge_windows(windows: Sequence[Detections], config: DetectionConfig) -> Detections:
    """Return a video's detections from those of its windows, with NMS in seconds over all of them together.

    The result does not depend on the order of the windows, so it does not matter which worker saw which. What has
    no length, as segments outside the video have after clipping, is dropped.
    """
    segments = np.concatenate([np.empty((0, 2)), *(window.segments for window in windows)]).astype(np.float64)
    scores = np.concatenate([np.empty(0), *(window.scores for window in windows)]).astype(np.float64)
    labels = np.concatenate([np.empty(0, dtype=np.int64), *(window.labels for window in windows)])
    order = np.lexsort((segments[:, 1], segments[:, 0], labels, -scores))
    order = order[segments[order, 1] > segments[order, 0]]
    return soft_nms(segments[order], scores[order], labels[order], config)


class Pool:
    """The best candidates of a video's windows, in memory that does not grow with the video.

    Up to `most` candidates nothing is lost. Beyond, the lowest scores are: they would end far behind the detections
    that a video keeps, and could have lowered only what ends behind them.
    """

    def __init__(self, most: int = 100_000) -> None:
        """Keep at most so many candidates, for a while twice as many: by default about 20 MiB, merging included."""
        self.most = most
        self.windows: list[Detections] = []
        self._size = 0

    def add(self, window: Detections) -> None:
        """Take a window's candidates."""
        self.windows.append(window)
        self._size += len(window.scores)
        if self._size > 2 * self.most:
            joined = [np.concatenate(parts) for parts in zip(*self.windows, strict=True)]
            best = np.argsort(-joined[1], kind="stable")[: self.most]
            self.windows = [Detections(*(values[best] for values in joined))]
            self._size = len(best)


def name_segments(
    detections: Detections, class_scores: Float[np.ndarray, " classes"], config: DetectionConfig
) -> Detections:
    """Return a video's segments once for each of its best classes, best score first, as an external classifier says.

    As published, this comes after suppression, and `max_detections` counts the segments: there are up to
    `external_top` times as many detections.

    Args:
        detections: of a head that tells actions from background only.
        class_scores: of the whole video, in the order of the data's classes.
        config: `external` says how the scores are joined.
    """
    assert config.external != "none", "there is no external classifier"
    named = fuse(
        detections.segments,
        detections.scores,
        class_scores,
        kind=config.external,
        top=config.external_top,
        softmax=config.external_softmax,
    )
    best = np.argsort(-named.scores, kind="stable")
    return Detections(named.segments[best], named.scores[best], named.labels[best])


def to_rows(detections: Detections, classes: Sequence[str]) -> Rows:
    """Return the detections as plain values, for `harness.evaluation` and for the file."""
    starts, ends = detections.segments[:, 0].tolist(), detections.segments[:, 1].tolist()
    names = [str(classes[label]) for label in detections.labels.tolist()]
    return list(zip(starts, ends, names, detections.scores.tolist(), strict=True))
