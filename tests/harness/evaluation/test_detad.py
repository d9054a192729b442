"""Error analysis: the original's numbers, slow versions, laws, and what its bins hold."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.evaluation import GroundTruth, setting_of
from harness.evaluation.detad import KINDS, diagnose
from harness.evaluation.detad.case import make_case, normalised_map, normalised_precision
from harness.evaluation.detad.characteristics import characteristics_of, equal_bins, with_traits
from harness.evaluation.detad.false_positives import kinds_of_error

ORIGINAL = json.loads((Path(__file__).parent / "detad_scnn.json").read_text())
BINS = setting_of("thumos14").bins


@pytest.fixture(scope="module")
def without_ties(scnn):
    """Return the detections whose score no other of their class has: the original ranks equal scores at random."""
    count: dict[tuple, int] = {}
    for rows in scnn.values():
        for row in rows:
            count[row[2:]] = count.get(row[2:], 0) + 1
    return {video: [row for row in rows if count[row[2:]] == 1] for video, rows in scnn.items()}


@pytest.mark.parametrize("run", ORIGINAL["runs"], ids=lambda run: str(run["tious"]))
def test_compat_equals_the_original_s_numbers(thumos14, without_ties, run):
    found = diagnose(thumos14, without_ties, run["tious"], BINS, compat=True)
    errors = found.false_positives
    assert errors.map_n == pytest.approx(run["map_n_of_best"], abs=1e-12)
    assert errors.gain == pytest.approx(run["gain"], abs=1e-12)
    np.testing.assert_allclose(errors.profile, run["profile"], atol=1e-12)
    assert found.sensitivity.overall == pytest.approx(run["map_n"], abs=1e-12)
    for name in BINS:
        if name in run["missed"]:
            assert found.missed.bins[name] == pytest.approx(run["missed"][name], abs=1e-12)
            assert found.sensitivity.bins[name] == pytest.approx(run["sensitivity"][name], abs=1e-12)


def test_what_is_put_right_moves_little_and_only_where_it_should(thumos14, without_ties):
    right, compat = (diagnose(thumos14, without_ties, (0.5,), BINS, compat=compat) for compat in (False, True))
    # One threshold: the cumulative filter of the sensitivity analysis has nothing to accumulate.
    assert right.sensitivity == compat.sensitivity
    assert right.missed == compat.missed
    assert right.false_positives.gain["double detection"] == pytest.approx(
        compat.false_positives.gain["double detection"], abs=1e-12
    )
    moved = np.abs(right.false_positives.profile - compat.false_positives.profile)
    assert 0 < moved.max() < 0.01


def test_bins_hold_as_many_actions_as_the_original_s_file(thumos14):
    counts = {one.name: one.counts.tolist() for one in characteristics_of(with_traits(thumos14), BINS)}
    assert counts == {
        "coverage": [2384, 657, 166, 61, 90],
        "length": [1626, 851, 730, 114, 37],
        "num-instances": [15, 2203, 727, 413],
    }


def test_traits_are_computed_where_the_file_has_none(thumos14):
    bare = GroundTruth(
        subset="testing",
        actions=thumos14.actions,
        durations={
            video: (rows[0][1] - rows[0][0]) / thumos14.traits[video][0]["coverage"]
            for video, rows in thumos14.actions.items()
        },
    )
    for video, computed in with_traits(bare).traits.items():
        for one, given_one in zip(computed, thumos14.traits[video], strict=True):
            assert one == pytest.approx(given_one, rel=1e-6)


def truth_of(actions):
    return with_traits(GroundTruth(subset="test", actions=actions, durations=dict.fromkeys(actions, 100.0)))


def iou(one, other):
    inter = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return inter / ((one[1] - one[0]) + (other[1] - other[0]) - inter)


def slow_kind(row, actions, tiou):
    """The table of the module, for a detection that hits nothing."""
    if not actions:
        return "background"
    best = max(iou(row, action) for action in actions)
    own = any(iou(row, action) == best and action[2] == row[2] for action in actions)
    if best >= tiou:
        return "double detection" if own else "wrong label"
    if best >= 0.1:
        return "localisation" if own else "confusion"
    return "background"


@given(st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_kinds_of_error_equal_the_table(random_problem, seed):
    truth, found = random_problem(seed)
    case = make_case(truth_of(truth), found, np.array([0.3, 0.5, 0.8]))
    kinds = kinds_of_error(case)
    for number, tiou in enumerate(case.thresholds):
        for index in range(len(case.found.starts)):
            if case.matched[number, index] >= 0:
                assert kinds[number, index] == 0
                continue
            row = (case.found.starts[index], case.found.ends[index], case.problem.labels[case.found.labels[index]])
            actions = truth.get(case.problem.videos[case.found.videos[index]], [])
            assert KINDS[kinds[number, index]] == slow_kind(row, actions, tiou)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_laws_of_the_analysis(random_problem, seed):
    truth, found = random_problem(seed)
    result = diagnose(truth_of(truth), found, (0.3, 0.7), BINS)
    shares = result.false_positives.profile.sum(axis=1)
    assert np.all(np.isclose(shares, 1) | (shares == 0))
    assert all(gain >= -1e-12 for gain in result.false_positives.gain.values())
    for one in result.characteristics:
        weights, rates = one.counts, result.missed.bins[one.name].values()
        mean = sum(weight * (rate or 0) for weight, rate in zip(weights, rates, strict=True)) / weights.sum()
        assert mean == pytest.approx(result.missed.overall)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_order_changes_nothing(random_problem, seed):
    truth, found = random_problem(seed)
    backwards = {video: rows[::-1] for video, rows in reversed(found.items())}
    once, again = (diagnose(truth_of(truth), rows, (0.4,), BINS).as_json() for rows in (found, backwards))
    assert once == again


def slow_ap(case, label, tiou_number, left_out):
    """The definition, one detection at a time."""
    num_actions = int((case.problem.actions.labels == label).sum())
    hits = wrong = 0
    curve = []
    for index in np.flatnonzero(case.found.labels == label):
        if not left_out[tiou_number, index]:
            hit = case.matched[tiou_number, index] >= 0
            hits, wrong = hits + hit, wrong + (not hit)
            expected = hits / num_actions * case.mean_actions
            curve.append((expected / (expected + wrong), hit))
    best_later = [max(precision for precision, _ in curve[rank:]) for rank in range(len(curve))]
    return sum(best for best, (_, hit) in zip(best_later, curve, strict=True) if hit) / num_actions


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_normalised_map_equals_its_definition(random_problem, seed):
    truth, found = random_problem(seed)
    case = make_case(truth_of(truth), found, np.array([0.3, 0.6]))
    left_out = np.random.default_rng(seed).random(case.matched.shape) < 0.4
    for without in (np.zeros_like(left_out), left_out):
        expected = [
            np.mean([slow_ap(case, label, number, without) for label in case.problem.present]) for number in (0, 1)
        ]
        np.testing.assert_allclose(normalised_map(case, without), expected, atol=1e-12)


def test_a_class_twice_the_mean_is_judged_more_strictly():
    truth = truth_of({"v": [(float(n), n + 0.5, "a") for n in range(3)] + [(9.0, 9.5, "b")]})
    case = make_case(truth, {"v": [(0.0, 0.5, "a", 0.9), (50.0, 51.0, "a", 0.8)]}, np.array([0.5]))
    precision, _ = normalised_precision(case, case.matched >= 0)
    # One of three found, as if there were two: two thirds of an action against one false alarm.
    assert precision[0].tolist() == pytest.approx([1.0, (2 / 3) / (2 / 3 + 1)])


def test_a_perfect_detector_misses_nothing_and_gains_nothing(random_problem):
    truth, _ = random_problem(3)
    copied = {video: [(*row, 0.5) for row in rows] for video, rows in truth.items()}
    result = diagnose(truth_of(truth), copied, (0.5, 0.95), BINS)
    assert result.sensitivity.overall == pytest.approx(1)
    assert result.missed.overall == 0
    assert all(gain == pytest.approx(0) for gain in result.false_positives.gain.values())


def test_a_class_without_detections_counts_as_zero():
    """The original raises here."""
    truth = truth_of({"v": [(0.0, 2.0, "a"), (5.0, 9.0, "b")]})
    result = diagnose(truth, {"v": [(0.0, 2.0, "a", 0.9)]}, (0.5,), BINS)
    assert result.sensitivity.overall == pytest.approx(0.5)
    assert result.missed.overall == 0.5


def test_hits_at_a_hopeless_precision_do_not_save_an_action():
    truth = truth_of({"v": [(0.0, 2.0, "a")]})
    found = {"v": [(50.0, 52.0, "a", 0.9)] * 19 + [(0.0, 2.0, "a", 0.5)]}
    assert diagnose(truth, found, (0.5,), BINS).missed.overall == 1.0
    assert diagnose(truth, {"v": found["v"][1:]}, (0.5,), BINS).missed.overall == 0.0


def test_an_action_annotated_under_two_labels_blames_neither():
    """THUMOS14's CliffDiving: a second detection of either label is a double detection, not a wrong label."""
    truth = truth_of({"v": [(0.0, 4.0, "CliffDiving"), (0.0, 4.0, "Diving")]})
    found = {"v": [(0.0, 4.0, label, score) for label in ("CliffDiving", "Diving") for score in (0.9, 0.8)]}
    right = kinds_of_error(make_case(truth, found, np.array([0.5])))
    compat = kinds_of_error(make_case(truth, found, np.array([0.5])), compat=True)
    names = lambda kinds: sorted(KINDS[kind] for kind in kinds[0] if kind)  # noqa: E731
    assert names(right) == ["double detection", "double detection"]
    assert names(compat) == ["double detection", "wrong label"]


