"""Several sizes at once (scaling-facts A3): y = E + A / x1^alpha + B / x2^beta + ..., Hoffmann et al.'s third approach.

For frames x resolution, parameters x tokens, or frames x pixels x parameters. Fitted like the curves of one size, on
ln y with every size divided by its geometric mean; the cost is a sum, so that stopping does not depend on how large the
loss is, which is what the original fit fell for (Besiroglu et al., arXiv:2404.10102). Parameters are given at full
precision for the same reason.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.points import Numbers, Points, check_seeds, check_settings, points
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.resampling import UNLIKELY, choose_method, draw, lack_of_fit, why_not
from harness.analysis.fits.surface import LETTERS, Surface, checked_sizes, log_surface

MIN_DISTINCT, SPARE_SETTINGS = 3, 2
"""Values of each size, and settings over the number of parameters."""
FALL, SHARE = (-7.0, 3.0), (-12.0, 4.0)
"""Bounds of ln of an exponent, and of ln of a part of y over the mean y."""
SCREEN_ROUNDS, KEPT = 40, 12
"""After so many rounds only so many of the starts go on."""
ROUNDS, RESAMPLE_ROUNDS, RESAMPLE_TOLERANCE = 400, 100, 1e-4


class _How(NamedTuple):
    """How it is fitted and resampled."""

    level: float
    resamples: int
    seed: int
    bootstrap: str
    huber: float | None


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
    how = _How(level=level, resamples=resamples, seed=seed, bootstrap=bootstrap, huber=huber)
    return _fit((x1, x2), y, seeds, x_names, y_name, how)


def fit_sizes(
    sizes: Mapping[str, Numbers],
    y: Numbers,
    *,
    seeds: Sequence[object] | None = None,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    bootstrap: str = "auto",
    huber: float | None = None,
    y_name: str = "y",
) -> Surface | Refused:
    """Fit y = E + A / x1^alpha + ... over two or three sizes, given by their names; else as `fit_surface`.

    Raises:
        ValueError: as `fit_surface`, or there are neither two nor three sizes.
    """
    if not 2 <= len(sizes) <= len(LETTERS):
        raise ValueError(f"there are {len(sizes)} sizes, expected 2 or {len(LETTERS)}")
    how = _How(level=level, resamples=resamples, seed=seed, bootstrap=bootstrap, huber=huber)
    return _fit(tuple(sizes.values()), y, seeds, tuple(sizes), y_name, how)


def _fit(
    given: Sequence[Numbers],
    y: Numbers,
    seeds: Sequence[object] | None,
    x_names: tuple[str, ...],
    y_name: str,
    how: _How,
) -> Surface | Refused:
    sizes = np.stack(checked_sizes(given))
    settings, labels = np.unique(sizes.T, axis=0, return_inverse=True)
    check_settings(how.level, how.resamples)
    if seeds is not None:
        places = [" and ".join(f"{n} {v:g}" for n, v in zip(x_names, trial, strict=True)) for trial in sizes.T]
        check_seeds(places, seeds)
    data = points(labels.reshape(-1) + 1.0, y, seeds=seeds, x_name=" and ".join(x_names), y_name=y_name)
    num_parameters = 2 * len(x_names) + 1
    reason = _refusal(data, settings, x_names)
    if reason:
        return Refused(reason=f"no surface: {reason}")
    centre = np.array([*np.log(sizes).mean(axis=1), data.log_y.mean()])
    z, log_y = np.log(sizes) - centre[:-1, None], data.log_y - centre[-1]
    theta = _best(z, log_y, how.huber)
    fitted = log_surface(theta[None], z)[0][0] + centre[-1]
    squares = float(np.sum((fitted - data.log_y) ** 2))
    method = choose_method(data, num_parameters, squares, how.bootstrap)
    refused = "no resamples were asked for" if not how.resamples else why_not(data, method, num_parameters)
    thetas, noise = np.empty((0, num_parameters)), np.empty(0)
    if refused is None:
        drawn = draw(data, fitted, num_parameters, method, how.resamples, np.random.default_rng(how.seed))
        thetas, noise = _refit(z, drawn.log_y - centre[-1], drawn.weights, theta, how.huber), drawn.noise
    tail = (1 - how.level) / 2
    intervals = {} if refused else _natural(thetas, centre)
    return Surface(
        x_names=x_names,
        y_name=y_name,
        parameters={name: float(value[0]) for name, value in _natural(theta[None], centre).items()},
        intervals={name: tuple(np.quantile(sample, [tail, 1 - tail])) for name, sample in intervals.items()},
        interval_refused=refused,
        level=how.level,
        num_points=len(data.x),
        num_settings=len(settings),
        x_min=tuple(sizes.min(axis=1).tolist()),
        x_max=tuple(sizes.max(axis=1).tolist()),
        rmse_log=float(np.sqrt(squares / max(len(data.x) - num_parameters, 1))),
        bootstrap=method,
        num_resamples=len(thetas),
        seed=how.seed,
        warnings=(*_at_bounds(theta, x_names), *_missed(data, num_parameters, squares)),
        centre=centre,
        theta=theta,
        resampled=thetas,
        noise=noise,
    )


def _refusal(data: Points, settings: np.ndarray, x_names: tuple[str, ...]) -> str | None:
    for name, sizes in zip(x_names, settings.T, strict=True):
        num = len(np.unique(sizes))
        if num < MIN_DISTINCT:
            return f"{num} distinct value{'s'[: num != 1]} of {name}, expected at least {MIN_DISTINCT}"
    least = 2 * len(x_names) + 1 + SPARE_SETTINGS
    if len(settings) < least:
        return f"{len(settings)} settings of {data.x_name}, expected at least {least}"
    if (data.y == 0).any():
        return f"a trial has {data.y_name} 0, which has no place in a law of ln {data.y_name}"
    return f"{data.y_name} is the same everywhere" if np.ptp(data.y) == 0 else None


def _bounds(num_sizes: int) -> np.ndarray:
    return np.array([*(SHARE, FALL) * num_sizes, SHARE]).T


def _best(z: np.ndarray, log_y: np.ndarray, huber: float | None) -> np.ndarray:
    """Return the best of a grid of starts: shares of the parts and exponents."""
    starts = np.array(
        [
            (*np.stack([np.log(share * np.array(parts)), np.log(falls)], axis=1).ravel(), np.log(1 - share))
            for share in (0.3, 0.7, 0.97)
            for parts in _splits(len(z))
            for falls in product((0.15, 0.5, 1.2), repeat=len(z))
        ]
    )
    for rounds, kept in ((SCREEN_ROUNDS, KEPT), (ROUNDS, 1)):
        found = minimise(
            lambda theta: log_surface(theta, z),
            np.tile(log_y, (len(starts), 1)),
            starts,
            _bounds(len(z)),
            huber=huber,
            rounds=rounds,
        )
        starts = found.theta[np.argsort(found.cost)[:kept]]
    return starts[0]


def _splits(num_sizes: int) -> list[tuple[float, ...]]:
    """Return how the part of y that falls may be shared out: evenly, or one size having most of it."""
    most, rest = (0.8, 0.2 / (num_sizes - 1))
    uneven = [tuple(most if index == first else rest for index in range(num_sizes)) for first in range(num_sizes)]
    return [(1 / num_sizes,) * num_sizes, *uneven]


def _refit(z: np.ndarray, log_y: np.ndarray, weights: np.ndarray, theta: np.ndarray, huber: float | None) -> np.ndarray:
    """Return the fits of resamples, from the best fit and from a start with every part in play."""
    inside = np.log([*(0.6 / len(z), 0.5) * len(z), 0.4])
    found = [
        minimise(
            lambda thetas: log_surface(thetas, z),
            log_y,
            np.tile(start, (len(log_y), 1)),
            _bounds(len(z)),
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
    found = {"E": np.exp(theta[:, -1] + centre[-1])}
    for index, (a, alpha) in enumerate(LETTERS[: len(centre) - 1]):
        log_a, fall = theta[:, 2 * index], np.exp(theta[:, 2 * index + 1])
        found |= {a: np.exp(log_a + fall * centre[index] + centre[-1]), alpha: fall}
    return found


def _at_bounds(theta: np.ndarray, x_names: tuple[str, ...]) -> list[str]:
    found = []
    if theta[-1] < np.log(1e-3):
        found.append("E is 0 as far as these points tell")
    for name, log_share in zip(x_names, theta[:-1:2], strict=True):
        if log_share < np.log(1e-3):
            found.append(f"{name} makes no difference as far as these points tell")
    return found


def _missed(data: Points, num_parameters: int, squares: float) -> list[str]:
    lack = lack_of_fit(data, num_parameters, squares)
    if lack is None or lack.probability >= UNLIKELY:
        return []
    return [f"the means lie {lack.ratio:.1f} times farther from the surface than seeds explain"]
