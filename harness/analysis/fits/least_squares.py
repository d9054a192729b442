"""Non-linear least squares for many data sets at once: Levenberg and Marquardt's method on stacked arrays.

A bootstrap fits one form to a thousand data sets of the same size, each from a known start. scipy's solver takes one data
set at a time and about 10 ms for it; here all take their steps together.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Model = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Parameters (fits, parameters) and the fits' numbers -> values (fits, points), Jacobian (fits, points, parameters)."""
SMALLEST, LARGEST = 1e-12, 1e12
"""Damping at which a step is Gauss and Newton's, and at which there is no step left that improves."""


class Solution(NamedTuple):
    """Where the descents ended."""

    theta: Float[np.ndarray, "fits parameters"]
    cost: Float[np.ndarray, " fits"]
    """Sum of squared residuals, or twice the sum of Huber's losses."""
    converged: np.ndarray
    """Whether the steps had become negligible before the rounds were used up."""


def minimise(
    model: Model,
    y: Float[np.ndarray, "fits points"],
    starts: Float[np.ndarray, "fits parameters"],
    bounds: Float[np.ndarray, "2 parameters"],
    *,
    weights: Float[np.ndarray, "fits points"] | None = None,
    huber: float | None = None,
    free: np.ndarray | None = None,
    rounds: int = 200,
    tolerance: float = 1e-10,
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
        tolerance: A step that lowers the cost by less than this share of it is the last.
    """
    theta = np.clip(starts, *bounds)
    weights = np.ones_like(y) if weights is None else weights
    moving = np.ones(theta.shape[1], dtype=bool) if free is None else free
    active = np.arange(len(theta))
    damping = np.full(len(theta), 1e-3)
    values, jacobian = model(theta, active)
    cost = _cost(values - y, weights, huber)
    converged = np.zeros(len(theta), dtype=bool)
    for _ in range(rounds):
        step = _step(jacobian, (values - y)[active], weights[active], huber, damping[active], moving)
        trial = np.clip(theta[active] + step, *bounds)
        new_values, new_jacobian = model(trial, active)
        new_cost = _cost(new_values - y[active], weights[active], huber)
        better = new_cost < cost[active]
        gain = np.where(better, cost[active] - new_cost, 0.0)
        done = (better & (gain <= tolerance * cost[active])) | (cost[active] < 1e-28)
        moved = active[better]
        theta[moved], values[moved], cost[moved] = trial[better], new_values[better], new_cost[better]
        jacobian[better] = new_jacobian[better]
        damping[active] = np.where(better, np.maximum(damping[active] / 5, SMALLEST), damping[active] * 4)
        done |= damping[active] > LARGEST
        converged[active[done]] = True
        active, jacobian = active[~done], jacobian[~done]
        if not len(active):
            break
    return Solution(theta, cost, converged)


def _cost(residuals: np.ndarray, weights: np.ndarray, huber: float | None) -> np.ndarray:
    size = np.abs(residuals)
    losses = size**2 if huber is None else np.where(size <= huber, size**2, huber * (2 * size - huber))
    cost = np.sum(weights * losses, axis=-1)
    return np.where(np.isfinite(cost), cost, np.inf)


def _step(
    jacobian: np.ndarray,
    residuals: np.ndarray,
    weights: np.ndarray,
    huber: float | None,
    damping: np.ndarray,
    moving: np.ndarray,
) -> np.ndarray:
    """Return Marquardt's step; parameters that may not move stay."""
    if huber is not None:
        weights = weights * np.minimum(1.0, huber / np.maximum(np.abs(residuals), 1e-300))
    jacobian = np.nan_to_num(jacobian * moving, nan=0.0, posinf=0.0, neginf=0.0)
    weighted = jacobian * weights[:, :, None]
    square = np.swapaxes(weighted, 1, 2) @ jacobian
    gradient = (np.swapaxes(weighted, 1, 2) @ residuals[:, :, None])[:, :, 0]
    diagonal = np.einsum("fpp->fp", square)
    # The floor keeps the matrix regular where a parameter has no influence at all.
    lift = damping[:, None] * np.maximum(diagonal, 1e-12) + 1e-15
    square = square + np.eye(square.shape[1]) * lift[:, :, None]
    return -np.linalg.solve(square, gradient[:, :, None])[:, :, 0]
