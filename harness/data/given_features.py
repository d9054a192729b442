"""Features that somebody extracted before: a folder with one file per video, as published or by `tadscale extract`.

    folder/[any folder/]<video id>.npy | .npz | .pt     (time, channels) or (channels, time), told apart by the channels
    folder/features.json                                 optional: what the files do not say

    {"channels": 2048, "stride": 4, "fps": 30, "offset": 8, "layout": "time_first"}

| key | meaning | if absent |
|---|---|---|
| `channels` | values per feature | the length that all files have in common |
| `stride` | frames from one feature to the next | features spread evenly over the video's duration |
| `fps` | frames per second: a number, or `{video: number}` | as for `stride`; both or none |
| `offset` | frame in the middle of the first feature's frames | half of `stride` |
| `layout` | `time_first` or `channels_first`, where both lengths are that of the channels | `time_first` |
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from numpy import ndarray

from harness.data.feature_files import MalformedFeatures, load_array, shape_of
from harness.data.features import FeatureStore
from harness.data.files import read_json
from harness.data.video_info import UnreadableVideo

SUFFIXES = (".npy", ".npz", ".pt")
FACTS = "features.json"
ENDS_BYTES = 4096
LOOKED_AT = 32
"""Files whose shapes tell the number of channels."""


@dataclass(frozen=True, kw_only=True)
class FeatureFacts:
    """What `features.json` says."""

    channels: int | None = None
    stride: float | None = None
    fps: float | Mapping[str, float] | None = None
    offset: float | None = None
    layout: Literal["time_first", "channels_first"] = "time_first"

    def fps_of(self, video_id: str) -> float | None:
        """Return the frames per second of a video's features, where they are known."""
        if not isinstance(self.fps, Mapping):
            return self.fps
        return next((self.fps[name] for name in spellings(video_id) if name in self.fps), None)


@dataclass(frozen=True)
class GivenFeatures(FeatureStore):
    """A folder of features as one reads them: (time, channels) per video."""

    channels: int = 0
    facts: FeatureFacts = FeatureFacts()
    files: Mapping[str, Path] = field(default_factory=dict)
    """By the name without its ending."""

    @classmethod
    def open(cls, folder: Path, channels: int | None = None) -> "GivenFeatures":
        """Look at a folder.

        Args:
            folder: what `--features` names.
            channels: values per feature, where they are known.

        Raises:
            ValueError: the folder holds no features, or it is not clear how many channels they have.
        """
        files = _files(folder)
        facts = read_facts(folder)
        channels = channels or facts.channels or _common_length(files)
        return cls(folder, channels=channels, facts=facts, files=files)

    @property
    def identity(self) -> str:
        """Return 16 hex digits of the files' names, sizes, beginnings and ends, and of what is said of them."""
        digest = hashlib.sha256(repr(self.facts).encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"{name} {path.stat().st_size} ".encode() + _ends(path))
        return digest.hexdigest()[:16]

    def path(self, video_id: str) -> Path:
        """Return a video's file; ids may differ by ActivityNet's `v_`."""
        found = next((self.files[name] for name in spellings(video_id) if name in self.files), None)
        return found or self.folder / f"{video_id}.npy"

    def length(self, video_id: str) -> int:
        """Return how many features a video has.

        Raises:
            MalformedFeatures: its file cannot be used.
        """
        path = self.path(video_id)
        return self._oriented(path, shape_of(path))[0]

    def stored(self, video_id: str) -> Float[ndarray, "cells channels"]:
        """Return a video's features.

        Raises:
            UnreadableVideo: its file cannot be used any more.
        """
        path = self.path(video_id)
        try:
            values = load_array(path)
            cells, turned = self._oriented(path, values.shape)
        except MalformedFeatures as error:
            raise UnreadableVideo(str(error)) from None
        values = values.T if turned else values
        assert len(values) == cells
        return values

    def write(self, video_id: str, features: Float[ndarray, "cells channels"]) -> None:
        """Never: they are the user's."""
        raise AssertionError("given features are only read")

    def _oriented(self, path: Path, shape: tuple[int, ...]) -> tuple[int, bool]:
        """Return how many features a file has and whether its channels come first."""
        rows, columns = shape
        first, last = rows == self.channels, columns == self.channels
        if not first and not last:
            raise MalformedFeatures(f"{path} has the shape {rows} x {columns}, expected {self.channels} channels")
        turned = first and (not last or self.facts.layout == "channels_first")
        return (columns, True) if turned else (rows, False)


def spellings(video_id: str) -> tuple[str, str, str]:
    """Return the names that a video's file may have: ActivityNet's `v_` is there or not."""
    bare = video_id.removeprefix("v_")
    return video_id, bare, f"v_{bare}"


def read_facts(folder: Path) -> FeatureFacts:
    """Read `features.json`, if there is one.

    Raises:
        ValueError: it says something that is not understood.
    """
    path = folder / FACTS
    if not path.is_file():
        return FeatureFacts()
    said = read_json(path, "description of features")
    known = FeatureFacts.__dataclass_fields__
    if not isinstance(said, dict) or any(key not in known for key in said):
        raise ValueError(f"{path} says {_short(said)}, expected an object with some of {', '.join(known)}")
    checks: dict[str, Any] = {
        "channels": lambda value: type(value) is int and value > 0,
        "stride": _above_zero,
        "fps": lambda value: _above_zero(value) or (isinstance(value, dict) and all(map(_above_zero, value.values()))),
        "offset": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
        "layout": lambda value: value in ("time_first", "channels_first"),
    }
    for key, value in said.items():
        if value is not None and not checks[key](value):
            raise ValueError(f"{path} has {key} {_short(value)}, which is none")
    facts = FeatureFacts(**{key: value for key, value in said.items() if value is not None})
    if (facts.stride is None) != (facts.fps is None):
        raise ValueError(f"{path} has one of stride and fps, expected both or none")
    return facts


def _above_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}, expected one file of features per video in it")
    files: dict[str, Path] = {}
    for path in _walk(folder):
        if path.stem in files:
            raise ValueError(f"{files[path.stem]} and {path} are features of one video, expected one file for each")
        files[path.stem] = path
    if not files:
        raise ValueError(f"{folder} holds no features, expected one {', '.join(SUFFIXES)} per video")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix in SUFFIXES:
                yield Path(place, name)


def _common_length(files: Mapping[str, Path]) -> int:
    """Return the length that all files have in one direction: their channels."""
    shapes: dict[Path, tuple[int, ...]] = {}
    for path in list(files.values())[:LOOKED_AT]:
        try:
            shapes[path] = shape_of(path)
        except MalformedFeatures:
            continue
    if not shapes:
        path = next(iter(files.values()))
        shape_of(path)  # says what is wrong
    common = set.intersection(*(set(shape) for shape in shapes.values()))
    if len(common) == 1:
        return common.pop()
    some = "; ".join(f"{path.name} {' x '.join(map(str, shape))}" for path, shape in list(shapes.items())[:2])
    raise ValueError(
        f'it is not clear how many channels the features have ({some}), expected "channels" in {FACTS} beside them'
    )


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(ENDS_BYTES)
        file.seek(max(0, path.stat().st_size - ENDS_BYTES))
        return start + file.read(ENDS_BYTES)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
