"""The best fit of a form to one set of points: many starts, and a second set of them as a check."""

from typing import NamedTuple

import numpy as np

from harness.analysis.fits.forms import Form
from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.points import Points

CHECK_SEED, CHECK_SPREAD = 0, 1.0
"""The second starts are the first ones, moved by normal deviates of this size in the inner parameters."""
SAME_COST = 1e-3
"""Costs that differ by less, as a share, are the same fit for every purpose of ours."""
SAME_CURVE = 1e-3
"""And so are curves whose ln y differs by less at every x, whatever their costs: those may be rounding errors of 0."""

SCREEN_ROUNDS, KEPT, LONG_ROUNDS = 24, 4, 300


class Fit(NamedTuple):
    """A form's best fit."""

    theta: np.ndarray
    cost: float
    """Sum of squared residuals of ln y (or twice the sum of Huber's losses)."""
    converged: bool
    """Whether the second starts led to no better fit."""


def best_fit(law: Form, data: Points, centre: float, *, huber: float | None = None, check: bool = True) -> Fit:
    """Return the best fit from the form's own starts; with `check` the better of that and of a second set of starts."""
    z = np.log(data.x) - centre
    starts = law.starts(z, data.log_y)
    if law.exact is not None and huber is None:
        theta = law.exact(z, data.log_y[None], np.ones((1, len(z))))
        return Fit(theta[0], float(np.sum((law.curve(theta, z[None])[0] - data.log_y) ** 2)), True)
    first = _descend(law, z, data.log_y, starts, huber)
    if not check:
        return Fit(*first, True)
    rng = np.random.default_rng(CHECK_SEED)
    second = _descend(law, z, data.log_y, starts + rng.normal(0, CHECK_SPREAD, starts.shape), huber)
    curves = law.curve(np.stack([first[0], second[0]]), z[None])[0]
    agree = second[1] >= first[1] * (1 - SAME_COST) or float(np.abs(curves[0] - curves[1]).max()) < SAME_CURVE
    return Fit(*min(first, second, key=lambda found: found[1]), bool(agree))


def box(law: Form, z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return the lower and the upper bounds of a form's inner parameters."""
    return np.array(law.bounds(z, log_y), dtype=np.float64).T


def _descend(
    law: Form, z: np.ndarray, log_y: np.ndarray, starts: np.ndarray, huber: float | None
) -> tuple[np.ndarray, float]:
    """Return the best end of descents from all starts; after some rounds only the best few go on."""
    for rounds, kept in ((SCREEN_ROUNDS, KEPT), (LONG_ROUNDS, 1)):
        found = minimise(
            lambda theta: law.curve(theta, z[None]),
            np.tile(log_y, (len(starts), 1)),
            starts,
            box(law, z, log_y),
            huber=huber,
            rounds=rounds,
        )
        order = np.argsort(found.cost)[:kept]
        starts = found.theta[order]
    return starts[0], float(found.cost[order[0]])
