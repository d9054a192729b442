"""Windows to videos."""

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import DetectionConfig
from harness.detection import Detections, Pool, merge_windows, name_segments, select_candidates, to_rows

CONFIG = DetectionConfig()


def random_window(seed, size=20):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 40, size) / 2
    return Detections(
        np.stack([starts, starts + rng.integers(0, 20, size) / 2], axis=1),
        rng.integers(1, 20, size) / 20,
        rng.integers(0, 3, size),
    )


def test_candidates_are_the_best_pairs_of_point_and_class():
    segments = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    scores = np.array([[0.1, 0.7], [0.0005, 0.3], [0.9, 0.2]])
    kept = select_candidates(segments, scores, replace(CONFIG, pre_nms=3))
    assert kept.scores.tolist() == [0.9, 0.7, 0.3]
    assert kept.labels.tolist() == [0, 1, 1]
    assert kept.segments.tolist() == [[4.0, 5.0], [0.0, 1.0], [2.0, 3.0]]


def test_points_of_padding_are_never_candidates():
    kept = select_candidates(np.zeros((2, 2)), np.full((2, 3), 0.5), CONFIG, valid=np.array([False, True]))
    assert len(kept.scores) == 3
    assert len(select_candidates(np.zeros((1, 2)), np.zeros((1, 3)), CONFIG).scores) == 0


@given(st.integers(0, 10**6), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_candidates_equal_a_full_sort(seed, limit):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (10, 4)) / 8
    kept = select_candidates(np.zeros((10, 2)), scores, replace(CONFIG, pre_nms=limit))
    pairs = sorted((-scores[p, c], p, c) for p in range(10) for c in range(4) if scores[p, c] >= CONFIG.min_score)
    assert [(-score, label) for score, label in zip(kept.scores, kept.labels, strict=True)] == [
        (score, label) for score, _, label in pairs[:limit]
    ]


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_order_of_windows_changes_nothing(seed):
    windows = [random_window(seed + number) for number in range(4)]
    once = merge_windows(windows, CONFIG)
    other = merge_windows(random.Random(seed).sample(windows, 4), CONFIG)
    assert all(np.array_equal(a, b) for a, b in zip(once, other, strict=True))


def test_segments_without_length_are_dropped():
    window = Detections(
        np.array([[0.0, 0.0], [3.0, 2.0], [1.0, 2.0]]), np.array([0.9, 0.8, 0.7]), np.zeros(3, dtype=int)
    )
    assert merge_windows([window], CONFIG).segments.tolist() == [[1.0, 2.0]]
    assert len(merge_windows([], CONFIG).scores) == 0


def test_a_detection_seen_by_two_windows_counts_once_with_hard_suppression():
    window = Detections(np.array([[5.0, 9.0]]), np.array([0.6]), np.array([2]))
    shifted = Detections(np.array([[5.1, 9.0]]), np.array([0.7]), np.array([2]))
    merged = merge_windows([window, shifted], replace(CONFIG, nms="hard"))
    assert to_rows(merged, ["a", "b", "c"]) == [(5.1, 9.0, "c", 0.7)]


@given(st.integers(0, 2**32 - 1))
def test_a_segment_per_class_goes_with_its_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((6, 3))
    segments = np.sort(random.random((6, 3, 2)), axis=-1)
    found = select_candidates(segments, scores, DetectionConfig(min_score=0.3, pre_nms=9))
    best = sorted(
        ((score, point, label) for (point, label), score in np.ndenumerate(scores) if score >= 0.3), reverse=True
    )
    assert found.scores.tolist() == [score for score, _, _ in best[:9]]
    assert found.labels.tolist() == [label for _, _, label in best[:9]]
    assert found.segments.tolist() == [segments[point, label].tolist() for _, point, label in best[:9]]
    # One segment for all classes is the same as that segment for each of them.
    shared = np.repeat(segments[:, :1], 3, axis=1)
    assert np.array_equal(
        select_candidates(shared, scores, DetectionConfig()).segments,
        select_candidates(shared[:, 0], scores, DetectionConfig()).segments,
    )


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_a_pool_loses_nothing_while_it_has_room_and_then_the_lowest_scores(seed, windows):
    given = [random_window(seed + number) for number in range(windows)]
    roomy, small = Pool(most=20 * windows), Pool(most=20)
    for window in given:
        roomy.add(window)
        small.add(window)
    everything = merge_windows(given, CONFIG)
    assert all(np.array_equal(a, b) for a, b in zip(merge_windows(roomy.windows, CONFIG), everything, strict=True))
    kept = np.sort(np.concatenate([window.scores for window in small.windows]))[::-1]
    scores = np.sort(np.concatenate([window.scores for window in given]))[::-1]
    assert len(kept) <= 2 * 20
    # The best twenty are always there, however many windows came.
    assert np.array_equal(kept[:20], scores[:20])


@given(st.integers(0, 10**6), st.sampled_from(["cuhk", "standard", "untrimmednet", "tcanet"]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_naming_segments_equals_the_loop_and_is_sorted(seed, kind, top):
    rng = np.random.default_rng(seed)
    segments, scores = rng.random((6, 2)), rng.random(6)
    class_scores = rng.random(5)
    detections = Detections(segments, scores, np.zeros(6, dtype=np.int64))
    config = replace(CONFIG, external=kind, external_top=top)
    weights = 2 * np.exp(class_scores) / np.exp(class_scores).sum() if kind == "tcanet" else class_scores
    expected = []
    for label in sorted(range(5), key=lambda label: -weights[label])[:top]:
        for segment, score in zip(segments, scores, strict=True):
            joint = score * weights[label]
            expected.append((joint**0.5 if kind == "standard" else joint, tuple(segment), label))
    named = name_segments(detections, class_scores, config)
    assert np.all(np.diff(named.scores) <= 0)
    rows = zip(named.scores, map(tuple, named.segments), named.labels, strict=True)
    for (score, segment, label), (other, *rest) in zip(sorted(rows), sorted(expected), strict=True):
        np.testing.assert_allclose(score, other, rtol=1e-12)
        assert [segment, label] == rest
