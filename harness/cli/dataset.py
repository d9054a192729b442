"""`--on NAME`: a study's base config on another data set.

What the study sets as its own data set does becomes what the other data set sets; what it sets otherwise, it sets on
purpose, and that stays. Axes and `--set` come on top of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.config import TrialConfig, flatten, with_values
from harness.data.datasets import DATASETS, Arm, DatasetSpec, Variant
from harness.study import Axis, Grid, axis_paths

BACKBONE, RATE = "model.backbone", "training.adapter_lr"


def on_dataset(grid: Grid, spec: DatasetSpec, variant: Variant = "paper", *, external: bool = False) -> Grid:
    """Return the grid with its base on a data set, in one of its published variants.

    A base for synthetic videos is made for a laptop: on real data it keeps its size and schedule, and only what is
    true of the data changes.

    Args:
        grid: The study's trials.
        spec: The data set.
        variant: Which published settings.
        external: Whether an external classifier's scores are at hand.

    Raises:
        ValueError: a setting of the study does not fit the data set's.
    """
    base = grid.base
    values: dict[str, Any] = {}
    if "synthetic" not in (base.data.name, spec.name):
        current, own = flatten(base), _own(base, variant)
        new = _leaves(spec, base, variant, external)
        values = {path: value for path, value in new.items() if path in current and current[path] in own.get(path, ())}
    axes = {axis: _with_rates(axis, points, base.data.name, spec) for axis, points in grid.axes.items()}
    return replace(grid, base=with_values(base, {**values, **spec.facts()}), axes=axes)


def arm_of(config: TrialConfig) -> Arm:
    """Return which arm of a comparison a config is."""
    adapter = config.model.adapter
    return "outside" if adapter is not None and adapter.placement == "outside" else config.model.tuning


def _with_rates(axis: Axis, points: Sequence[Any], own: str, spec: DatasetSpec) -> Sequence[Any]:
    """Return an axis over backbones with the rates published on a data set where it has those of its own."""
    paths = axis_paths(axis)
    if own == "synthetic" or not {BACKBONE, RATE} <= set(paths):
        return points
    at, rate_at = paths.index(BACKBONE), paths.index(RATE)
    return tuple(
        (*point[:rate_at], spec.adapter_lr(point[at].name), *point[rate_at + 1 :])
        if point[rate_at] == DATASETS[own].adapter_lr(point[at].name)
        else point
        for point in points
    )


def _own(base: TrialConfig, variant: Variant) -> dict[str, tuple[Any, ...]]:
    """Return what the base's own data set sets each path to: the paper's value, and the variant's."""
    spec, scored = DATASETS[base.data.name], base.detection.external != "none"
    published = [_leaves(spec, base, which, scored) for which in ("paper", variant)]
    return {path: tuple(leaves[path] for leaves in published if path in leaves) for path in published[0]}


def _leaves(spec: DatasetSpec, base: TrialConfig, variant: Variant, external: bool) -> dict[str, Any]:
    """Return a data set's settings for a study's arm, backbone and head, down to the single fields of the head."""
    values = spec.settings(variant, arm_of(base), base.model.head.kind, external=external)
    head = values.pop("model.head", None)
    if head is not None:
        values.update(flatten(head, "model.head."))
    adapter = base.model.adapter
    if adapter is not None and adapter.placement == "inside":
        values["model.adapter.last_layers"] = spec.adapter_last_layers.get(variant)
    return {**values, RATE: spec.adapter_lr(base.model.backbone.name)}
