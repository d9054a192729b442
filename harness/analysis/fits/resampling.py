"""What else the trials might have given: bootstrap resamples of single trials (scaling-facts A7).

    seeds       deviations from the mean of each x; needs two trials at every x
    residuals   deviations from the curve over all trials, where an x has a single one; supposes one spread in ln y
    pairs       trials with their x over all trials; x that are drawn by chance
    clusters    whole seeds over all x, where a seed stands for something that the trials of all x share

With few trials a plain bootstrap is too narrow: a mean of n seeds, or a curve of p parameters, lies too near to the
trials it comes from, and the spread of so few is itself uncertain. So for seeds and residuals deviations are enlarged
by sqrt(n / (n - 1)) or sqrt(n / (n - p)), and each resample's by sqrt(f / chi²(f)) with f degrees of freedom, which
for m1 and normal deviations gives Student's intervals. And seeds draws from the deviations of all x together, as if
ln y had one spread, unless every x has enough trials to know its own. Pairs and clusters are plain.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.points import Points

METHODS = ("seeds", "residuals", "pairs", "clusters")
MIN_FREEDOM = 2
UNLIKELY = 0.01
"""Probability of so bad a fit, were the form right, below which it is held to be wrong."""
ENOUGH_SEEDS = 8
"""Trials at an x from which their own spread is used. With 2 or 3, intervals of m1 that say 90 % hold 80 to 85 times in
a hundred when each x keeps to its own deviations, and 87 to 91 times when they are pooled."""


class Draws(NamedTuple):
    """Resampled data."""

    log_y: Float[np.ndarray, "resamples trials"]
    weights: Float[np.ndarray, "resamples trials"]
    """How often each trial counts."""
    noise: Float[np.ndarray, " resamples"]
    """A draw of ln of a single trial over the curve."""


def choose_method(data: Points, num_parameters: int, cost: float, method: str) -> str:
    """Return the method that `auto` stands for.

    Seeds, where every x has two trials and their means lie on the curve as well as seeds explain; else residuals, which
    also hold what the curve misses.

    Raises:
        ValueError: there is no such method, or it needs seeds that are not given.
    """
    if method == "auto":
        lack = lack_of_fit(data, num_parameters, cost)
        repeated = min(map(len, data.members())) > 1
        return "seeds" if repeated and not (lack and lack.probability < UNLIKELY) else "residuals"
    if method not in METHODS:
        raise ValueError(f"the bootstrap is {method!r}, expected auto, {', '.join(METHODS)}")
    if method == "clusters" and data.seeds is None:
        raise ValueError("the bootstrap is 'clusters', expected the seed of every trial with it")
    return method


class LackOfFit(NamedTuple):
    """How far the means of each x lie from the curve."""

    ratio: float
    """Their root mean square deviation over what seeds explain."""
    probability: float
    """Of so much or more, were the form right (F test)."""


def lack_of_fit(data: Points, num_parameters: int, cost: float) -> LackOfFit | None:
    """Return how badly a form misses the means; None where seeds do not tell."""
    from scipy.special import fdtrc

    free, freedom = len(data.distinct) - num_parameters, len(data.x) - len(data.distinct)
    if free < 1 or freedom < 1:
        return None
    within = sum(float(np.var(data.log_y[group])) * len(group) for group in data.members())
    if within == 0:
        return None
    ratio = max(cost - within, 0.0) / free / (within / freedom)
    return LackOfFit(float(np.sqrt(ratio)), float(fdtrc(free, freedom, ratio)))


def why_not(data: Points, method: str, num_parameters: int) -> str | None:
    """Return why an interval would mean nothing, or None."""
    trials, freedom = len(data.x), len(data.x) - num_parameters
    if method == "seeds" and min(map(len, data.members())) < 2:
        return "some points have a single seed, at least 2 seeds at each are needed"
    if freedom < MIN_FREEDOM:
        return f"{trials} trials for {num_parameters} parameters, at least {num_parameters + MIN_FREEDOM} are needed"
    if method == "clusters" and len(set(data.seeds or ())) < 5:
        return f"{len(set(data.seeds or ()))} seeds, at least 5 are needed to resample whole seeds"
    return None


def draw(
    data: Points, fitted: np.ndarray, num_parameters: int, method: str, resamples: int, rng: np.random.Generator
) -> Draws:
    """Return resamples of data that `why_not` has let pass; `fitted` is ln y of the curve at every trial."""
    trials = len(data.x)
    residuals = data.log_y - fitted
    freedom = trials - num_parameters
    spread = (residuals - residuals.mean()) * np.sqrt(trials / freedom)
    noise = _uncertain(freedom, resamples, rng) * rng.choice(spread, resamples)
    whole = np.ones((resamples, trials))
    match method:
        case "residuals":
            scale = _uncertain(freedom, resamples, rng)[:, None]
            return Draws(fitted + scale * rng.choice(spread, (resamples, trials)), whole, noise)
        case "seeds":
            return Draws(_about_means(data, resamples, rng), whole, noise)
        case "pairs":
            picks = rng.integers(trials, size=(resamples, trials))
        case _:
            picks = _clusters(data, resamples, rng)
    return Draws(np.tile(data.log_y, (resamples, 1)), _counts(picks, trials), noise)


def pooled_variance(data: Points, num_parameters: int, cost: float, method: str) -> tuple[float, int] | None:
    """Return the variance of ln y of single trials and its degrees of freedom, where a method supposes one for all x.

    Args:
        data: The trials.
        num_parameters: Of the form.
        cost: Sum of squared residuals of its fit.
        method: Of resampling.
    """
    members = data.members()
    if method == "residuals":
        freedom = len(data.x) - num_parameters
        return cost / freedom, freedom
    if method == "seeds" and min(map(len, members)) < ENOUGH_SEEDS:
        freedom = len(data.x) - len(members)
        return sum(float(np.var(data.log_y[group])) * len(group) for group in members) / freedom, freedom
    return None


def _about_means(data: Points, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the means of each x with resampled deviations."""
    members, log_y = data.members(), data.log_y
    means, deviations = np.empty(len(log_y)), np.empty(len(log_y))
    for group in members:
        means[group] = log_y[group].mean()
        deviations[group] = (log_y[group] - log_y[group].mean()) * np.sqrt(len(group) / (len(group) - 1))
    shape = (resamples, len(log_y))
    if min(map(len, members)) < ENOUGH_SEEDS:
        drawn = rng.choice(deviations, shape)
    else:
        drawn = np.empty(shape)
        for group in members:
            drawn[:, group] = rng.choice(deviations[group], (resamples, len(group)))
    return means + _uncertain(len(log_y) - len(members), resamples, rng)[:, None] * drawn


def _uncertain(freedom: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return factors on a spread that is known from so many degrees of freedom."""
    return np.sqrt(freedom / rng.chisquare(freedom, resamples))


def _counts(picks: np.ndarray, trials: int) -> np.ndarray:
    return np.stack([np.bincount(row[row >= 0], minlength=trials) for row in picks]).astype(np.float64)


def _clusters(data: Points, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the trials of as many seeds as there are, drawn with replacement; -1 fills rows up."""
    assert data.seeds is not None
    names = list(dict.fromkeys(data.seeds))
    own = [[index for index, seed in enumerate(data.seeds) if seed == name] for name in names]
    longest = max(map(len, own))
    table = np.array([members + [-1] * (longest - len(members)) for members in own])
    return table[rng.integers(len(names), size=(resamples, len(names)))].reshape(resamples, -1)
