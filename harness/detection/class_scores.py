"""Class scores of whole videos, from the files in which classifiers publish them (adatad-facts 8.3).

| file | layout |
|---|---|
| CUHK, InternVideo | `{"results": {video: [score of each class]}, "class" or "classes": [name]}` |
| TCANet (HACS) | the same, each video's scores in a list of their own |
| ActivityNet's classification results | `{"results": {video: [{"label": name, "score": x}]}}`, absent classes 0 |
| UntrimmedNet (THUMOS14) | `.npy`, row = number in the video's name - 1, column = number of the challenge's class - 1 |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.detection.files import MalformedDetections, read_document

THUMOS14_NUMBERS = {
    7: "BaseballPitch",
    9: "BasketballDunk",
    12: "Billiards",
    21: "CleanAndJerk",
    22: "CliffDiving",
    23: "CricketBowling",
    24: "CricketShot",
    26: "Diving",
    31: "FrisbeeCatch",
    33: "GolfSwing",
    36: "HammerThrow",
    40: "HighJump",
    45: "JavelinThrow",
    51: "LongJump",
    68: "PoleVault",
    79: "Shotput",
    85: "SoccerPenalty",
    92: "TennisSwing",
    93: "ThrowDiscus",
    97: "VolleyballSpiking",
}
"""The 20 classes with annotated segments, by their number among UCF101's."""


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """What a classifier thinks of each video."""

    classes: tuple[str, ...]
    rows: Mapping[str, Float[np.ndarray, " classes"]]

    def of(self, video_id: str, classes: Sequence[str] | None = None) -> Float[np.ndarray, " classes"]:
        """Return a video's scores, in the order of `classes` if given; ids may differ by ActivityNet's `v_`.

        Raises:
            ValueError: the video or a class is missing.
        """
        bare = video_id.removeprefix("v_")
        row = next((self.rows[name] for name in (video_id, bare, f"v_{bare}") if name in self.rows), None)
        if row is None:
            raise ValueError(f"video {video_id} has no class scores, expected scores of every video with proposals")
        if classes is None:
            return row
        column = {name: index for index, name in enumerate(self.classes)}
        missing = [name for name in classes if name not in column]
        if missing:
            raise ValueError(f"the class scores lack class {missing[0]!r}, expected one of {', '.join(self.classes)}")
        return row[[column[name] for name in classes]]


def read_class_scores(path: Path) -> ClassScores:
    """Read a classifier's file in any of the layouts above.

    Raises:
        MalformedDetections: the file cannot be used; the message names the place.
    """
    if path.suffix == ".npy":
        return _untrimmednet(path)
    document = read_document(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict) or not results:
        raise MalformedDetections(f'{path} lacks results, expected {{"results": {{video: [...]}}, "class": [...]}}')
    classes = document.get("class", document.get("classes"))
    if classes is None:
        return _labelled(results, path)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise MalformedDetections(f'{path} has "class" {classes!r}, expected a list of names')
    return ClassScores(
        classes=tuple(classes), rows={v: _dense(row, len(classes), path, v) for v, row in results.items()}
    )


def _untrimmednet(path: Path) -> ClassScores:
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MalformedDetections(f"{path} is not a usable .npy file: {error}") from None
    columns = [number - 1 for number in THUMOS14_NUMBERS]
    numeric = isinstance(table, np.ndarray) and table.dtype.kind == "f"
    if not numeric or table.ndim != 2 or table.shape[1] <= max(columns) or not np.isfinite(table).all():
        raise MalformedDetections(f"{path} is no table of finite numbers of videos x 101 classes")
    chosen = table[:, columns].astype(np.float64)
    return ClassScores(
        classes=tuple(THUMOS14_NUMBERS.values()),
        rows={f"video_test_{number:07d}": row for number, row in enumerate(chosen, start=1)},
    )


def _labelled(results: Mapping[str, Any], path: Path) -> ClassScores:
    try:
        pairs = {v: [(row["label"], float(row["score"])) for row in rows] for v, rows in results.items()}
        classes = sorted({label for rows in pairs.values() for label, _ in rows})
    except (KeyError, TypeError, ValueError):
        raise MalformedDetections(
            f'{path} has neither "class" nor results like [{{"label": name, "score": x}}], expected one of them'
        ) from None
    column = {label: index for index, label in enumerate(classes)}
    rows = {v: np.zeros(len(classes)) for v in pairs}
    for video_id, listed in pairs.items():
        for label, score in listed:
            rows[video_id][column[label]] = score
    return ClassScores(classes=tuple(classes), rows={v: _finite(row, path, v) for v, row in rows.items()})


def _dense(row: Any, num_classes: int, path: Path, video_id: str) -> np.ndarray:
    try:
        scores = np.array(row, dtype=np.float64)
    except (TypeError, ValueError):
        scores = np.empty((0, 0))
    if scores.ndim == 2 and len(scores) == 1:
        scores = scores[0]
    if scores.shape != (num_classes,):
        raise MalformedDetections(f"{path}: the scores of {video_id} are not {num_classes} numbers, one for each class")
    return _finite(scores, path, video_id)


def _finite(scores: np.ndarray, path: Path, video_id: str) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise MalformedDetections(f"{path}: a score of {video_id} is not finite, expected numbers")
    return scores
