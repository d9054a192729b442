"""Profile likelihood: which values of one parameter the points allow when all others give way (scaling-facts A7).

Exponent and floor are strongly correlated, so their joint valley is curved, and what lies at a bound (a floor of 0)
has no standard error. The profile needs neither a straight valley nor an inner minimum: an end that the points do not
close is the bound itself.
"""

import numpy as np

from harness.analysis.fits.forms import Form
from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.points import Points
from harness.analysis.fits.search import Fit, box

GRID = 64
"""Values tried to either side of the best one, denser near to it."""


def profile_intervals(
    law: Form, data: Points, best: Fit, level: float, variance: float, freedom: int
) -> dict[str, tuple[float, float]]:
    """Return the interval of every parameter of the formula that follows from a single inner one, by name.

    Args:
        law: The form.
        data: What it was fitted to.
        best: The fit.
        level: Of the intervals.
        variance: Of ln y of a single trial.
        freedom: Degrees of freedom behind it; for m1 the interval is Student's.
    """
    from scipy.special import fdtri

    centre = data.centre
    allowed = best.cost + variance * float(fdtri(1, freedom, level))
    found = {}
    for name, (index, lowest) in law.profiled.items():
        low, is_open = _end(law, data, best, index, 0, allowed)
        high, _ = _end(law, data, best, index, 1, allowed)
        thetas = np.tile(best.theta, (2, 1))
        thetas[:, index] = low, high
        ends = law.natural(thetas, centre)[name].tolist()
        found[name] = tuple(sorted((lowest if is_open else ends[0], ends[1])))
    return found


def _end(law: Form, data: Points, best: Fit, index: int, side: int, allowed: float) -> tuple[float, bool]:
    """Return where the profile crosses the allowed cost below (0) or above (1), and whether it reaches the bound."""
    z = np.log(data.x) - data.centre
    bounds = box(law, z, data.log_y)
    origin, limit = best.theta[index], bounds[side, index]
    values = origin + (limit - origin) * np.linspace(0, 1, GRID + 1)[1:] ** 3
    starts = np.tile(best.theta, (GRID, 1))
    starts[:, index] = values
    costs = minimise(
        lambda theta: law.curve(theta, z[None]),
        np.tile(data.log_y, (GRID, 1)),
        starts,
        bounds,
        free=np.arange(law.num_parameters) != index,
    ).cost
    over = np.flatnonzero(costs > allowed)
    if not len(over):
        return float(limit), True
    first = int(over[0])
    before, excess_before = (origin, 0.0) if first == 0 else (values[first - 1], costs[first - 1] - best.cost)
    # The square root of what a parabola rises is linear, so the crossing is interpolated in it.
    low, high, target = np.sqrt(np.maximum([excess_before, costs[first] - best.cost, allowed - best.cost], 0.0))
    share = (target - low) / max(high - low, 1e-300)
    return float(before + np.clip(share, 0, 1) * (values[first] - before)), False
