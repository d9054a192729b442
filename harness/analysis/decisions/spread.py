"""How far the mean mAP of a setting may be from what many seeds would give.

A setting rarely has more than three seeds, too few to know its own spread, so the spread is pooled over all settings
of the study, as in an analysis of variance: its degrees of freedom are the trials less the settings. Where every
setting has one seed, a spread known from elsewhere may be given (the paper's author puts reruns within 0.5 mAP), else
nothing can be said.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness.analysis.summary import Group

LEVEL = 0.9
NO_SPREAD = "every setting has one seed, so nothing is known of the spread"


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The spread of a single trial about the mean of its setting."""

    std: float
    """Standard deviation, in units of mAP (0 to 1)."""
    freedom: float
    """Degrees of freedom behind it; infinite where it is known."""

    def half_width(self, nums: Sequence[int], level: float = LEVEL) -> float:
        """Return half of the interval of a sum or difference of means over so many seeds (Student's t)."""
        return self.quantile(level) * self.std * math.sqrt(sum(1 / num for num in nums))

    def quantile(self, level: float) -> float:
        """Return how many standard errors an interval of this level reaches to either side."""
        from scipy.special import ndtri, stdtrit

        upper = (1 + level) / 2
        return float(ndtri(upper) if math.isinf(self.freedom) else stdtrit(self.freedom, upper))


def pooled_spread(groups: Sequence[Group], run_spread: float | None = None) -> Pooled | None:
    """Return the spread within settings, pooled; None when no setting has two seeds and `run_spread` is not given."""
    if run_spread is not None:
        if not run_spread > 0:
            raise ValueError(f"run_spread is {run_spread}, expected a standard deviation of mAP above 0")
        return Pooled(std=run_spread, freedom=math.inf)
    repeated = [np.asarray(group.maps) for group in groups if len(group.maps) > 1]
    freedom = sum(len(maps) - 1 for maps in repeated)
    if not freedom:
        return None
    squares = sum(float(np.sum((maps - maps.mean()) ** 2)) for maps in repeated)
    return Pooled(std=math.sqrt(squares / freedom), freedom=freedom)


def resampled_means(
    groups: Sequence[Group], *, run_spread: float | None = None, resamples: int = 1000, seed: int = 0
) -> Float[np.ndarray, "resamples groups"] | None:
    """Return bootstrap draws of every setting's mean mAP; None where nothing is known of the spread.

    Deviations from the settings' means are resampled over all settings together, enlarged by sqrt(n / (n - 1))
    because a mean of n seeds lies too near to them, and scaled as a spread of so few degrees of freedom is uncertain
    itself.
    """
    pooled = pooled_spread(groups, run_spread)
    if pooled is None:
        return None
    rng = np.random.default_rng(seed)
    scale = np.ones(resamples)
    if run_spread is None:
        scale = np.sqrt(pooled.freedom / rng.chisquare(pooled.freedom, resamples))
    deviations = None if run_spread is not None else _deviations(groups)
    draws = []
    for group in groups:
        shape = (resamples, len(group.maps))
        moves = rng.normal(0, pooled.std, shape) if deviations is None else rng.choice(deviations, shape)
        draws.append(np.mean(group.maps) + scale * moves.mean(axis=1))
    return np.stack(draws, axis=1)


def _deviations(groups: Sequence[Group]) -> np.ndarray:
    """Return the deviations of single trials from their setting's mean, as large as those from the true mean."""
    return np.concatenate(
        [
            (np.asarray(group.maps) - np.mean(group.maps)) * math.sqrt(len(group.maps) / (len(group.maps) - 1))
            for group in groups
            if len(group.maps) > 1
        ]
    )
