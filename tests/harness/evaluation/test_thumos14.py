"""The THUMOS14 toolkit's protocol: the authors' own numbers, a slow version, laws."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from harness.evaluation import evaluate_thumos14
from harness.evaluation.sources import read_thumos14_folder

SCNN_MAP = (0.4772, 0.4353, 0.3628, 0.2870, 0.1897)


def scnn_detections(folder: Path, names: list[str], nms_iou: float) -> dict[str, list]:
    """Return S-CNN's detections as its authors made them: weighted scores, NMS per class, few digits."""
    raw = loadmat(folder / "res_seg_swin.mat")["seg_swin"]
    rows = raw[raw[:, 10] > 0]
    labels, videos, starts, ends = rows[:, 10].astype(int), rows[:, 0].astype(int), rows[:, 4], rows[:, 5]
    weight = loadmat(folder / "weight.mat")["weight"]
    scores = rows[:, 8] * weight[np.log2(rows[:, 1] / 16).astype(int), labels - 1]
    found: dict[int, list] = {}
    for key in np.unique(videos * 100 + labels):
        members = np.flatnonzero(videos * 100 + labels == key)
        order = members[np.argsort(scores[members], kind="stable")]
        while len(order):
            best, order = order[-1], order[:-1]
            found.setdefault(int(videos[best]), []).append(best)
            inter = np.maximum(0, np.minimum(ends[best], ends[order]) - np.maximum(starts[best], starts[order]))
            union = (ends[best] - starts[best]) + (ends[order] - starts[order]) - inter
            order = order[inter / union <= nms_iou]
    return {
        f"video_test_{video:07d}": [
            (float(f"{starts[i]:.1f}"), float(f"{ends[i]:.1f}"), names[labels[i] - 1], float(f"{scores[i]:.5g}"))
            for i in sorted(found[video], key=lambda i: -scores[i])
        ]
        for video in sorted(found)
    }


@pytest.mark.parametrize("number", range(5))
def test_scnn_scores_what_its_authors_stored(shared_data, number):
    """All 5 x 20 APs to the last digits, from the raw network output; the paper prints their means."""
    tiou = (0.1, 0.2, 0.3, 0.4, 0.5)[number]
    folder = shared_data / "annotations/thumos14/annotation_test"
    names = [line.split()[1] for line in (folder / "detclasslist.txt").read_text().splitlines()]
    truth = read_thumos14_folder(folder)
    assert (len(truth.actions), truth.num_actions, sum(map(len, truth.ambiguous.values()))) == (212, 3358, 99)
    found = scnn_detections(shared_data / "predictions/scnn_c3d", names, tiou - 0.1)
    result = evaluate_thumos14(truth.actions, found, (tiou,), ambiguous=truth.ambiguous, ties="file")
    stored = loadmat(shared_data / "predictions/scnn_c3d/res_scnn_thumos14.mat")
    np.testing.assert_allclose(
        [result.ap[name][tiou] for name in names], stored["AP_all"][0, number].ravel(), atol=1e-12
    )
    assert result.map_avg == pytest.approx(SCNN_MAP[number], abs=5e-5)


def slow_ap(truth, found, ambiguous, label, tiou):
    """The toolkit's procedure, one action and one detection at a time."""
    flagged = []
    for video in sorted({*truth, *found}):
        rows = sorted((r for r in found.get(video, ()) if r[2] == label), key=lambda r: (-r[3], r[0], r[1]))
        free = [True] * len(rows)
        for start, end, _ in sorted(r for r in truth.get(video, ()) if r[2] == label):
            overlaps = [max(0.0, min(end, r[1]) - max(start, r[0])) / (max(end, r[1]) - min(start, r[0])) for r in rows]
            best = max((i for i in range(len(rows)) if free[i]), key=lambda i: (overlaps[i], -i), default=None)
            if best is not None and overlaps[best] > tiou:
                free[best] = False
        for row, is_free in zip(rows, free, strict=True):
            unscored = any(min(row[1], e) > max(row[0], s) for s, e in ambiguous.get(video, ()))
            if not is_free or not unscored:
                flagged.append((-row[3], video, row[0], row[1], not is_free))
    hits, total = 0, 0.0
    for rank, item in enumerate(sorted(flagged, key=lambda item: item[:4]), start=1):
        hits += item[4]
        total += hits / rank if item[4] else 0.0
    return total / sum(r[2] == label for rows in truth.values() for r in rows)


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.35, 0.5]))
@settings(max_examples=80, deadline=None)
def test_equals_the_procedure_one_at_a_time(random_problem, seed, tiou):
    truth, found = random_problem(seed)
    ambiguous = {"v0": [(0.0, 1.0), (4.0, 5.5)], "unannotated": [(2.0, 3.0)], "elsewhere": [(0.0, 9.0)]}
    result = evaluate_thumos14(truth, found, (tiou, 0.9), ambiguous=ambiguous)
    for label, at in result.ap.items():
        assert at[tiou] == pytest.approx(slow_ap(truth, found, ambiguous, label, tiou), abs=1e-12)


def test_an_overlap_of_exactly_the_threshold_does_not_count():
    truth, found = {"v": [(0.0, 2.0, "a")]}, {"v": [(0.0, 1.0, "a", 0.5)]}
    assert evaluate_thumos14(truth, found, (0.5,)).map_avg == 0.0
    assert evaluate_thumos14(truth, found, (0.49,)).map_avg == 1.0


def test_precision_is_not_interpolated():
    truth = {"v": [(0.0, 1.0, "a"), (2.0, 3.0, "a")]}
    found = {"v": [(8.0, 9.0, "a", 0.9), (0.0, 1.0, "a", 0.8), (2.0, 3.0, "a", 0.7)]}
    assert evaluate_thumos14(truth, found, (0.5,)).map_avg == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_miss_that_touches_an_ambiguous_stretch_costs_nothing():
    truth = {"v": [(0.0, 1.0, "a")]}
    found = {"v": [(5.0, 6.0, "a", 0.9), (0.0, 1.0, "a", 0.8)]}
    assert evaluate_thumos14(truth, found, (0.5,)).map_avg == 0.5
    assert evaluate_thumos14(truth, found, (0.5,), ambiguous={"v": [(5.9, 8.0)]}).map_avg == 1.0
    assert evaluate_thumos14(truth, found, (0.5,), ambiguous={"v": [(6.0, 8.0)]}).map_avg == 0.5
