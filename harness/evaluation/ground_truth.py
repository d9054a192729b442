"""Ground truth from annotations in the ActivityNet schema, taken as it is: the protocol decides what to drop.

    {"database": {video: {"subset": ..., "duration": seconds, "annotations": [{"segment": [s, e], "label": ...}, ...]}}}

The `database` level may be missing. Numbers may be in quotes. Actions of the label `Ambiguous` are THUMOS14's unscored
stretches and kept apart. Where an action has no `label`, EPIC-Kitchens' `verb_label` and `noun_label` (or `verb_class`,
`noun_class`) are used. DETAD's characteristics (`coverage`, `num-instances` ...) are kept where a file has them.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.evaluation.columns import ActionRow
from harness.evaluation.settings import Task

UNSCORED = "Ambiguous"
TRAITS = ("coverage", "length", "num-instances", "context-size", "context-distance", "agreement")
"""DETAD's characteristics of an action, as its annotation files call them."""


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The actions of one subset's videos."""

    subset: str
    actions: dict[str, list[ActionRow]]
    ambiguous: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Stretches that are not scored, where there are any."""
    durations: dict[str, float] = field(default_factory=dict)
    """In seconds, of the videos whose annotations say it."""
    traits: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Characteristics beside each action of `actions`."""

    @property
    def num_actions(self) -> int:
        """Actions of all videos."""
        return sum(map(len, self.actions.values()))

    def without(self, videos: Collection[str]) -> "GroundTruth":
        """Return the ground truth of the other videos."""
        return GroundTruth(
            subset=self.subset,
            actions=_without(self.actions, videos),
            ambiguous=_without(self.ambiguous, videos),
            durations=_without(self.durations, videos),
            traits=_without(self.traits, videos),
        )


def ground_truth_of(
    document: object, place: str, *, subsets: Sequence[str], task: Task = "label", without_v: bool = False
) -> GroundTruth:
    """Return the ground truth of the first of `subsets` (capitals do not matter) that the annotations have.

    Args:
        document: What the annotation file holds.
        place: What errors call it.
        subsets: Names of the wanted subset.
        task: What an action is called by.
        without_v: Drop a leading `v_` from video ids.

    Raises:
        ValueError: one sentence that names the place, video and value at fault.
    """
    database = _database(document, place)
    subset = _choose_subset(database, place, subsets)
    truth = GroundTruth(subset=subset, actions={})
    for name, entry in database.items():
        if entry["subset"] == subset:
            video_id = name.removeprefix("v_") if without_v else name
            if video_id in truth.actions:
                raise ValueError(f"{place} has video {video_id!r} twice, with and without v_; expected it once")
            _read_video(truth, video_id, entry, f"{place}: video {name!r}", task)
    if not truth.num_actions:
        raise ValueError(f"{place} has no action in subset {subset!r}, expected at least one")
    return truth


def number_of(value: object, where: str) -> float:
    """Return a finite number that may be in quotes."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError(f"{where} is {_short(value)}, expected a finite number")


def _database(document: object, place: str) -> dict[str, dict[str, Any]]:
    if not isinstance(document, dict):
        raise ValueError(f"{place} holds {_short(document)}, expected the ActivityNet schema")
    database = document.get("database", document)
    if not isinstance(database, dict) or not database:
        raise ValueError(f'{place} has "database" {_short(database)}, expected videos in it')
    for video_id, entry in database.items():
        if not isinstance(entry, dict):
            raise ValueError(f"{place}: video {video_id!r} is {_short(entry)}, expected an object with its annotations")
        if not isinstance(entry.get("subset"), str):
            raise ValueError(f'{place}: video {video_id!r} has no "subset", expected its name')
    return database


def _choose_subset(database: Mapping[str, Mapping[str, Any]], place: str, subsets: Sequence[str]) -> str:
    there = Counter(entry["subset"] for entry in database.values())
    by_name = {name.lower(): name for name in reversed(list(there))}
    for wanted in subsets:
        if wanted in there:
            return wanted
        if wanted.lower() in by_name:
            return by_name[wanted.lower()]
    listed = ", ".join(f"{name} ({count} videos)" for name, count in there.items())
    raise ValueError(f"{place} has no subset {' or '.join(subsets)}, only {listed}")


def _read_video(truth: GroundTruth, video_id: str, entry: Mapping[str, Any], where: str, task: Task) -> None:
    # Test videos of some data sets come without the key.
    annotations = entry.get("annotations", [])
    if not isinstance(annotations, list):
        raise ValueError(f'{where} has "annotations" {_short(annotations)}, expected a list')
    if entry.get("duration") is not None:
        truth.durations[video_id] = number_of(entry["duration"], f"{where}: duration")
    truth.actions[video_id], truth.traits[video_id] = [], []
    for number, annotation in enumerate(annotations, start=1):
        spot = f"{where}, annotation {number}"
        if not isinstance(annotation, dict):
            raise ValueError(f"{spot}, is {_short(annotation)}, expected an object with segment and label")
        start, end = _segment(annotation, spot)
        label = _label(annotation, task, spot)
        if label == UNSCORED:
            truth.ambiguous.setdefault(video_id, []).append((start, end))
            continue
        truth.actions[video_id].append((start, end, label))
        truth.traits[video_id].append(
            {
                name: number_of(annotation[name], f"{spot}, {name}")
                for name in TRAITS
                if annotation.get(name) is not None
            }
        )


def _segment(annotation: Mapping[str, Any], spot: str) -> tuple[float, float]:
    segment = annotation.get("segment")
    if not isinstance(segment, list) or len(segment) != 2:
        raise ValueError(f'{spot}, has "segment" {_short(segment)}, expected [start, end] in seconds')
    return number_of(segment[0], f"{spot}, start"), number_of(segment[1], f"{spot}, end")


def _label(annotation: Mapping[str, Any], task: Task, spot: str) -> str:
    if task == "action":
        return ",".join(_class_name(annotation, part, (), spot) for part in ("verb", "noun"))
    if task != "label":
        return _class_name(annotation, task, ("label",), spot)
    label = annotation.get("label")
    if not isinstance(label, str):
        raise ValueError(f'{spot}, has "label" {_short(label)}, expected a label in words')
    return label


def _class_name(annotation: Mapping[str, Any], task: str, else_from: Sequence[str], spot: str) -> str:
    """Return EPIC-Kitchens' class number, which is written `3`, `"3"` or `"id_3"`, or the class's name."""
    names = (f"{task}_label", f"{task}_class", task, *else_from)
    value = next((annotation[name] for name in names if name in annotation), None)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'{spot}, has "{names[0]}" {_short(value)}, expected the number or name of a class')
    return str(value).removeprefix("id_")


def _without(values: Mapping[str, Any], videos: Collection[str]) -> dict[str, Any]:
    return {video_id: value for video_id, value in values.items() if video_id not in videos}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
