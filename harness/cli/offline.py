"""`--features DIR`: a study on features that somebody extracted, instead of a backbone and video files."""

from dataclasses import replace
from pathlib import Path

from harness.cli.options import UserError
from harness.config import with_values
from harness.data.given_features import GivenFeatures
from harness.study import Grid
from models.config import OfflineConfig

NAME = "offline"
"""Of the backbone that there is none; which features they are says `model.weights`."""


def on_features(grid: Grid, folder: Path | None) -> Grid:
    """Return the grid with its base on the features of a folder; unchanged if there is none.

    Raises:
        ValueError: the folder holds no usable features, or the study compares what features do not have.
    """
    if folder is None:
        return grid
    taken = [path for path in grid.paths if path.startswith(("model.backbone", "model.adapter", "model.tuning"))]
    if taken:
        raise UserError(f"--features is {folder}, but the study varies {taken[0]}; expected a study of one backbone")
    backbone = OfflineConfig(name=NAME, channels=GivenFeatures.open(folder).channels)
    values = {"model.backbone": backbone, "model.tuning": "features", "model.adapter": None}
    return replace(grid, base=with_values(grid.base, values))


def features_identity(backbone: OfflineConfig, folder: Path | None) -> str:
    """Return the identity of the features that a trial reads.

    Raises:
        UserError: there is no folder of them.
    """
    if folder is None:
        raise UserError(f"model.backbone is {backbone.name}, expected --features DIR with one file per video")
    return GivenFeatures.open(folder, backbone.channels).identity
