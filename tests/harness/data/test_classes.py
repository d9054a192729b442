"""Class lists in every form that people have, and the ones that are none."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.classes import class_name, in_order, read_classes

pytestmark = pytest.mark.timeout(60)


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "run\njump high\n\n"),
        ("category_idx.txt", "\ufeffrun\r\njump high\r\n"),
        ("detclasslist.txt", "7 run\n9 jump high\n"),
        ("label_map.txt", '000\t"run"\n001\t"jump high"\n'),
        ("action_name.csv", "action\nrun\njump high\n"),
        ("classes.csv", "id,key,instances,category\n0,run,\"['a', 'b']\",x\n1,jump high,\"['c']\",y\n"),
        ("mapping.json", '["run", "jump high"]'),
        ("numbers.json", '{"jump high": 1, "run": 0}'),
    ],
)
def test_forms_give_the_same_classes(tmp_path: Path, name: str, text: str) -> None:
    assert read_classes(write(tmp_path, name, text)) == ("run", "jump high")


def test_labels_that_begin_with_a_number_are_labels(tmp_path: Path) -> None:
    lines = "3 pointer\n100 metres\n3 jumps\n"
    assert read_classes(write(tmp_path, "classes.txt", lines)) == ("3 pointer", "100 metres", "3 jumps")


def test_epic_classes_go_by_their_number(tmp_path: Path) -> None:
    path = write(tmp_path, "EPIC_100_verb_classes.csv", 'id,key,instances,category\n0,take,"[]",a\n12,open,"[]",b\n')
    assert read_classes(path, "verb") == ("0", "12")
    assert read_classes(write(tmp_path, "category_idx_verb.txt", "id_000\nid_012\n"), "verb") == ("0", "12")
    assert class_name("id_012", "label") == "id_012"


@pytest.mark.parametrize(
    ("folder", "name", "count", "first"),
    [
        ("activitynet13", "bmn_action_name.csv", 200, "Applying sunscreen"),
        ("activitynet13", "tsp_action_label_mapping.json", 200, "Applying sunscreen"),
        ("epic100", "EPIC_100_noun_classes.csv", 300, "tap"),
        ("epic100", "EPIC_100_verb_classes.csv", 97, "take"),
        ("ego4d_mq", "ego4d_label_map.txt", 110, "clean_/_repair_small_equipment_(mower,_trimmer_etc.)"),
        ("thumos14/annotation_test", "detclasslist.txt", 20, "BaseballPitch"),
    ],
)
def test_published_class_lists(shared_data: Path, folder: str, name: str, count: int, first: str) -> None:
    classes = read_classes(shared_data / "annotations" / folder / name)
    assert (len(classes), classes[0]) == (count, first)


DAMAGED = {
    "empty": ("classes.txt", b"", "is empty, expected one label per line"),
    "blank lines": ("classes.txt", b" \n\t\n", "is empty, expected one label per line"),
    "a label twice": ("classes.txt", b"run\njump\nrun\n", "names 'run' 2 times, expected each label once"),
    "not text": ("classes.txt", b"\xff\xfe\x00r", "cannot read the class list"),
    "half a gzip": ("classes.txt.gz", b"\x1f\x8b\x08\x00abc", "cannot read the class list"),
    "half a JSON": ("classes.json", b'["run", ', "is not JSON: Expecting value at line 1 column 9"),
    "JSON of numbers": ("classes.json", b"[1, 2]", "is no JSON list of labels"),
    "JSON of JSON": ("classes.json", b'{"run": {"id": 1}}', "is no JSON list of labels"),
    "CSV without a column of labels": ("classes.csv", b"foo,bar\n1,2\n", "has no column 'action'"),
    "CSV with a short row": ("classes.csv", b"id,key\n0,run\n1\n", "line 3 has 1 values, expected 2"),
    "CSV that is empty": ("classes.csv", b"", "has no column 'action'"),
    "EPIC's number twice": ("classes.txt", b"id_001\n1\n", "names '1' 2 times"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_class_list_is_one_sentence(tmp_path: Path, case: str) -> None:
    name, content, message = DAMAGED[case]
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_classes(write(tmp_path, name, content), "verb" if "EPIC" in case else "label")
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_class_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no class list"):
        read_classes(tmp_path / "classes.txt")


labels = st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\ufeff"), min_size=1).map(
    lambda text: f"x{text}".strip()
)


@given(classes=st.lists(labels, min_size=1, max_size=8, unique=True))
def test_lists_of_lines_and_json_read_back(tmp_path_factory: pytest.TempPathFactory, classes: list[str]) -> None:
    folder = tmp_path_factory.mktemp("classes")
    assert read_classes(write(folder, "classes.json", json.dumps(classes))) == tuple(classes)
    lines = read_classes(write(folder, "classes.txt", "\n".join(classes)))
    assert lines == tuple(classes)


@given(numbers=st.sets(st.integers(0, 999), min_size=1))
def test_numbered_classes_are_in_the_order_of_their_numbers(numbers: set[int]) -> None:
    assert in_order(map(str, numbers)) == tuple(map(str, sorted(numbers)))


@given(words=st.sets(st.text(st.characters(categories=("L",)), min_size=1), min_size=1))
def test_named_classes_are_in_alphabetical_order(words: set[str]) -> None:
    assert in_order(words) == tuple(sorted(words))
