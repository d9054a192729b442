"""Class-agnostic proposals and the class scores of whole videos: the published ways to join them (adatad-facts 8.3).

    proposals of a video x its best classes --> every proposal once per class, scored by both

| kind | class score | joint score | published for |
|---|---|---|---|
| `cuhk` | as given | product | ActivityNet |
| `standard` | as given, or its softmax | square root of the product | ActivityNet: InternVideo, InternVideo2 |
| `untrimmednet` | as given | product | THUMOS14 |
| `tcanet` | twice its softmax | product | HACS |
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from harness.detection.nms import Detections

ClassifierKind = Literal["cuhk", "standard", "untrimmednet", "tcanet"]


def fuse(
    segments: Float[np.ndarray, "n 2"],
    scores: Float[np.ndarray, " n"],
    class_scores: Float[np.ndarray, " classes"],
    *,
    kind: ClassifierKind,
    top: int = 2,
    softmax: bool = False,
) -> Detections:
    """Return every segment once for each of the video's `top` classes, class after class, best class first.

    Of classes with equal scores the one with the smaller index goes first.

    Args:
        segments: Proposals of one video.
        scores: Their scores.
        class_scores: Of the whole video.
        kind: How the scores are joined.
        top: Classes that are used; fewer if there are not so many.
        softmax: Take the softmax of the class scores first; for `standard`, whose files may hold logits.

    Raises:
        ValueError: a `top` below 1, softmax with another kind, or class scores that are not finite.
    """
    if top < 1:
        raise ValueError(f"top is {top}, expected at least 1")
    if softmax and kind != "standard":
        raise ValueError(f"softmax goes with the kind standard only, and the kind is {kind}")
    if not np.isfinite(class_scores).all():
        raise ValueError("a class score of the video is not finite, expected numbers")
    weights = np.asarray(class_scores, dtype=np.float64)
    if kind == "tcanet":
        weights = 2.0 * _softmax(weights)
    elif softmax:
        weights = _softmax(weights)
    best = np.argsort(-weights, kind="stable")[:top]
    joint = np.asarray(scores, dtype=np.float64) * weights[best][:, None]
    if kind == "standard":
        joint = np.sqrt(np.maximum(joint, 0.0))
    return Detections(
        segments=np.tile(np.asarray(segments, dtype=np.float64), (len(best), 1)),
        scores=joint.ravel(),
        labels=np.repeat(best, len(segments)),
    )


def pair_verbs_with_nouns(
    verb_segments: Float[np.ndarray, "points 2"],
    verb_scores: Float[np.ndarray, "points verbs"],
    noun_segments: Float[np.ndarray, "points 2"],
    noun_scores: Float[np.ndarray, "points nouns"],
    *,
    top: int = 10,
    min_score: float = 0.001,
    most: int = 50_000,
) -> tuple[Detections, Int[np.ndarray, "n 2"]]:
    """Return EPIC-Kitchens actions from a verb and a noun detector over the same points (adatad-facts 8.5).

    Each point's `top` verbs are paired with its `top` nouns. A pair scores the square root of the product and lies
    midway between the two segments; pairs above `min_score` are kept, best first, at most `most` of them. Equal scores
    are taken in the order of points, verbs, nouns.

    Returns:
        The actions, labelled verb x number of nouns + noun, and their verbs and nouns.
    """
    verbs, nouns = _best(verb_scores, top), _best(noun_scores, top)
    score = np.sqrt(
        np.take_along_axis(verb_scores, verbs, axis=1)[:, :, None]
        * np.take_along_axis(noun_scores, nouns, axis=1)[:, None, :]
    )
    point, verb, noun = np.nonzero(score > min_score)
    kept = score[point, verb, noun]
    verb, noun = verbs[point, verb], nouns[point, noun]
    order = np.lexsort((noun, verb, point, -kept))[:most]
    point, verb, noun = point[order], verb[order], noun[order]
    midway = (np.asarray(verb_segments, dtype=np.float64) + noun_segments) / 2
    labels = verb * noun_scores.shape[1] + noun
    return Detections(midway[point], kept[order], labels), np.stack([verb, noun], axis=1)


def _softmax(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    shifted = np.exp(values - values.max(initial=-np.inf))
    return shifted / shifted.sum()


def _best(scores: Float[np.ndarray, "points classes"], top: int) -> Int[np.ndarray, "points top"]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]
