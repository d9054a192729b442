"""A study: a base config, the axes that vary, and seeds. Data only; what runs it is `harness.orchestrate`."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.config import TrialConfig, digest, with_values

State = Literal[
    "planned", "too_large", "running", "finished", "out_of_memory", "failed", "stopped_early", "interrupted"
]
"""What can become of a trial. The first and `running` never stand in a results row."""

DONE: frozenset[str] = frozenset({"finished", "too_large", "out_of_memory", "stopped_early"})
"""States after which a trial is not run again (until `--fresh`, or for `too_large` a larger budget)."""

FOLLOWING = ("model.weights",)
"""Paths that change together with one that people choose."""

Axis = str | tuple[str, ...]
"""A config path, or several that change together (then each value is a tuple of as many)."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The trials of one preset: every combination of the axes' values, for every seed."""

    base: TrialConfig
    axes: Mapping[Axis, Sequence[Any]]
    seeds: tuple[int, ...] = (0,)

    def trials(self) -> tuple["Trial", ...]:
        """Return the trials in order: the last axis varies fastest, seeds slowest, so that every point is seen early.

        Raises:
            ValueError: a value does not fit the config, or two trials are the same.
        """
        trials: dict[str, Trial] = {}
        for seed in self.seeds:
            for point in itertools.product(*self.axes.values()):
                trial = self.trial(point, seed)
                if trial.digest in trials:
                    raise ValueError(f"two trials of the study are the same: {self.describe(trial.config)}")
                trials[trial.digest] = trial
        return tuple(trials.values())

    def trial(self, point: Sequence[Any], seed: int) -> "Trial":
        """Return the trial at a point: one value per axis, which need not be one of those listed.

        Raises:
            ValueError: the values do not fit the config.
        """
        return Trial(config=with_values(self.base, {"seed": seed, **_paths(self.axes, tuple(point))}))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every config path that an axis varies, in order; not those that only follow from another."""
        return tuple(path for axis in self.axes for path in axis_paths(axis) if path not in FOLLOWING)

    def describe(self, config: TrialConfig) -> dict[str, Any]:
        """Return what tells a trial from its neighbours: `{path: value}` for the axes and the seed."""
        return {path: _short(lookup(config, path)) for path in (*self.paths, "seed")}

    def with_overrides(self, overrides: Mapping[str, Sequence[Any]]) -> "Grid":
        """Return the grid with paths fixed to one value or varied over several (`--set`).

        A path that is an axis keeps its place with the new values. Everything changes together, so that values that
        only fit each other can be given at once; the base takes the first value of every axis.

        Raises:
            ValueError: a path changes together with others in this study, or the values do not fit the config.
        """
        axes = dict(self.axes)
        fixed: dict[str, Any] = {}
        for path, values in overrides.items():
            for axis in axes:
                if path != axis and path in axis_paths(axis):
                    raise ValueError(f"{path} changes together with {', '.join(axis)} here and cannot be set alone")
            if len(values) > 1 or path in axes:
                axes[path] = tuple(values)
            else:
                fixed[path] = values[0]
        first = _paths(axes, tuple(values[0] for values in axes.values()))
        return replace(self, base=with_values(self.base, {**first, **fixed}), axes=axes)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One config that is to be run once."""

    config: TrialConfig

    @property
    def digest(self) -> str:
        """Identity of the trial: 16 hex digits of its config, seed included."""
        return digest(self.config)


SearchMethod = Literal["grid", "random", "optuna"]
SchedulerName = Literal["none", "asha", "median"]
SchedulerMetric = Literal["map", "loss"]
OBJECTIVES = ("map_avg", "peak_bytes")
"""Results columns that a search can aim at: the first upwards, the second downwards."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds between which a search draws the values of an axis."""

    low: float
    high: float
    log: bool = True
    """Draw evenly over the logarithm, as for learning rates."""

    def __post_init__(self) -> None:
        """Refuse bounds that enclose nothing."""
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"a search range is {self.low} to {self.high}, expected a lower and a higher bound")


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """A ladder of values of one setting, from cheap to dear, on which only the better points climb."""

    path: str
    values: tuple[int | float, ...]
    eta: int = 3
    """One in so many points climbs from a rung to the next."""

    def __post_init__(self) -> None:
        """Refuse ladders with one rung, or with the dear one first."""
        if len(self.values) < 2 or any(high <= low for low, high in itertools.pairwise(self.values)):
            given = ", ".join(map(str, self.values))
            raise ValueError(f"the fidelity {self.path} is {given}, expected at least two rising values")
        if self.eta < 2:
            raise ValueError(f"eta is {self.eta}, expected at least 2")


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which points of a study are run; the command line's `--search`, `--samples` ... come before it.

    A search draws points from the axes of the grid and runs each with the grid's first seed: an axis takes one of its
    listed values, or any value of its range. `grid` runs the listed values and ignores the rest.
    """

    method: SearchMethod = "grid"
    samples: int = 20
    """Points of a search, those of earlier runs included."""
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    """Bounds for axes of one numeric path, such as `training.adapter_lr`."""
    objectives: tuple[str, ...] = ("map_avg",)
    """Of `OBJECTIVES`: mAP alone, or mAP and memory for a front between them."""
    scheduler: SchedulerName = "none"
    """Who ends trials early: nobody, successive halving, or the median of the others."""
    scheduler_metric: SchedulerMetric = "map"
    """By what: mAP on the test subset, scored on the way, or the training loss."""
    fidelity: Fidelity | None = None
    """Run every point cheaply first, and only the best ones dearly."""

    def __post_init__(self) -> None:
        """Refuse searches that aim at nothing known."""
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}, expected at least 1")
        if not self.objectives or not set(self.objectives) <= set(OBJECTIVES):
            raise ValueError(f"objectives are {', '.join(self.objectives)}, expected some of {', '.join(OBJECTIVES)}")
        if self.fidelity is not None and self.scheduler != "none":
            raise ValueError(
                f"there is a fidelity ({self.fidelity.path}) and the scheduler {self.scheduler}, which both end trials "
                "that lag behind; expected one of them"
            )
        if self.fidelity is not None and self.objectives != ("map_avg",):
            raise ValueError(
                f"the objectives are {', '.join(self.objectives)}, but points climb by mAP alone; expected map_avg"
            )


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study script declares."""

    name: str
    title: str
    """One line for people: what is asked, and the paper's table."""
    presets: Mapping[str, Grid]
    """`tiny` runs on a laptop with synthetic video, `quick` is its shortest form, `paper` is the published setting."""
    x: str
    """Config path on the horizontal axis of the study's curve."""
    by: str | None = None
    """Config path that tells the curves apart."""
    measures: Literal["map", "memory"] = "map"
    """What the study is about; where it is memory, trials have cards of their own unless the command line objects."""
    search: Search = Search()
    """How points are chosen unless the command line says otherwise."""


def axis_paths(axis: Axis) -> tuple[str, ...]:
    """Return the config paths of an axis, paired or not."""
    return (axis,) if isinstance(axis, str) else axis


def _paths(axes: Mapping[Axis, Sequence[Any]], point: tuple[Any, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for axis, value in zip(axes, point, strict=True):
        values.update({axis: value} if isinstance(axis, str) else dict(zip(axis, value, strict=True)))
    return values


def lookup(config: object, path: str) -> Any:
    """Return the value at a config path, or None below an absent branch."""
    for name in path.split("."):
        if config is None:
            return None
        config = getattr(config, name)
    return config


def _short(value: Any) -> Any:
    return getattr(value, "name", None) or getattr(value, "kind", None) or value
