"""Recall by the best k x n and by proposals per video, against slow versions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.evaluation import proposal_recall, recall_at_kx


def iou(one, other):
    inter = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return inter / ((one[1] - one[0]) + (other[1] - other[0]) - inter)


def slow_recall_at_kx(truth, found, tiou, k):
    per_class = []
    for label in {row[2] for rows in truth.values() for row in rows}:
        reached = total = 0
        for video, rows in truth.items():
            actions = [row for row in rows if row[2] == label]
            ranked = sorted((row for row in found.get(video, ()) if row[2] == label), key=lambda r: (-r[3], r[0], r[1]))
            best = ranked[: k * len(actions)]
            reached += sum(any(iou(action, row) >= tiou for row in best) for action in actions)
            total += len(actions)
        per_class.append(reached / total)
    return np.mean(per_class)


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 0.5]), st.sampled_from([1, 2, 5]))
@settings(max_examples=80, deadline=None)
def test_recall_at_kx_equals_its_definition(random_problem, seed, tiou, k):
    truth, found = random_problem(seed)
    recall = recall_at_kx(truth, found, (tiou, 0.9), (k,))
    assert recall[k][tiou] == pytest.approx(slow_recall_at_kx(truth, found, tiou, k), abs=1e-12)


def slow_proposal_recall(truth, found, tious, most):
    """The proposal toolkit's procedure: the same share of every video's proposals."""
    annotated = [video for video, rows in truth.items() if rows]
    share = most * float(len(annotated)) / sum(map(len, found.values()))
    taken = {}
    for video in annotated:
        ranked = sorted(found.get(video, ()), key=lambda row: (-row[3], row[0], row[1]))
        taken[video] = ranked[: min(int(len(ranked) * share), len(ranked))]
    total = sum(map(len, taken.values()))
    shares = np.arange(1, most + 1) / most * (most * float(len(annotated)) / total)
    curve = np.zeros(most)
    for tiou in tious:
        for index, part in enumerate(shares):
            reached = 0
            for video in annotated:
                best = taken[video][: min(int(len(taken[video]) * part), len(taken[video]))]
                reached += sum(any(iou(action, row) >= tiou for row in best) for action in truth[video])
            curve[index] += reached / sum(len(truth[video]) for video in annotated) / len(tious)
    numbers = shares * (float(total) / len(annotated))
    return curve, np.trapezoid(curve, numbers) / numbers[-1]


@given(st.integers(0, 10**6), st.sampled_from([3, 8, 20]))
@settings(max_examples=60, deadline=None)
def test_proposal_recall_equals_the_toolkit_s_procedure(random_problem, seed, most):
    truth, found = random_problem(seed)
    found["v0"] = [*found["v0"], *[(1.0, 3.0, "a", 1.0)] * 15]
    recall = proposal_recall(truth, found, (0.3, 0.5, 0.75), most)
    curve, area = slow_proposal_recall(truth, found, (0.3, 0.5, 0.75), most)
    np.testing.assert_allclose(recall.at, curve, atol=1e-12)
    assert recall.area == pytest.approx(area, abs=1e-12)


def test_one_detection_may_find_two_actions():
    truth = {"v": [(0.0, 10.0, "a"), (1.0, 10.0, "a")]}
    assert recall_at_kx(truth, {"v": [(0.0, 10.0, "a", 0.5)]}, (0.5,), (1,)) == {1: {0.5: 1.0}}


def test_flawed_requests_are_refused():
    truth = {"v": [(0.0, 1.0, "a")]}
    with pytest.raises(ValueError, match="ks are"):
        recall_at_kx(truth, {}, (0.5,), (0,))
    with pytest.raises(ValueError, match="no proposal"):
        proposal_recall(truth, {"elsewhere": [(0.0, 1.0, "a", 0.5)]})
