"""The points of a curve: single trials, checked, in logarithms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Numbers = Sequence[int | float] | np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Single trials: a size x above 0 and a loss-like y, 0 or more, each."""

    x: Float[np.ndarray, " trials"]
    y: Float[np.ndarray, " trials"]
    seeds: Sequence[object] | None
    x_name: str
    y_name: str

    @property
    def log_y(self) -> np.ndarray:
        """Return ln y."""
        return np.log(self.y)

    @property
    def centre(self) -> float:
        """Return the mean of ln x, by which x is scaled in fits."""
        return float(np.log(self.x).mean())

    @property
    def distinct(self) -> np.ndarray:
        """Return the distinct x, ascending."""
        return np.unique(self.x)

    @property
    def slope(self) -> float:
        """Return the slope of the least-squares line through ln y over ln x."""
        z = np.log(self.x) - self.centre
        return float(z @ self.log_y / (z @ z))

    def members(self) -> list[np.ndarray]:
        """Return the trials at each distinct x."""
        return [np.flatnonzero(self.x == size) for size in self.distinct]

    def take(self, chosen: np.ndarray) -> "Points":
        """Return some of the trials."""
        seeds = None if self.seeds is None else [self.seeds[index] for index in np.arange(len(self.x))[chosen]]
        return Points(x=self.x[chosen], y=self.y[chosen], seeds=seeds, x_name=self.x_name, y_name=self.y_name)


def points(x: Numbers, y: Numbers, *, seeds: Sequence[object] | None, x_name: str, y_name: str) -> Points:
    """Return checked points.

    Raises:
        ValueError: numbers out of range, not as many of each, or a seed twice at one x.
    """
    sizes, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if sizes.shape != values.shape or sizes.ndim != 1:
        raise ValueError(f"{sizes.size} values of {x_name} and {values.size} of {y_name}, expected as many of each")
    _check_range(sizes, sizes > 0, f"{x_name} is {{:g}} somewhere, expected finite numbers above 0")
    _check_range(values, values >= 0, f"{y_name} is {{:g}} somewhere, expected finite numbers, 0 or more")
    if seeds is not None:
        check_seeds([f"{x_name} {size:g}" for size in sizes], seeds)
    return Points(x=sizes, y=values, seeds=seeds, x_name=x_name, y_name=y_name)


def check_settings(level: float, resamples: int) -> None:
    """Raise ValueError when there is no such level or number of resamples."""
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}, expected between 0 and 1")
    if resamples < 0:
        raise ValueError(f"resamples is {resamples}, expected 0 or more")


def check_seeds(places: Sequence[str], seeds: Sequence[object]) -> None:
    """Raise ValueError when a seed comes twice at one place, or there are not as many seeds as trials."""
    if len(seeds) != len(places):
        raise ValueError(f"{len(seeds)} seeds for {len(places)} trials, expected one each")
    seen: set[tuple[str, object]] = set()
    for trial in zip(places, seeds, strict=True):
        if trial in seen:
            raise ValueError(f"two trials with seed {trial[1]} at {trial[0]}, expected one; split them into lines")
        seen.add(trial)


def _check_range(numbers: np.ndarray, allowed: np.ndarray, complaint: str) -> None:
    wrong = numbers[~(np.isfinite(numbers) & allowed)]
    if len(wrong):
        raise ValueError(complaint.format(wrong[0]))
