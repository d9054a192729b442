"""Reading annotations: the public files' counts, and every way in which a file can be wrong."""

import gzip
import json

import pytest

from harness.detection import read_document
from harness.evaluation import ground_truth_of
from harness.evaluation.settings import SETTINGS, setting_of, steps
from harness.evaluation.sources import read_epic_csv, read_thumos14_folder


@pytest.mark.parametrize(
    ("file", "subset", "counts"),
    [
        ("thumos14/derived_thumos14_activitynet_schema.json.gz", "test", (213, 3358, 0)),
        ("thumos14/derived_thumos14_activitynet_schema.json.gz", "validation", (200, 3007, 0)),
        ("thumos14/gtad_thumos_gt.json.gz", "test", (210, 3311, 0)),
        ("thumos14/detad_val.json.gz", "validation", (200, 3003, 0)),
        ("activitynet13/derived_activitynet13_schema.json.gz", "validation", (4926, 7654, 0)),
        ("activitynet13/derived_activitynet13_schema.json.gz", "Training", (10024, 15410, 0)),
    ],
)
def test_public_files_hold_what_their_readme_counts(shared_data, file, subset, counts):
    path = shared_data / "annotations" / file
    truth = ground_truth_of(read_document(path), path.name, subsets=(subset,))
    assert (len(truth.actions), truth.num_actions, sum(map(len, truth.ambiguous.values()))) == counts


def test_thumos14_s_text_files_hold_what_their_readme_counts(shared_data):
    for name, counts in (("test", (212, 3358, 99)), ("val", (200, 3007, 89))):
        truth = read_thumos14_folder(shared_data / "annotations/thumos14" / f"annotation_{name}")
        assert (len(truth.actions), truth.num_actions, sum(map(len, truth.ambiguous.values()))) == counts
        assert truth.subset == name


def test_text_files_and_json_agree(shared_data):
    folder = shared_data / "annotations/thumos14"
    path = folder / "derived_thumos14_activitynet_schema.json.gz"
    of_json = ground_truth_of(read_document(path), path.name, subsets=("test",)).actions
    of_text = read_thumos14_folder(folder / "annotation_test").actions
    assert {v: sorted(rows) for v, rows in of_json.items() if rows} == {v: sorted(rows) for v, rows in of_text.items()}


def test_epic_s_csv_holds_what_its_readme_counts(shared_data):
    path = shared_data / "annotations/epic100/EPIC_100_validation.csv.gz"
    verbs, nouns, actions = (read_epic_csv(path, task) for task in ("verb", "noun", "action"))
    assert [truth.num_actions for truth in (verbs, nouns, actions)] == [9668] * 3
    labels = [{row[2] for rows in truth.actions.values() for row in rows} for truth in (verbs, nouns, actions)]
    assert (len(verbs.actions), len(labels[0]), len(labels[1])) == (138, 78, 211)
    assert actions.actions["P01_11"][0] == (0.0, 1.89, "0,2")


def document(**changes):
    annotation = {"segment": [1.0, 2.0], "label": "a"}
    entry = {"subset": "validation", "duration": 9.5, "annotations": [annotation]}
    for name, value in changes.items():
        target = annotation if name in ("segment", "label") else entry
        if value is None:
            del target[name]
        else:
            target[name] = value
    return {"database": {"v": entry}}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([], "expected the ActivityNet schema"),
        ({"database": []}, "expected videos in it"),
        ({"database": {}}, "expected videos in it"),
        ({"database": {"v": 3}}, "expected an object"),
        (document(subset=None), 'no "subset"'),
        (document(subset=4), 'no "subset"'),
        (document(subset="training"), "no subset validation, only training"),
        (document(annotations={"segment": 1}), "expected a list"),
        (document(annotations=["x"]), "annotation 1, is 'x'"),
        (document(annotations=[]), "no action in subset"),
        (document(segment=None), '"segment" None'),
        (document(segment=[1.0]), '"segment"'),
        (document(segment=[1.0, 2.0, 3.0]), '"segment"'),
        (document(segment="1 2"), '"segment"'),
        (document(segment=[1.0, "soon"]), "end is 'soon', expected a finite number"),
        (document(segment=[1.0, float("nan")]), "end is nan"),
        (document(segment=[float("inf"), 2.0]), "start is inf"),
        (document(segment=[True, 2.0]), "start is True"),
        (document(segment=[1.0, 10**400]), "end is 1000"),
        (document(label=None), 'has "label" None'),
        (document(label=7), 'has "label" 7'),
        (document(duration="long"), "duration is 'long'"),
    ],
)
def test_broken_annotations_are_refused_with_the_place(broken, message):
    with pytest.raises(ValueError, match="file") as refused:
        ground_truth_of(broken, "file.json", subsets=("validation",))
    assert message in str(refused.value)


