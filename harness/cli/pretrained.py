"""Which pretrained weights the trials of a grid start from: their identity in the configs, and the files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cli.cache import cache_dir
from harness.cli.offline import features_identity
from harness.cli.options import Options, UserError
from harness.cli.terminal import Terminal
from harness.cli.weights import weights_file
from harness.config import with_values
from harness.study import Axis, Grid, axis_paths
from models.config import BackboneConfig, OfflineConfig
from models.digest import weights_digest


def backbones(grid: Grid) -> list[BackboneConfig]:
    """Return the different backbones of a grid's trials."""
    return list({trial.config.model.backbone.name: trial.config.model.backbone for trial in grid.trials()}.values())


def with_identities(grid: Grid, options: Options) -> Grid:
    """Put the weights' identity into the configs: other weights, other trials."""
    identities = {backbone.name: _identity(backbone, options) for backbone in backbones(grid)}
    if len(identities) > 1 and options.weights is not None and options.weights.is_file():
        raise UserError(
            f"--weights is {options.weights}, one file for {', '.join(identities)}; expected a folder with one for each"
        )
    if len(identities) == 1:
        return replace(grid, base=with_values(grid.base, {"model.weights": next(iter(identities.values()))}))
    return replace(grid, axes=dict(_paired(axis, values, identities) for axis, values in grid.axes.items()))


def _paired(axis: Axis, values: Sequence[Any], identities: Mapping[str, str]) -> tuple[Axis, Sequence[Any]]:
    """Let the weights change together with the backbone."""
    paths = axis_paths(axis)
    if "model.backbone" not in paths:
        return axis, values
    place = paths.index("model.backbone")
    points = [(value,) if isinstance(axis, str) else tuple(value) for value in values]
    return (*paths, "model.weights"), tuple((*point, identities[point[place].name]) for point in points)


def _identity(backbone: BackboneConfig, options: Options) -> str:
    """Return the identity of a backbone's weights: the file's digest or the recipe's; empty where none is known yet."""
    if isinstance(backbone, OfflineConfig):
        return features_identity(backbone, options.features)
    if options.weights is not None:
        # A dry run plans for weights that may lie on another machine.
        return weights_digest(weights_file(options.weights, backbone.name)) if options.weights.exists() else ""
    if backbone.name.endswith("-tiny"):
        from harness.training.pretrain import recipe_digest, recipe_of

        return recipe_digest(recipe_of(backbone, quick=options.preset == "quick"), backbone)
    return ""


def pretrained_files(grid: Grid, options: Options, terminal: Terminal) -> dict[str, Path | None]:
    """Return the file of each backbone's weights, pretraining the tiny ones; None: it has none.

    Raises:
        UserError: a published backbone, and no `--weights`.
    """
    found: dict[str, Path | None] = {}
    for backbone in backbones(grid):
        if isinstance(backbone, OfflineConfig):
            found[backbone.name] = None
        elif options.weights is not None:
            found[backbone.name] = weights_file(options.weights, backbone.name)
        elif backbone.name.endswith("-tiny"):
            from harness.training.pretrain import ensure_pretrained, recipe_of

            recipe = recipe_of(backbone, quick=options.preset == "quick")
            with terminal.stage(f"pretraining {backbone.name}") as progress:
                found[backbone.name] = ensure_pretrained(cache_dir() / "weights", recipe, backbone, progress)
        else:
            raise UserError(
                f"{backbone.name} needs --weights, a file or a folder with {backbone.name}.pth; "
                "--preset tiny needs none"
            )
    return found
