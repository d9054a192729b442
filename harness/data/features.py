"""Features on disk: one array per video, one vector per feature cell of the whole video.

    folder/<key>/<video id>.npy      float32 (cells, channels); cell k covers frames k * cell ... (k + 1) * cell - 1

`key` names everything that decides the numbers, so trials that differ in head, learning rate or seed share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from harness.atomic import whole_file
from harness.config import TrialConfig, digest_of, flatten
from harness.data.video_info import UnreadableVideo

DECISIVE = (
    *("data.fingerprint", "data.window.", "data.reduce_in", "data.frame_format"),
    *("model.backbone.", "model.weights", "model.representation."),
)
"""Config paths that decide a video's features; besides the precision they are computed in."""


@dataclass(frozen=True)
class FeatureStore:
    """The features of one data set from one backbone."""

    folder: Path

    @classmethod
    def of(cls, config: TrialConfig, root: Path) -> "FeatureStore":
        """Return the store below `root` that belongs to a trial."""
        return cls(root / digest_of(_decisive(flatten(config))))

    def path(self, video_id: str) -> Path:
        """Return a video's file; an id with characters that a file name cannot have is escaped."""
        return self.folder / f"{quote(video_id, safe=' ()+,=@[]')}.npy"

    def __contains__(self, video_id: str) -> bool:
        """Return whether a video has been extracted."""
        return self.path(video_id).is_file()

    def write(self, video_id: str, features: Float[ndarray, "cells channels"]) -> None:
        """Write a video's features; the file appears whole or not at all, whoever else writes it too."""
        with whole_file(self.path(video_id)) as temporary, temporary.open("wb") as file:
            np.save(file, features)

    def stored(self, video_id: str) -> Float[ndarray, "cells channels"]:
        """Return a video's features; what is not looked at is not read."""
        return np.load(self.path(video_id), mmap_mode="r")

    def read(self, video_id: str, first: int, count: int) -> Float[ndarray, "count channels"]:
        """Return `count` cells from cell `first` on; past the video's end they are zero.

        Raises:
            UnreadableVideo: the features are not numbers, or not there any more.
        """
        stored = self.stored(video_id)
        found = stored[first : first + count]
        cells = np.zeros((count, stored.shape[1]), dtype=np.float32)
        cells[: len(found)] = found
        return _finite(cells)

    def read_whole(self, video_id: str, count: int) -> Float[ndarray, "count channels"]:
        """Return the features of a whole video brought to `count` cells.

        Linear between the middles of cells, which at the ends are those of the first and the last (torch's `linear`
        without `align_corners`).

        Raises:
            UnreadableVideo: as for `read`.
        """
        stored = np.asarray(self.stored(video_id), dtype=np.float32)
        place = np.clip((np.arange(count) + 0.5) * len(stored) / count - 0.5, 0, len(stored) - 1)
        before = np.floor(place).astype(np.int64)
        after = np.minimum(before + 1, len(stored) - 1)
        share = (place - before)[:, None].astype(np.float32)
        return _finite(stored[before] * (1 - share) + stored[after] * share)


def _finite(cells: Float[ndarray, "count channels"]) -> Float[ndarray, "count channels"]:
    if not np.isfinite(cells).all():
        raise UnreadableVideo("its features hold values that are not numbers")
    return cells


def _decisive(flat: Mapping[str, Any]) -> dict[str, Any]:
    # Random weights come from the seed.
    paths = (*DECISIVE, "training.precision", *(() if flat["model.weights"] else ("seed",)))
    return {path: value for path, value in flat.items() if path.startswith(paths)}
