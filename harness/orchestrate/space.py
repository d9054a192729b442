"""The points of a study as Optuna sees them: names and labels on one side, trials on the other.

An axis is a parameter named by its config path (several that change together are joined by ` + `). Its listed values
are categories, shown by a label that people can read; an axis with a range is a number between two bounds.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from harness.config import flatten
from harness.study import Axis, Grid, Range, Search, Trial, axis_paths, lookup

Label = str | int | float | bool | None
SEED = "seed"


@dataclass(frozen=True)
class Space:
    """The axes of a grid, some of them as ranges."""

    grid: Grid
    search: Search

    def __post_init__(self) -> None:
        """Refuse ranges for what is no axis or no number."""
        for path, bounds in self.search.ranges.items():
            if path not in self.grid.axes:
                raise ValueError(f"the search has a range for {path}, expected one of the study's axes")
            if not isinstance(lookup(self.grid.base, path), int | float):
                raise ValueError(f"the search has a range for {path}, whose values are no numbers")
            self._bounds(path, bounds)

    @property
    def name(self) -> str:
        """Name of the Optuna study: the method, and a digest of all that must be equal for points to be comparable."""
        grid = self.grid
        fixed = {path: value for path, value in flatten(grid.base).items() if path not in {*grid.paths, SEED}}
        ranges = {path: asdict(bounds) for path, bounds in self.ranges.items()}
        axes = {parameter(axis): sorted(map(str, self.labels(axis))) for axis in grid.axes if axis not in self.ranges}
        text = json.dumps([fixed, axes, ranges, self.search.objectives], sort_keys=True, default=str)
        return f"{self.search.method}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def ranges(self) -> Mapping[str, Range]:
        """The ranges that this search draws from; a grid has none."""
        return {} if self.search.method == "grid" else self.search.ranges

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from; the seed is a category where a grid has several."""
        drawn: dict[str, BaseDistribution] = {}
        for axis in self.grid.axes:
            if isinstance(axis, str) and axis in self.ranges:
                drawn[axis] = self._bounds(axis, self.ranges[axis])
            else:
                drawn[parameter(axis)] = CategoricalDistribution(list(self.labels(axis)))
        if self.search.method == "grid" and len(self.grid.seeds) > 1:
            drawn[SEED] = CategoricalDistribution(list(self.grid.seeds))
        return drawn

    def labels(self, axis: Axis) -> dict[Label, Any]:
        """Return the values of an axis by their label."""
        found: dict[Label, Any] = {}
        for value in self.grid.axes[axis]:
            label = _label(value)
            while label in found:
                label = f"{label}'"  # two heads of one kind, say, that differ in a field
            found[label] = value
        return found

    def trial(self, params: Mapping[str, Any]) -> Trial:
        """Return the trial at a point that was drawn.

        Raises:
            ValueError: the values do not fit the config or each other.
        """
        point = [
            params[parameter(axis)] if axis in self.ranges else self.labels(axis)[params[parameter(axis)]]
            for axis in self.grid.axes
        ]
        return self.grid.trial(point, params.get(SEED, self.grid.seeds[0]))

    def listed(self) -> Iterator[tuple[dict[str, Label], Trial]]:
        """Yield every listed point of the grid with its trial, in the grid's order."""
        labels = [self.labels(axis) for axis in self.grid.axes]
        for seed in self.grid.seeds:
            for names in itertools.product(*labels):
                params = dict(zip(map(parameter, self.grid.axes), names, strict=True))
                values = [known[name] for known, name in zip(labels, names, strict=True)]
                yield params | ({SEED: seed} if len(self.grid.seeds) > 1 else {}), self.grid.trial(values, seed)

    def _bounds(self, path: str, bounds: Range) -> BaseDistribution:
        if isinstance(lookup(self.grid.base, path), int):
            if bounds.low != int(bounds.low) or bounds.high != int(bounds.high):
                raise ValueError(f"{path} is a whole number, but its range is {bounds.low} to {bounds.high}")
            return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
        return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def parameter(axis: Axis) -> str:
    """Return the name of an axis: its path, or those that change together."""
    paths = axis_paths(axis)
    return paths[0] if len(paths) == 1 else " + ".join(path for path in paths if path != "model.weights")


def _label(value: Any) -> Label:
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Sequence):
        return ", ".join(str(_label(part)) for part in value)
    return str(getattr(value, "name", None) or getattr(value, "kind", None) or value)
