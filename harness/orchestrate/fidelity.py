"""Successive halving over a ladder of cheap to dear values of one setting: the arithmetic. No Ray, no Optuna, no files.

    every point at the lowest rung --the best third--> the next rung --the best third--> ... the highest

A rung is a grid like any other, in which the setting is an axis with one value. So its trials are ordinary trials, and
those of the highest rung are the very trials that the study would run without a ladder.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.config import parse_value
from harness.study import Axis, Fidelity, Grid, axis_paths, lookup

FOLLOWERS: Mapping[str, tuple[str, ...]] = {"training.epochs": ("training.cosine_epochs", "training.warmup_epochs")}
"""Settings that keep their share of one that is the fidelity: a short run has the whole schedule, only shorter."""


def ladder(grid: Grid, fidelity: Fidelity) -> Grid:
    """Return the grid of all rungs: every point with every value of the fidelity, which is its last axis.

    A search runs each point once, with the grid's first seed.

    Raises:
        ValueError: the path is no number of its own, or a value does not fit the config.
    """
    path = fidelity.path
    for value in fidelity.values:
        parse_value(grid.base, path, f"{value:g}" if isinstance(value, float) else str(value))
    if path == "seed" or not isinstance(lookup(grid.base, path), int | float):
        raise ValueError(f"the fidelity is {path}, which is no amount; expected one such as data.window.frames")
    for axis in grid.axes:
        if path != axis and path in axis_paths(axis):
            others = ", ".join(other for other in axis_paths(axis) if other != path)
            raise ValueError(f"{path} changes together with {others} here and cannot be the fidelity")
    kept = {axis: values for axis, values in grid.axes.items() if axis != path}
    varied = {name for axis in kept for name in axis_paths(axis)}
    followers = [name for name in FOLLOWERS.get(path, ()) if name not in varied]
    axis, values = _axis(grid, fidelity, followers)
    return replace(grid, axes={**kept, axis: values}, seeds=grid.seeds[:1])


def rungs(whole: Grid) -> tuple[Grid, ...]:
    """Return one grid per rung of `ladder`'s, lowest first."""
    *_, (axis, values) = whole.axes.items()
    return tuple(replace(whole, axes={**whole.axes, axis: (value,)}) for value in values)


def promoted(
    scores: Mapping[str, float], eta: int, fits: Callable[[str], bool] = lambda point: True
) -> tuple[str, ...]:
    """Return the points that are run at the next rung, best first.

    Args:
        scores: mAP of every point of this rung that has one; what did not fit or failed has none. Equal ones are taken
            in this order.
        eta: one in so many climbs, rounded up.
        fits: whether a point can be run at the next rung; if not, the next best takes its place.
    """
    places = math.ceil(len(scores) / eta)
    chosen: list[str] = []
    for point in sorted(scores, key=lambda point: -scores[point]):
        if len(chosen) == places:
            break
        if fits(point):
            chosen.append(point)
    return tuple(chosen)


def rung_sizes(points: int, rungs: int, eta: int) -> tuple[int, ...]:
    """Return how many trials each rung has where every point gets a score."""
    sizes = [points]
    while len(sizes) < rungs:
        sizes.append(math.ceil(sizes[-1] / eta))
    return tuple(sizes)


def _axis(grid: Grid, fidelity: Fidelity, followers: Sequence[str]) -> tuple[Axis, tuple[Any, ...]]:
    if not followers:
        return fidelity.path, fidelity.values
    own = lookup(grid.base, fidelity.path)
    points = []
    for value in fidelity.values:
        shares = [round(lookup(grid.base, name) * value / own) for name in followers]
        points.append((value, *shares))
    return (fidelity.path, *followers), tuple(points)
