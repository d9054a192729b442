"""Soft-NMS against its double loop, test vectors and laws."""

import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import DetectionConfig
from harness.detection import soft_nms

CONFIG = DetectionConfig()


def slow_nms(segments, scores, labels, config):
    """Take the best, lower the rest, again and again, in plain Python."""
    out = []
    for label in sorted(set(labels)):
        alive = [
            [score, index]
            for index, score in enumerate(scores)
            if labels[index] == label and score >= config.nms_min_score
        ]
        taken = []
        while alive and len(taken) < config.max_detections:
            best = max(alive, key=lambda item: (item[0], -item[1]))
            alive.remove(best)
            taken.append((best[0], segments[best[1]], label))
            s, e = segments[best[1]]
            for item in alive:
                s2, e2 = segments[item[1]]
                inter = max(0.0, min(e, e2) - max(s, s2))
                iou = inter / ((e - s + 1e-6) + (e2 - s2 + 1e-6) - inter)
                if config.nms == "gaussian":
                    item[0] *= math.exp(-iou * iou / config.nms_sigma)
                elif iou >= config.nms_iou:
                    item[0] = item[0] * (1 - iou) if config.nms == "linear" else -1.0
            alive = [item for item in alive if item[0] >= config.nms_min_score]
        out += taken
    return sorted(out, key=lambda item: -item[0])[: config.max_detections]


def random_proposals(seed, size=40, num_labels=3):
    draw = random.Random(seed)
    starts = [draw.randint(0, 40) / 2 for _ in range(size)]
    segments = [(start, start + draw.randint(1, 20) / 2) for start in starts]
    return segments, [draw.randint(1, 20) / 20 for _ in range(size)], [draw.randrange(num_labels) for _ in range(size)]


def run(segments, scores, labels, config):
    return soft_nms(np.array(segments).reshape(-1, 2), np.array(scores), np.array(labels, dtype=np.int64), config)


@pytest.mark.parametrize("method", ["gaussian", "linear", "hard"])
@pytest.mark.parametrize("min_score", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(15))
def test_equals_the_double_loop(method, min_score, seed):
    config = replace(CONFIG, nms=method, nms_min_score=min_score, nms_sigma=0.5, max_detections=(12, 2000)[seed % 2])
    problem = random_proposals(seed)
    expected = slow_nms(*problem, config)
    kept = run(*problem, config)
    assert len(kept.scores) == len(expected)
    np.testing.assert_allclose(kept.scores, [score for score, _, _ in expected], rtol=1e-12)
    order = lambda rows: sorted((round(s, 9), *segment, label) for s, segment, label in rows)  # noqa: E731
    assert order(zip(kept.scores, map(tuple, kept.segments), kept.labels, strict=True)) == order(expected)


def test_identical_segments_decay_by_the_published_amount():
    """adatad-facts 13: with sigma 0.5 the second of two identical segments, 0.8, becomes about 0.1083."""
    kept = run([(1.0, 2.0), (1.0, 2.0)], [0.9, 0.8], [0, 0], replace(CONFIG, nms_sigma=0.5))
    iou = 1 / (1 + 2e-6)
    np.testing.assert_allclose(kept.scores, [0.9, 0.8 * math.exp(-2 * iou**2)], rtol=1e-12)
    assert kept.scores[1] == pytest.approx(0.1083, abs=5e-5)


def test_classes_do_not_suppress_each_other():
    kept = run([(1.0, 2.0), (1.0, 2.0)], [0.9, 0.8], [0, 1], CONFIG)
    assert kept.scores.tolist() == [0.9, 0.8]


def test_hard_suppression_keeps_one_of_a_pile():
    kept = run([(0.0, 10.0), (0.5, 10.0), (20.0, 30.0)], [0.5, 0.9, 0.1], [0, 0, 0], replace(CONFIG, nms="hard"))
    assert kept.segments.tolist() == [[0.5, 10.0], [20.0, 30.0]]


def test_nothing_in_gives_nothing_out():
    kept = run([], [], [], CONFIG)
    assert (kept.segments.shape, kept.scores.shape, kept.labels.shape) == ((0, 2), (0,), (0,))


@given(st.integers(0, 10**6), st.sampled_from(["gaussian", "linear", "hard"]), st.sampled_from([0.0, 0.1]))
@settings(max_examples=60, deadline=None)
def test_result_is_sorted_bounded_and_part_of_the_input(seed, method, min_score):
    segments, scores, labels = random_proposals(seed)
    config = replace(CONFIG, nms=method, nms_min_score=min_score, max_detections=20)
    kept = run(segments, scores, labels, config)
    assert len(kept.scores) <= 20
    assert np.all(np.diff(kept.scores) <= 0)
    assert np.all(kept.scores >= min_score)
    available = {
        (*segment, label): score for segment, score, label in sorted(zip(segments, scores, labels, strict=True))
    }
    for segment, score, label in zip(kept.segments, kept.scores, kept.labels, strict=True):
        assert score <= available[*segment, label] + 1e-12


def test_extreme_decay_does_not_bring_the_taken_back():
    """exp(-IoU^2 / sigma) underflows to 0 for a tiny sigma; a taken detection must stay taken."""
    kept = run([(0.0, 1.0)] * 50, [0.9] * 50, [0] * 50, replace(CONFIG, nms_sigma=1e-4))
    assert kept.scores.tolist() == [0.9] + [0.0] * 49


def test_sixteen_thousand_proposals_take_less_than_a_second():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 300, 16_000)
    segments = np.stack([starts, starts + rng.uniform(1, 20, 16_000)], axis=1)
    began = time.process_time()
    soft_nms(segments, rng.random(16_000), np.arange(16_000) % 8, CONFIG)
    assert time.process_time() - began < 1
