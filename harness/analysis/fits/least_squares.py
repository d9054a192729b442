"""Non-linear least squares for many data sets at once: Levenberg and Marquardt's method on stacked arrays.

A bootstrap fits one form to a thousand data sets of the same size. scipy's solver takes them one at a time and about
10 ms for each; here all take their steps together. Steps are bent along the valley they are in (geodesic
acceleration, Transtrum and Sethna, arXiv:1201.5885): where several parameters are hardly told apart, as in m4,
straight steps take a hundred times as many rounds.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Model = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Parameters (fits, parameters) -> values (fits, points), Jacobian (fits, points, parameters)."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-12, 1e10
EASED, RAISED = 5.0, 4.0
"""What damping is divided by after a step that improved and multiplied by after one that did not."""
PROBE, MOST_BEND = 0.1, 0.75
"""Share of a step at which its curvature is probed; largest bend that is trusted, both as in the paper."""
WINDOW = 8
"""Rounds over which progress is judged: one refused step says nothing."""


class Solution(NamedTuple):
    """Where the descents ended."""

    theta: Float[np.ndarray, "fits parameters"]
    cost: Float[np.ndarray, " fits"]
    """Sum of weighted squared residuals, or twice the sum of Huber's losses."""
    converged: Bool[np.ndarray, " fits"]
    """Whether progress had become negligible before the rounds were used up."""


def minimise(
    model: Model,
    y: Float[np.ndarray, "fits points"],
    starts: Float[np.ndarray, "fits parameters"],
    bounds: Float[np.ndarray, "2 parameters"],
    *,
    weights: Float[np.ndarray, "fits points"] | None = None,
    huber: float | None = None,
    free: Bool[np.ndarray, " parameters"] | None = None,
    rounds: int = 200,
    tolerance: float = 1e-9,
) -> Solution:
    """Minimise the sum of weighted squared residuals of each fit from its own start.

    Args:
        model: What is fitted.
        y: Data of each fit.
        starts: Where each descent begins.
        bounds: Smallest and largest value of each parameter; steps end there.
        weights: Of every point; 1 without.
        huber: Residuals above it count linearly.
        free: Which parameters may move; all without.
        rounds: Steps at most, refused ones included.
        tolerance: Progress over `WINDOW` rounds, as a share of the cost, below which a descent is done.
    """
    descent = _Descent(model, np.asarray(bounds), huber, np.ones(starts.shape[1], dtype=bool) if free is None else free)
    y, weights = np.asarray(y, dtype=np.float64), np.ones_like(y) if weights is None else weights
    theta, converged = np.clip(starts, *bounds), np.zeros(len(starts), dtype=bool)
    cost, damping = np.empty(len(starts)), np.full(len(starts), FIRST_DAMPING)
    active = np.arange(len(starts))
    values, jacobian = model(theta)
    cost[:] = descent.cost(values - y, weights)
    earlier = cost.copy()
    for count in range(1, rounds + 1):
        data, weight = y[active], weights[active]
        step = descent.step(theta[active], values, jacobian, data, weight, damping[active])
        trial = np.clip(theta[active] + step, *bounds)
        new_values, new_jacobian = model(trial)
        new_cost = descent.cost(new_values - data, weight)
        better = new_cost < cost[active]
        moved = active[better]
        theta[moved], cost[moved] = trial[better], new_cost[better]
        values[better], jacobian[better] = new_values[better], new_jacobian[better]
        damping[active] = np.where(better, np.maximum(damping[active] / EASED, LEAST_DAMPING), damping[active] * RAISED)
        done = damping[active] > MOST_DAMPING
        if count % WINDOW == 0:
            done |= earlier[active] - cost[active] <= tolerance * cost[active]
            earlier[active] = cost[active]
        converged[active[done]] = True
        active, values, jacobian = active[~done], values[~done], jacobian[~done]
        if not len(active):
            break
    return Solution(theta, cost, converged)


class _Descent(NamedTuple):
    """What stays the same from round to round."""

    model: Model
    bounds: np.ndarray
    huber: float | None
    free: np.ndarray

    def cost(self, residuals: np.ndarray, weights: np.ndarray) -> np.ndarray:
        size = np.abs(residuals)
        losses = size**2
        if self.huber is not None:
            losses = np.where(size <= self.huber, losses, self.huber * (2 * size - self.huber))
        cost = np.sum(weights * losses, axis=1)
        return np.where(np.isfinite(cost), cost, np.inf)

    def step(
        self,
        theta: np.ndarray,
        values: np.ndarray,
        jacobian: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        damping: np.ndarray,
    ) -> np.ndarray:
        """Return Marquardt's step, bent by its curvature; parameters that are not free stay."""
        residuals = values - y
        if self.huber is not None:
            weights = weights * np.minimum(1.0, self.huber / np.maximum(np.abs(residuals), 1e-300))
        slopes = np.nan_to_num(jacobian * self.free, nan=0.0, posinf=0.0, neginf=0.0)
        turned = np.swapaxes(slopes * weights[:, :, None], 1, 2)
        square = turned @ slopes
        # The floor keeps the matrix regular where a parameter has no influence at all.
        scale = np.maximum(np.einsum("fpp->fp", square), 1e-12)
        inverse = np.linalg.inv(square + np.eye(square.shape[1]) * (damping[:, None] * scale + 1e-15)[:, :, None])
        straight = -_times(inverse, _times(turned, residuals))
        probed = self.model(np.clip(theta + PROBE * straight, *self.bounds))[0]
        curvature = 2 / PROBE * ((probed - values) / PROBE - _times(slopes, straight))
        bend = -_times(inverse, _times(turned, np.nan_to_num(curvature, nan=np.inf)))
        length = np.linalg.norm(straight * np.sqrt(scale), axis=1)
        trusted = 2 * np.linalg.norm(np.nan_to_num(bend, nan=np.inf) * np.sqrt(scale), axis=1) <= MOST_BEND * length
        return straight + np.where(trusted[:, None], bend / 2, 0.0)


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices @ vectors[:, :, None])[:, :, 0]
