"""Class-agnostic suppression with segment voting, against the double loop."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import DetectionConfig
from harness.detection import Detections, merge_windows, suppress, vote


def slow_vote(kept, segments, scores, iou):
    moved = []
    for start, end in kept:
        total, left, right = 0.0, 0.0, 0.0
        for (other_start, other_end), score in zip(segments, scores, strict=True):
            inter = max(0.0, min(end, other_end) - max(start, other_start))
            union = (end - start) + (other_end - other_start) - inter
            if union > 0 and inter / union >= iou:
                total, left, right = total + score, left + score * other_start, right + score * other_end
        moved.append((left / total, right / total) if total > 0 else (start, end))
    return moved


def proposals(seed, size=40):
    draw = random.Random(seed)
    starts = np.array([draw.randint(0, 40) / 2 for _ in range(size)])
    segments = np.stack([starts, starts + [draw.randint(0, 20) / 2 for _ in range(size)]], axis=1)
    scores = np.array([draw.randint(0, 20) / 20 for _ in range(size)])
    return segments, scores, np.array([draw.randrange(3) for _ in range(size)])


@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 0.9, 1.0]))
@settings(max_examples=60, deadline=None)
def test_voting_equals_the_double_loop(seed, iou):
    segments, scores, _ = proposals(seed)
    np.testing.assert_allclose(
        vote(segments[:15], segments, scores, iou), slow_vote(segments[:15], segments, scores, iou), atol=1e-12
    )


def test_pieces_make_no_difference(monkeypatch):
    segments, scores, _ = proposals(5)
    whole = vote(segments, segments, scores, 0.4)
    monkeypatch.setattr("harness.detection.voting.PAIRS_AT_ONCE", 100)
    assert np.allclose(vote(segments, segments, scores, 0.4), whole, rtol=0, atol=1e-12)
    assert vote(segments[:0], segments, scores, 0.4).shape == (0, 2)


@given(st.integers(0, 10**6), st.sampled_from(["gaussian", "linear", "hard"]))
@settings(max_examples=60, deadline=None)
def test_class_agnostic_is_one_class_with_labels_kept(seed, method):
    segments, scores, labels = proposals(seed)
    options = {"method": method, "sigma": 0.7, "iou": 0.5, "min_score": 0.01, "most": 25}
    agnostic = suppress(segments, scores, labels, class_agnostic=True, **options)
    single = suppress(segments, scores, np.zeros(len(scores), dtype=np.int64), **options)
    assert np.array_equal(agnostic.segments, single.segments)
    assert np.array_equal(agnostic.scores, single.scores)
    given_rows = {(*segment, label) for segment, label in zip(segments.tolist(), labels.tolist(), strict=True)}
    assert all(
        (*segment, label) in given_rows
        for segment, label in zip(agnostic.segments.tolist(), agnostic.labels.tolist(), strict=True)
    )


def test_voting_moves_survivors_and_nothing_else():
    segments, scores, labels = proposals(7)
    options = {"method": "gaussian", "sigma": 0.7, "min_score": 0.001, "most": 100, "class_agnostic": True}
    plain = suppress(segments, scores, labels, **options)
    voted = suppress(segments, scores, labels, voting_iou=0.6, **options)
    assert np.array_equal(plain.scores, voted.scores)
    assert np.array_equal(plain.labels, voted.labels)
    np.testing.assert_allclose(voted.segments, slow_vote(plain.segments, segments, scores, 0.6), atol=1e-12)


def slow_agnostic(segments, scores, labels, config):
    """Gaussian suppression whatever the class, then a vote of all that came in: one pair at a time."""
    alive, taken = dict(enumerate(scores)), []
    while alive and len(taken) < config.max_detections:
        best = min(alive, key=lambda index: (-alive[index], index))
        taken.append((alive.pop(best), best))
        start, end = segments[best]
        for index in list(alive):
            inter = max(0.0, min(end, segments[index][1]) - max(start, segments[index][0]))
            union = (end - start + 1e-6) + (segments[index][1] - segments[index][0] + 1e-6) - inter
            alive[index] *= np.exp(-((inter / union) ** 2) / config.nms_sigma)
            if alive[index] < config.nms_min_score:
                del alive[index]
    kept = [segments[index] for _, index in taken]
    moved = slow_vote(kept, segments, scores, config.voting_iou) if config.voting_iou else kept
    return [(score, *place, labels[index]) for (score, index), place in zip(taken, moved, strict=True)]


@given(st.integers(0, 10**6), st.sampled_from([None, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_a_trial_s_class_agnostic_settings_equal_the_double_loop(seed, voting_iou):
    """ActivityNet's post-processing, from the config on."""
    config = DetectionConfig(
        class_agnostic=True, voting_iou=voting_iou, nms_sigma=0.7, nms_min_score=0.001, max_detections=25
    )
    segments, scores, labels = proposals(seed)
    longer = segments[:, 1] > segments[:, 0]
    scores = np.maximum(scores, 0.001) + np.arange(len(scores)) * 1e-9  # no ties: the loop has no rule for them
    order = np.argsort(-scores[longer])
    ranked = [values[longer][order] for values in (segments, scores, labels)]
    expected = slow_agnostic(*ranked, config)
    found = merge_windows([Detections(segments, scores, labels)], config)
    np.testing.assert_allclose(
        np.column_stack([found.scores, found.segments, found.labels]), np.array(expected).reshape(-1, 4), atol=1e-9
    )


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_vote_lies_among_its_voters(seed):
    segments, scores, _ = proposals(seed)
    moved = vote(segments, segments, scores, 0.5)
    assert np.all(moved >= segments.min(axis=0) - 1e-9)
    assert np.all(moved <= segments.max(axis=0) + 1e-9)


def test_what_makes_no_sense_is_refused():
    segments, scores, labels = proposals(1)
    with pytest.raises(ValueError, match=r"voting_iou is 0\.9, which goes with class_agnostic only"):
        suppress(segments, scores, labels, method="gaussian", voting_iou=0.9)
    with pytest.raises(ValueError, match="voting_iou is 0"):
        vote(segments, segments, scores, 0.0)
    with pytest.raises(ValueError, match="sigma is 0"):
        suppress(segments, scores, labels, method="gaussian", sigma=0.0)