def test_flawed_actions_are_left_out_and_counted():
    actions = {"v": [(0.0, 2.0, "a"), (5.0, 5.0, "a"), (0.0, 150.0, "b")]}
    result = diagnose(truth_of(actions), {}, (0.5,), BINS)
    assert (result.num_actions, result.num_flawed, result.num_classes) == (1, 2, 1)
    with pytest.raises(ValueError, match="no action has a positive length"):
        diagnose(truth_of({"v": [(5.0, 5.0, "a")]}), {}, (0.5,), BINS)


@given(st.lists(st.floats(0.01, 500), min_size=1, max_size=80))
@settings(max_examples=80, deadline=None)
def test_equal_bins_hold_every_value_and_none_is_empty(values):
    bins = equal_bins(np.array(values))
    edges = [edge for _, edge in bins]
    assert edges == sorted(set(edges))
    assert edges[-1] == np.inf
    places = np.searchsorted(edges, values)
    assert set(places) == set(range(len(bins)))


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_map_without_errors_is_recall(random_problem, seed):
    """Where nothing wrong is left, precision is 1 up to the last hit."""
    truth, found = random_problem(seed)
    case = make_case(truth_of(truth), found, np.array([0.5]))
    found_of = np.bincount(case.found.labels[case.matched[0] >= 0], minlength=len(case.problem.labels))
    recall = (found_of / case.problem.num_actions.clip(1))[case.problem.present]
    assert normalised_map(case, case.matched < 0)[0] == pytest.approx(np.mean(recall))
