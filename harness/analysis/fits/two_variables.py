"""Two sizes at once (scaling-facts A3): y = E + A / x1^alpha + B / x2^beta, Hoffmann et al.'s third approach.

For frames x resolution, parameters x tokens and the like. Fitted like the curves of one size, on ln y with every size
divided by its geometric mean; the cost is a sum, so that stopping does not depend on how large the loss is, which is
what the original fit fell for (Besiroglu et al., arXiv:2404.10102). Parameters are given at full precision for the
same reason.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.points import Numbers, Points, check_seeds, check_settings, points
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.resampling import choose_method, draw, why_not
from harness.analysis.fits.surface import Surface, checked_pairs, log_surface

NUM_PARAMETERS, MIN_SETTINGS, MIN_DISTINCT = 5, 7, 3
FALL, SHARE = (-7.0, 3.0), (-12.0, 4.0)
"""Bounds of ln of an exponent, and of ln of a part of y over the mean y."""
ROUNDS, RESAMPLE_ROUNDS, RESAMPLE_TOLERANCE = 400, 100, 1e-4


def fit_surface(
    x1: Numbers,
    x2: Numbers,
    y: Numbers,
    *,
    seeds: Sequence[object] | None = None,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    bootstrap: str = "auto",
    huber: float | None = None,
    x_names: tuple[str, str] = ("x1", "x2"),
    y_name: str = "y",
) -> Surface | Refused:
    """Fit y = E + A / x1^alpha + B / x2^beta to single trials by least squares on ln y, or say why not.

    Args:
        x1: First size of each trial, above 0.
        x2: Second size of each trial, above 0.
        y: Loss-like outcome of each trial, above 0.
        seeds: Seed of each trial, where known.
        level: Of intervals and bands.
        resamples: Bootstrap resamples; 0 for none.
        seed: Of the resampling.
        bootstrap: As in `fit_curve`; repeats are trials that agree in both sizes.
        huber: Residuals of ln y above it count linearly; 1e-3 is Hoffmann et al.'s.
        x_names: What the sizes are called.
        y_name: What y is called.

    Raises:
        ValueError: a number out of range, not as many of each, or a setting that does not exist.
    """
    first, second = checked_pairs(x1, x2)
    pairs, labels = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)
    check_settings(level, resamples)
    if seeds is not None:
        check_seeds([f"{x_names[0]} {a:g} and {x_names[1]} {b:g}" for a, b in zip(first, second, strict=True)], seeds)
    data = points(labels.reshape(-1) + 1.0, y, seeds=seeds, x_name=" and ".join(x_names), y_name=y_name)
    reason = _refusal(data, pairs, x_names)
    if reason:
        return Refused(reason=f"no surface: {reason}")
    centre = np.array([np.log(first).mean(), np.log(second).mean(), data.log_y.mean()])
    z = np.stack([np.log(first) - centre[0], np.log(second) - centre[1]])
    theta = _best(z, data.log_y - centre[2], huber)
    fitted = log_surface(theta[None], z)[0][0] + centre[2]
    squares = float(np.sum((fitted - data.log_y) ** 2))
    method = choose_method(data, NUM_PARAMETERS, squares, bootstrap)
    refused = "no resamples were asked for" if not resamples else why_not(data, method, NUM_PARAMETERS)
    thetas, noise = np.empty((0, NUM_PARAMETERS)), np.empty(0)
    if refused is None:
        drawn = draw(data, fitted, NUM_PARAMETERS, method, resamples, np.random.default_rng(seed))
        thetas, noise = _refit(z, drawn.log_y - centre[2], drawn.weights, theta, huber), drawn.noise
    tail = (1 - level) / 2
    intervals = {} if refused else _natural(thetas, centre)
    return Surface(
        x_names=x_names,
        y_name=y_name,
        parameters={name: float(value[0]) for name, value in _natural(theta[None], centre).items()},
        intervals={name: tuple(np.quantile(sample, [tail, 1 - tail])) for name, sample in intervals.items()},
        interval_refused=refused,
        level=level,
        num_points=len(data.x),
        num_settings=len(pairs),
        x_min=(float(first.min()), float(second.min())),
        x_max=(float(first.max()), float(second.max())),
        rmse_log=float(np.sqrt(squares / max(len(data.x) - NUM_PARAMETERS, 1))),
        bootstrap=method,
        num_resamples=len(thetas),
        seed=seed,
        warnings=tuple(_at_bounds(theta, x_names)),
        centre=centre,
        theta=theta,
        resampled=thetas,
        noise=noise,
    )


def _refusal(data: Points, pairs: np.ndarray, x_names: tuple[str, str]) -> str | None:
    for name, sizes in zip(x_names, pairs.T, strict=True):
        num = len(np.unique(sizes))
        if num < MIN_DISTINCT:
            return f"{num} distinct value{'s'[: num != 1]} of {name}, expected at least {MIN_DISTINCT}"
    if len(pairs) < MIN_SETTINGS:
        return f"{len(pairs)} settings of {data.x_name}, expected at least {MIN_SETTINGS}"
    if (data.y == 0).any():
        return f"a trial has {data.y_name} 0, which has no place in a law of ln {data.y_name}"
    return f"{data.y_name} is the same everywhere" if np.ptp(data.y) == 0 else None


def _bounds() -> np.ndarray:
    return np.array([SHARE, FALL, SHARE, FALL, SHARE]).T


def _best(z: np.ndarray, log_y: np.ndarray, huber: float | None) -> np.ndarray:
    """Return the best of a grid of starts: shares of the parts and exponents."""
    starts = np.array(
        [
            (np.log(share * first), np.log(alpha), np.log(share * (1 - first)), np.log(beta), np.log(1 - share))
            for share, first in product((0.3, 0.7, 0.97), (0.2, 0.5, 0.8))
            for alpha, beta in product((0.15, 0.5, 1.2), repeat=2)
        ]
    )
    found = minimise(
        lambda theta: log_surface(theta, z),
        np.tile(log_y, (len(starts), 1)),
        starts,
        _bounds(),
        huber=huber,
        rounds=ROUNDS,
    )
    return found.theta[int(np.argmin(found.cost))]


def _refit(z: np.ndarray, log_y: np.ndarray, weights: np.ndarray, theta: np.ndarray, huber: float | None) -> np.ndarray:
    """Return the fits of resamples, from the best fit and from a start with every part in play."""
    inside = np.log([0.3, 0.5, 0.3, 0.5, 0.4])
    found = [
        minimise(
            lambda thetas: log_surface(thetas, z),
            log_y,
            np.tile(start, (len(log_y), 1)),
            _bounds(),
            weights=weights,
            huber=huber,
            rounds=RESAMPLE_ROUNDS,
            tolerance=RESAMPLE_TOLERANCE,
        )
        for start in (theta, inside)
    ]
    better = found[1].cost < found[0].cost
    return np.where(better[:, None], found[1].theta, found[0].theta)


def _natural(theta: np.ndarray, centre: np.ndarray) -> dict[str, np.ndarray]:
    log_a, log_alpha, log_b, log_beta, log_e = theta.T
    alpha, beta = np.exp(log_alpha), np.exp(log_beta)
    return {
        "E": np.exp(log_e + centre[2]),
        "A": np.exp(log_a + alpha * centre[0] + centre[2]),
        "alpha": alpha,
        "B": np.exp(log_b + beta * centre[1] + centre[2]),
        "beta": beta,
    }


def _at_bounds(theta: np.ndarray, x_names: tuple[str, str]) -> list[str]:
    found = []
    if theta[4] < np.log(1e-3):
        found.append("E is 0 as far as these points tell")
    for name, place in zip(x_names, (0, 2), strict=True):
        if theta[place] < np.log(1e-3):
            found.append(f"{name} makes no difference as far as these points tell")
    return found
