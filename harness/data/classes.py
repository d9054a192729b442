"""Class lists in the forms people have them.

| form | example | from |
|---|---|---|
| one label a line | `BaseballPitch` | OpenTAD's `category_idx.txt`, our `classes.txt` |
| number and label | `7 BaseballPitch`, `000<TAB>"use_phone"` | THUMOS14's `detclasslist.txt`, Ego4D's `label_map.txt` |
| CSV with a header | `action`, or `id,key,...` | BMN's `action_name.csv`, EPIC-Kitchens' `EPIC_100_verb_classes.csv` |
| JSON list, or label -> number | `["Archery", ...]` | TSP's `action_label_mapping.json` |

The order in the file is that of the classes. EPIC-Kitchens' classes are called by their number, `id_012` by `12`.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from harness.data.files import read_json, read_rows, read_text
from harness.data.spec import Task

WHAT = "class list"
NUMBERED = re.compile(r"(\d+)[\t ]+(.+)")


def read_classes(path: Path, task: Task = "label") -> tuple[str, ...]:
    """Read a class list in any of the forms above.

    Raises:
        ValueError: the file cannot be read, is empty, or lists a label twice.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".json"):
        labels = _of_json(path)
    elif name.endswith(".csv"):
        labels = _of_csv(path, task)
    else:
        labels = _of_lines(read_text(path, WHAT).splitlines())
    classes = tuple(class_name(label, task) for label in labels)
    if not classes:
        raise ValueError(f"the class list {path} is empty, expected one label per line")
    label, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the class list {path} names {label!r} {times} times, expected each label once")
    return classes


def class_name(label: str, task: Task) -> str:
    """Return how a label is called here: EPIC-Kitchens' classes by their number, others as they are written."""
    if task == "label":
        return label
    bare = label.removeprefix("id_")
    return str(int(bare)) if bare.isdecimal() else bare


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of annotations as a class list: numbers by value, words by the alphabet."""
    unique = set(labels)
    return tuple(sorted(unique, key=int) if all(label.isdecimal() for label in unique) else sorted(unique))


def _of_lines(lines: Iterable[str]) -> list[str]:
    stripped = [line.strip() for line in lines if line.strip()]
    matches = [NUMBERED.fullmatch(line) for line in stripped]
    numbers = [int(match[1]) for match in matches if match]
    # A label may begin with a number itself; only a whole column of rising numbers is one.
    if len(numbers) == len(stripped) and numbers == sorted(set(numbers)):
        return [match[2].strip().strip('"') for match in matches if match]
    return stripped


def _of_csv(path: Path, task: Task) -> list[str]:
    header = next(csv.reader(read_text(path, WHAT).splitlines()[:1]), [])
    if "key" in header:
        column = "key" if task == "label" else "id"
    else:
        column = next(
            (name for name in header if name.strip().lower() in ("action", "label", "name", "class")), "action"
        )
    return [row[column.strip()].strip() for _, row in read_rows(path, (column.strip(),), WHAT)]


def _of_json(path: Path) -> list[str]:
    value = read_json(path, WHAT)
    if isinstance(value, dict) and all(isinstance(index, int) for index in value.values()):
        value = sorted(value, key=value.__getitem__)
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise ValueError(f"the class list {path} is no JSON list of labels, nor an object of labels and numbers")
    return value
