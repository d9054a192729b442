"""What to spend a budget on: the sizes that give the least error by a fitted law, at a cost that a law foretells.

Errors are sums of falling powers and costs sums of rising products, so that in logarithms this is a convex problem
(a geometric program): the least that a grid finds is the least there is, up to the grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.analysis.fits.cost import CostLaw
from harness.analysis.fits.curve import FAR_REACH, WARN_REACH, Band
from harness.analysis.fits.surface import Surface

ZOOM_POINTS, ZOOM_ROUNDS = 25, 6
"""Values of each size on the grid that closes in on the optimum, and how often it does."""
SPREAD_POINTS, MOST_RESAMPLES = 31, 500
"""Values of each size on the grid that resamples choose from, and how many of them do."""
HALVINGS = 40


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The best use of a budget within four times the measured range of every size."""

    budget: float
    sizes: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    """At the law's level; empty where the law has none. The law of costs is taken as it is."""
    y: float
    y_interval: tuple[float, float] | None
    """Of the mean of trials at these sizes."""
    at_limit: tuple[str, ...]
    """Sizes that end at four times the measured range: the optimum lies farther."""
    far: tuple[str, ...]
    """Sizes past twice the measured range, for which there is no published evidence."""


def allocate(law: Surface, cost: CostLaw, budget: float) -> Allocation | None:
    """Return the sizes of the least y that cost at most `budget`; None where not even the smallest do."""
    limits = np.log([(low / FAR_REACH, high * FAR_REACH) for low, high in zip(law.x_min, law.x_max, strict=True)])
    if cost.at(*np.exp(limits[:, 0])) > budget:
        return None
    sizes = np.exp(_optimum(law, cost, budget, limits))
    band = law.confidence_band(*sizes, far=True)
    times = [max(size / high, low / size) for size, low, high in zip(sizes, law.x_min, law.x_max, strict=True)]
    past = dict(zip(law.x_names, times, strict=True))
    return Allocation(
        budget=budget,
        sizes=dict(zip(law.x_names, sizes.tolist(), strict=True)),
        intervals=_intervals(law, cost, budget, limits, np.log(sizes)),
        y=float(law.predict(*sizes, far=True)[0]),
        y_interval=None if band is None else _ends(band),
        at_limit=tuple(name for name, time in past.items() if time > 0.99 * FAR_REACH),
        far=tuple(name for name, time in past.items() if time > WARN_REACH),
    )


def _optimum(law: Surface, cost: CostLaw, budget: float, limits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the best sizes: a grid that closes in on them."""
    box, best = limits[:-1], limits[:, 0]
    for _ in range(ZOOM_ROUNDS):
        places = _affordable(cost, budget, _grid(box, ZOOM_POINTS), limits[-1])
        best = places[:, int(np.argmin(law.predict(*np.exp(places), far=True)))]
        step = 2 * (box[:, 1] - box[:, 0]) / (ZOOM_POINTS - 1)
        box = np.clip(np.stack([best[:-1] - step, best[:-1] + step], axis=1), limits[:-1, :1], limits[:-1, 1:])
    return best


def _intervals(
    law: Surface, cost: CostLaw, budget: float, limits: np.ndarray, best: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return where the optima of the resamples lie: a grid over everything, then one over where they all are."""
    if not len(law.resampled):
        return {}
    box, optima = limits[:-1], np.empty((len(limits), 0))
    for _ in range(2):
        places = _affordable(cost, budget, _grid(box, SPREAD_POINTS), limits[-1])
        optima = places[:, np.argmin(law.predict_each(*np.exp(places), most=MOST_RESAMPLES), axis=1)]
        step = (box[:, 1] - box[:, 0]) / (SPREAD_POINTS - 1)
        ends = np.stack([optima[:-1].min(axis=1) - step, optima[:-1].max(axis=1) + step], axis=1)
        box = np.clip(ends, limits[:-1, :1], limits[:-1, 1:])
    tail = (1 - law.level) / 2
    low, high = np.quantile(optima, [tail, 1 - tail], axis=1)
    # At a limit all of them agree up to the grid, and the best is one of them.
    both = np.exp(np.stack([np.minimum(low, best), np.maximum(high, best)], axis=1))
    return {name: (low, high) for name, (low, high) in zip(law.x_names, both.tolist(), strict=True)}


def _grid(box: np.ndarray, num: int) -> np.ndarray:
    axes = [np.linspace(low, high, num) for low, high in box]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes)])


def _affordable(cost: CostLaw, budget: float, places: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return the logarithms of all sizes: the last one as large as the budget allows beside the others."""

    def costs(last: np.ndarray) -> np.ndarray:
        return cost.at(*np.exp([*places, last]))

    low, high = (np.full(places.shape[1], limit) for limit in limits)
    possible = costs(low) <= budget
    places, low, high = places[:, possible], low[possible], high[possible]
    low = np.where(costs(high) <= budget, high, low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = costs(middle) <= budget
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.stack([*places, low])


def _ends(band: Band) -> tuple[float, float]:
    return float(band[0][0]), float(band[1][0])
