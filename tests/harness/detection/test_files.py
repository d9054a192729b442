"""The file between the detector and whoever reads it: written whole, read with forgiveness, refused with the place."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.detection import MalformedDetections, read_detections, read_document, write_detections


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_file_gives_back_every_digit(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("detections") / "result_detection.json"
    rng = np.random.default_rng(seed)
    detections = {
        f"vidéo {n}": [(float(rng.random()), 1 + float(rng.random()), '<b>"', float(rng.random()))] * n
        for n in range(3)
    }
    write_detections(path, detections)
    assert read_detections(path) == detections
    assert {"version", "external_data", "results"} <= set(json.loads(path.read_text()))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result_detection.json"
    write_detections(path, {"v": [(0.0, 1.0, "a", 0.5)]})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_detections(path, {"v": [(0.0, float("inf"), "a", 0.5)]})
    assert read_detections(path) == {"v": [(0.0, 1.0, "a", 0.5)]}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


GOOD = {"results": {"v": [{"segment": [1.0, 2.5], "label": "a", "score": 0.5}]}}
ROWS = {"v": [(1.0, 2.5, "a", 0.5)]}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(GOOD).encode(),
        gzip.compress(json.dumps(GOOD).encode(), mtime=0),
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD).replace("0.5", '"0.5"').replace("2.5", '" 2.5e0 "').encode(),
        json.dumps(GOOD).replace("1.0", "1").encode(),
        json.dumps({**GOOD, "version": None, "external_data": []}).encode(),
    ],
    ids=["plain", "gzip", "byte order mark", "numbers in quotes", "whole numbers", "other keys"],
)
def test_usual_variants_are_read_alike(tmp_path, data):
    path = tmp_path / "result"
    path.write_bytes(data)
    assert read_detections(path) == ROWS


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"verb": 3, "noun": 7, "action": "3,7"}, ["3", "7", "3,7"]),
        ({"verb": "3", "noun": "id_7"}, ["3", "7", "3,7"]),
    ],
)
def test_epic_s_classes_are_read_in_all_their_spellings(tmp_path, row, labels):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"results": {"v": [{"segment": [1, 2], "score": 1, **row}]}}))
    assert [read_detections(path, key)["v"][0][2] for key in ("verb", "noun", "action")] == labels


def test_a_file_for_one_task_may_say_label(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"results": {"v": [{"segment": [1, 2], "score": 1, "label": "id_4"}]}}))
    assert read_detections(path, "verb") == {"v": [(1.0, 2.0, "4", 1.0)]}
    with pytest.raises(MalformedDetections, match="action and score"):
        read_detections(path, "action")


def row(**changes):
    good = {"segment": [1.0, 2.0], "label": "a", "score": 0.5, **changes}
    return json.dumps({"results": {"v": [{k: v for k, v in good.items() if v is not None}]}}).encode()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "not JSON"),
        (json.dumps(GOOD).encode()[:-9], "not JSON"),
        (b"{'results': {}}", "not JSON"),
        (b"\xff\xfe" + json.dumps(GOOD).encode("utf-16-le"), "not UTF-8"),
        (json.dumps(GOOD).encode().replace(b"a", b"\xe9"), "not UTF-8"),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0)[:-9], "cannot be read"),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0)[:20] + b"garbage" * 9, "cannot be read"),
        (b"\x1f\x8b", "cannot be read"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"results": {"v": [{"segment": [1, ' + b"9" * 6000 + b"]}]}}", "not usable JSON"),
        (b"[]", "lacks results"),
        (b"3", "lacks results"),
        (b'{"result": {}}', "lacks results"),
        (b'{"results": []}', "lacks results"),
        (b'{"results": {"v": {"segment": [1, 2]}}}', "expected a list"),
        (b'{"results": {"v": [null]}}', "detection 0 of v"),
        (row(segment=None), "expected segment"),
        (row(segment=[1]), "expected segment"),
        (row(segment=[1, 2, 3]), "expected segment"),
        (row(segment=[1, "x"]), "expected segment"),
        (row(segment=[1, True]), "expected segment"),
        (row(segment=[1, float("nan")]), "finite"),
        (row(segment=[float("-inf"), 2.0]), "finite"),
        (row(segment=[1, 10**400]), "expected segment"),
        (row(score=None), "score"),
        (row(score=float("inf")), "finite"),
        (row(score="high"), "score"),
        (row(label=None), "label"),
        (row(label=3), "label in words"),
        (row(label=["a"]), "label in words"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, data, message):
    path = tmp_path / "result.json"
    path.write_bytes(data)
    with pytest.raises(MalformedDetections, match=message) as refused:
        read_detections(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 400


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(MalformedDetections, match=r"there is no file .*nothing\.json"):
        read_detections(tmp_path / "nothing.json")
    with pytest.raises(MalformedDetections, match="is not a file"):
        read_detections(tmp_path)
    (tmp_path / "plain.json.gz").write_bytes(json.dumps(GOOD).encode())
    with pytest.raises(MalformedDetections, match="is not gzip"):
        read_document(tmp_path / "plain.json.gz")


def test_more_than_fits_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.detection.files.LARGEST_BYTES", 1000)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * 10**7))
    with pytest.raises(MalformedDetections, match="more than"):
        read_document(tmp_path / "bomb.json.gz")