def test_numbers_in_quotes_are_read():
    truth = ground_truth_of(document(segment=["1.5", " 2 "], duration="9"), "f", subsets=("validation",))
    assert truth.actions == {"v": [(1.5, 2.0, "a")]}
    assert truth.durations == {"v": 9.0}


def test_ambiguous_stretches_are_no_actions():
    annotations = [{"segment": [1, 2], "label": "Ambiguous"}, {"segment": [3, 4], "label": "a"}]
    entry = {"subset": "test", "annotations": annotations}
    truth = ground_truth_of({"v": entry}, "f", subsets=("test",))
    assert truth.actions == {"v": [(3.0, 4.0, "a")]}
    assert truth.ambiguous == {"v": [(1.0, 2.0)]}


@pytest.mark.parametrize(
    "keys", [{"verb_label": "id_3", "noun_label": "id_7"}, {"verb_class": 3, "noun_class": "7"}, {"verb": 3, "noun": 7}]
)
def test_epic_s_classes_are_read_in_all_their_spellings(keys):
    entry = {"subset": "val", "annotations": [{"segment": [1, 2], **keys}]}
    labels = [
        ground_truth_of({"v": entry}, "f", subsets=("val",), task=task).actions["v"][0][2]
        for task in ("verb", "noun", "action")
    ]
    assert labels == ["3", "7", "3,7"]
    with pytest.raises(ValueError, match='has "label"'):
        ground_truth_of({"v": entry}, "f", subsets=("val",))


def test_a_video_with_and_without_v_is_refused():
    both = {name: {"subset": "val", "annotations": [{"segment": [1, 2], "label": "a"}]} for name in ("x", "v_x")}
    assert len(ground_truth_of(both, "f", subsets=("val",)).actions) == 2
    with pytest.raises(ValueError, match="twice"):
        ground_truth_of(both, "f", subsets=("val",), without_v=True)


def test_what_is_left_out_leaves_no_trace():
    entry = document()["database"]["v"]
    truth = ground_truth_of({"v": entry, "w": entry}, "f", subsets=("validation",)).without({"v"})
    assert set(truth.actions) == set(truth.durations) == set(truth.traits) == {"w"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Jump_test.txt", "video_1 2.0\n", "line 1 is 'video_1 2.0'"),
        ("Jump_test.txt", "video_1 2.0 x\n", "end is 'x'"),
        ("Jump.txt", "video_1 2.0 3.0\n", "expected THUMOS14's annotation files"),
        ("Jump_test.txt", b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_broken_text_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_thumos14_folder(tmp_path)


HEAD = "video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"video_id,start_timestamp\n", "no column stop_timestamp"),
        (HEAD.encode(), "has no row"),
        (f"{HEAD}P01,0:00:01,soon,1,2\n".encode(), "stop_timestamp is 'soon'"),
        (f"{HEAD}P01,0:00:01,0:00:02,one,2\n".encode(), "verb_class is 'one'"),
        (f"{HEAD}P01,0:00:01,0:00:02\n".encode(), "verb_class is None"),
        (gzip.compress(HEAD.encode(), mtime=0)[:-9], "cannot be read"),
        (b"", "no column video_id"),
    ],
)
def test_broken_csv_files_are_refused(tmp_path, data, message):
    path = tmp_path / "EPIC_100_validation.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_epic_csv(path, "verb")


def test_every_data_set_is_found_by_its_spellings():
    assert all(setting_of(name).name == name for name in SETTINGS)
    spellings = ("ActivityNet-1.3", "anet", "THUMOS 14", "EPIC-KITCHENS-100", "epic_verb", "Ego4D_MQ", "ego4d")
    assert [setting_of(name).name for name in spellings] == [
        "activitynet13", "activitynet13", "thumos14", "epic100", "epic100-verb", "ego4d-mq", "ego4d-mq"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--on is kinetics, expected one of custom"):
        setting_of("kinetics")


def test_thresholds_carry_no_dust():
    assert steps(0.3, 0.7, 0.1) == (0.3, 0.4, 0.5, 0.6, 0.7)
    assert json.dumps(steps(0.5, 0.95, 0.05)) == "[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]"
