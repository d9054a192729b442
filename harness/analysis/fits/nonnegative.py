"""Prices that are nowhere below 0, by least relative deviations, and how well they foretell what was left out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def solve(design: Float[np.ndarray, "trials terms"], costs: Float[np.ndarray, " trials"]) -> list[float]:
    """Return a price for each term; columns of one size, so that the solver's tolerance means the same for all."""
    from scipy.optimize import nnls

    sizes = design.max(axis=0)
    sizes[sizes == 0] = 1.0
    solution, _ = nnls(design / sizes / costs[:, None], np.ones(len(costs)))
    return (solution / sizes).tolist()


def left_out(design: np.ndarray, costs: np.ndarray, settings: Sequence[np.ndarray] | np.ndarray) -> float | None:
    """Return the largest relative error of settings foretold from all others; None where they are too few for that.

    Args:
        design: Terms of each trial, the first of them 1.
        costs: Of each trial.
        settings: The distinct rows of the other terms.
    """
    if len(settings) <= design.shape[1] + 1:
        return None
    worst = 0.0
    for setting in settings:
        out = (design[:, 1:] == setting).all(axis=1)
        foretold = design[out] @ np.array(solve(design[~out], costs[~out]))
        worst = max(worst, float(np.abs(foretold / costs[out] - 1).max()))
    return worst
