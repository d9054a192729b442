"""Class scores of videos: the files they come in, and joining them with proposals, against loops."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.detection import MalformedDetections, fuse, pair_verbs_with_nouns, read_class_scores
from harness.detection.class_scores import THUMOS14_NUMBERS


def slow_fuse(segments, scores, class_scores, kind, top, softmax):
    if kind == "tcanet" or softmax:
        total = sum(math.exp(value) for value in class_scores)
        factor = 2.0 if kind == "tcanet" else 1.0
        class_scores = [factor * math.exp(value) / total for value in class_scores]
    best = sorted(range(len(class_scores)), key=lambda label: (-class_scores[label], label))[:top]
    rows = []
    for label in best:
        for segment, score in zip(segments, scores, strict=True):
            joint = score * class_scores[label]
            rows.append((*segment, math.sqrt(joint) if kind == "standard" else joint, label))
    return rows


HOW = [("cuhk", False), ("standard", False), ("standard", True), ("untrimmednet", False), ("tcanet", False)]


@given(st.integers(0, 10**6), st.sampled_from(HOW), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_fusion_equals_the_loop(seed, how, top):
    kind, softmax = how
    draw = np.random.default_rng(seed)
    segments, scores = draw.random((7, 2)), draw.random(7)
    class_scores = draw.integers(0, 4, 5) / 4
    found = fuse(segments, scores, class_scores, kind=kind, top=top, softmax=softmax)
    expected = slow_fuse(segments, scores, class_scores.tolist(), kind, top, softmax)
    np.testing.assert_allclose(
        np.column_stack([found.segments, found.scores, found.labels]), np.array(expected), rtol=1e-12
    )


def test_softmax_of_large_logits_is_finite():
    found = fuse(np.zeros((1, 2)), np.ones(1), np.array([1000.0, 0.0]), kind="tcanet", top=2)
    assert found.scores.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cuhk", "top": 0}, "top is 0"),
        ({"kind": "cuhk", "softmax": True}, "softmax goes with"),
    ],
)
def test_senseless_fusions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fuse(np.zeros((1, 2)), np.ones(1), np.ones(3), **options)
    with pytest.raises(ValueError, match="not finite"):
        fuse(np.zeros((1, 2)), np.ones(1), np.array([np.nan]), kind="cuhk")


def test_untrimmednet_knows_thumos14(shared_data):
    """The file's best class of a video is nearly always one that is annotated in it."""
    scores = read_class_scores(shared_data / "annotations/thumos14/gtad_uNet_test.npy")
    table = np.load(shared_data / "annotations/thumos14/gtad_uNet_test.npy")
    assert scores.classes == tuple(THUMOS14_NUMBERS.values())
    assert len(scores.rows) == len(table) == 1574
    assert scores.of("video_test_0000324")[0] == table[323, 6]
    folder = shared_data / "annotations/thumos14/annotation_test"
    labels: dict[str, set[str]] = {}
    for name in scores.classes:
        for line in (folder / f"{name}_test.txt").read_text().splitlines():
            labels.setdefault(line.split()[0], set()).add(name)
    right = [scores.classes[int(scores.of(video).argmax())] in there for video, there in labels.items()]
    assert np.mean(right) > 0.9


def test_activitynet_s_classification_results_are_read(shared_data):
    scores = read_class_scores(shared_data / "annotations/activitynet13/sample_classification_prediction.json.gz")
    assert (len(scores.rows), len(scores.classes)) == (4926, 200)
    assert scores.classes[int(scores.of("v_wONwHYy59Tc").argmax())] == "Blow-drying hair"
    assert scores.of("wONwHYy59Tc", ("Archery", "Blow-drying hair")).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("key", ["class", "classes"])
@pytest.mark.parametrize("nested", [False, True])
def test_dense_files_are_read_in_both_layouts(tmp_path, key, nested):
    path = tmp_path / "scores.json"
    row = [0.25, 0.5]
    path.write_text(json.dumps({"results": {"v_x": [row] if nested else row}, key: ["b", "a"]}))
    scores = read_class_scores(path)
    assert scores.of("x").tolist() == row
    assert scores.of("v_x", ("a", "b")).tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="video y has no class scores"):
        scores.of("y")
    with pytest.raises(ValueError, match="lack class 'c'"):
        scores.of("x", ("a", "c"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "lacks results"),
        ({"results": {}}, "lacks results"),
        ({"results": {"v": [0.5]}}, 'neither "class" nor'),
        ({"results": {"v": [{"label": "a"}]}}, 'neither "class" nor'),
        ({"results": {"v": [{"label": "a", "score": float("nan")}]}}, "not finite"),
        ({"results": {"v": [0.5]}, "class": "a"}, "expected a list of names"),
        ({"results": {"v": [0.5]}, "class": ["a", "b"]}, "not 2 numbers"),
        ({"results": {"v": ["x", 0.5]}, "class": ["a", "b"]}, "not 2 numbers"),
        ({"results": {"v": [[0.5, 0.5], [0.5, 0.5]]}, "class": ["a", "b"]}, "not 2 numbers"),
        ({"results": {"v": [float("inf"), 0.5]}, "class": ["a", "b"]}, "not finite"),
    ],
)
def test_damaged_class_scores_are_refused(tmp_path, document, message):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(document))
    with pytest.raises(MalformedDetections, match=message):
        read_class_scores(path)


@pytest.mark.parametrize(
    "table", [np.zeros(3), np.zeros((3, 20)), np.zeros((3, 101), dtype=int), np.full((3, 101), np.nan), None]
)
def test_damaged_tables_are_refused(tmp_path, table):
    path = tmp_path / "scores.npy"
    np.save(path, table) if table is not None else path.write_bytes(b"\x93NUMPY")
    with pytest.raises(MalformedDetections, match=r"scores\.npy"):
        read_class_scores(path)


def test_a_table_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "scores.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MalformedDetections, match="not a usable"):
        read_class_scores(path)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_pairs_of_verbs_and_nouns_equal_the_loop(seed, top, most):
    draw = np.random.default_rng(seed)
    verbs, nouns = draw.integers(0, 6, (5, 4)) / 5, draw.integers(0, 6, (5, 6)) / 5
    verb_segments, noun_segments = draw.random((5, 2)), draw.random((5, 2))
    found, names = pair_verbs_with_nouns(verb_segments, verbs, noun_segments, nouns, top=top, min_score=0.3, most=most)
    rows = []
    for point in range(5):
        best_verbs = sorted(range(4), key=lambda v: (-verbs[point, v], v))[:top]
        best_nouns = sorted(range(6), key=lambda n: (-nouns[point, n], n))[:top]
        for verb in best_verbs:
            for noun in best_nouns:
                score = math.sqrt(verbs[point, verb] * nouns[point, noun])
                if score > 0.3:
                    rows.append((-score, point, verb, noun))
    rows = sorted(rows)[:most]
    np.testing.assert_allclose(found.scores, [-row[0] for row in rows], rtol=1e-12)
    assert names.tolist() == [[verb, noun] for _, _, verb, noun in rows]
    assert found.labels.tolist() == [verb * 6 + noun for _, _, verb, noun in rows]
    middle = (verb_segments + noun_segments) / 2
    np.testing.assert_allclose(found.segments, middle[[row[1] for row in rows]], rtol=1e-12)
