"""A fitted law of several sizes: y = E + A / x1^alpha + B / x2^beta + ..., its bands and what it allots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.curve import FAR_REACH, WARN_REACH, Band, Numbers
from harness.analysis.fits.words import said

LETTERS = (("A", "alpha"), ("B", "beta"), ("C", "gamma"))
"""Of each size: its part of y at 1, and its exponent."""
MOST_SPREAD, LEAST_EXPONENT = 100.0, 0.01
"""Largest over smallest end of an exponent's interval past which the trials do not tell it, and the smallest end below
which the size may make no difference."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A law of y over two or three sizes. y is loss-like: for mAP it is the error 1 - mAP."""

    x_names: tuple[str, ...]
    y_name: str
    parameters: Mapping[str, float]
    """E, A, alpha, B, beta and so on of the formula, at full precision."""
    intervals: Mapping[str, tuple[float, float]]
    interval_refused: str | None
    level: float
    num_points: int
    num_settings: int
    x_min: tuple[float, ...]
    x_max: tuple[float, ...]
    rmse_log: float
    bootstrap: str
    num_resamples: int
    seed: int
    warnings: tuple[str, ...]
    centre: Float[np.ndarray, " means"] = field(repr=False, compare=False)
    """Means of the logarithms of every size, then of y."""
    theta: Float[np.ndarray, " parameters"] = field(repr=False, compare=False)
    resampled: Float[np.ndarray, "resamples parameters"] = field(repr=False, compare=False)
    noise: Float[np.ndarray, " resamples"] = field(repr=False, compare=False)

    @property
    def formula(self) -> str:
        """Return the law as a formula."""
        parts = (f"{a} / x{index}^{alpha}" for index, (a, alpha) in enumerate(self._letters, start=1))
        return f"y = E + {' + '.join(parts)}"

    @property
    def untold(self) -> tuple[str, ...]:
        """Return the sizes whose exponents the trials do not tell: their intervals hold nearly anything or 0."""
        ends = ((name, *self.exponent_of(name)) for name in self.x_names)
        return tuple(name for name, low, high in ends if high > MOST_SPREAD * low or low < LEAST_EXPONENT)

    def exponent_of(self, name: str) -> tuple[float, float]:
        """Return the interval of a size's exponent; the fitted value twice where there are no intervals."""
        alpha = dict(zip(self.x_names, self._letters, strict=True))[name][1]
        return self.intervals.get(alpha, (self.parameters[alpha], self.parameters[alpha]))

    def predict(self, *sizes: Numbers, far: bool = False) -> np.ndarray:
        """Return the fitted y.

        Raises:
            ValueError: a size is not above 0, or past four times the measured range and `far` is not set.
        """
        return np.exp(log_surface(self.theta[None], self._scaled(sizes, far))[0][0] + self.centre[-1])

    def predict_each(self, *sizes: Numbers, most: int) -> np.ndarray:
        """Return y as each of at most so many resamples has it, however far: (resamples, places)."""
        parts, _ = _log_parts(self.resampled[:most], self._scaled(sizes, far=True))
        return np.exp(np.logaddexp.reduce(parts) + self.centre[-1])

    def confidence_band(self, *sizes: Numbers, far: bool = False) -> Band | None:
        """Return where the mean lies at `level`, lower and upper; None without an interval."""
        return self._band(sizes, far, np.zeros(1))

    def prediction_band(self, *sizes: Numbers, far: bool = False) -> Band | None:
        """Return where one new trial lies at `level`, lower and upper; None without an interval."""
        return self._band(sizes, far, self.noise)

    def reach(self, *sizes: Numbers) -> str | None:
        """Return a warning when a size lies past twice the measured range, else None."""
        times, where = self._past(checked_sizes(sizes))
        if times <= WARN_REACH:
            return None
        return f"{where} is {times:.3g} times past the measured range; published evidence ends at {WARN_REACH:g} times"

    def allocate(self, budget: float) -> tuple[float, float]:
        """Return the sizes that give the least y for a product x1 * x2 of `budget`; two sizes only."""
        assert len(self.x_names) == 2
        a, alpha, b, beta = (self.parameters[name] for name in ("A", "alpha", "B", "beta"))
        ratio = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
        return ratio * budget ** (beta / (alpha + beta)), budget ** (alpha / (alpha + beta)) / ratio

    def in_words(self) -> str:
        """Return the fit as a sentence, its uncertainty included."""
        values = ", ".join(said(name, value, self.intervals) for name, value in self.parameters.items())
        basis = (
            f"no interval: {self.interval_refused}"
            if self.interval_refused
            else f"{100 * self.level:g} % intervals from {self.num_resamples:,} resamples of {self.num_points} trials"
        )
        sizes = ", ".join(f"x{index} = {name}" for index, name in enumerate(self.x_names, start=1))
        return "; ".join([f"{self.y_name} follows {self.formula} with {sizes}, {values} ({basis})", *self.warnings])

    def as_json(self) -> dict[str, Any]:
        """Return everything but the resamples, for programs."""
        hidden = ("centre", "theta", "resampled", "noise")
        known = {name: value for name, value in vars(self).items() if name not in hidden}
        return {"form": "chinchilla", "formula": self.formula, **known, "in_words": self.in_words()}

    @property
    def _letters(self) -> Sequence[tuple[str, str]]:
        return LETTERS[: len(self.x_names)]

    def _past(self, sizes: Sequence[np.ndarray]) -> tuple[float, str]:
        found = []
        for name, size, low, high in zip(self.x_names, sizes, self.x_min, self.x_max, strict=True):
            times = np.maximum(size / high, low / size)
            found.append((float(times.max()), f"{name} {size[int(np.argmax(times))]:g}"))
        return max(found)

    def _scaled(self, sizes: Sequence[Numbers], far: bool) -> np.ndarray:
        checked = checked_sizes(sizes)
        times, where = self._past(checked)
        if times > FAR_REACH and not far:
            raise ValueError(
                f"{where} is {times:.3g} times past the measured range, expected at most {FAR_REACH:g} times unless "
                "far is asked for"
            )
        return np.log(np.stack(checked)) - self.centre[:-1, None]

    def _band(self, sizes: Sequence[Numbers], far: bool, noise: np.ndarray) -> Band | None:
        z = self._scaled(sizes, far)
        if self.interval_refused:
            return None
        tail = (1 - self.level) / 2
        logs = log_surface(self.resampled, z)[0] + self.centre[-1] + noise[:, None]
        low, high = np.exp(np.quantile(logs, [tail, 1 - tail], axis=0))
        return low, high


def log_surface(theta: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ln y and its derivatives by ln A, ln alpha, ln B, ln beta ... and ln E, all of scaled sizes and y."""
    parts, falls = _log_parts(theta, z)
    values = np.logaddexp.reduce(parts)
    shares = np.exp(parts - values)
    columns = [column for share, fall in zip(shares, falls, strict=False) for column in (share, -share * fall)]
    return values, np.stack([*columns, shares[-1]], axis=-1)


def _log_parts(theta: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logarithms of the parts of y, the floor last, and what each size takes from its part."""
    inner = theta.T[:, :, None]
    falls = [np.exp(log_alpha) * size for log_alpha, size in zip(inner[1::2], z, strict=True)]
    parts = [log_a - fall for log_a, fall in zip(inner[:-1:2], falls, strict=True)]
    return np.stack(np.broadcast_arrays(*parts, inner[-1] + 0 * z[0])), falls


def checked_sizes(sizes: Sequence[Numbers]) -> list[np.ndarray]:
    """Return all sizes as arrays of one length.

    Raises:
        ValueError: a size is not above 0, or there are not as many of each.
    """
    found = [np.atleast_1d(np.asarray(size, dtype=np.float64)) for size in sizes]
    lengths = [size.size for size in found]
    if len({*lengths} - {1}) > 1:
        raise ValueError(f"{', '.join(map(str, lengths))} sizes, expected as many of each")
    found = list(np.broadcast_arrays(*found))
    for size in found:
        if not (np.isfinite(size) & (size > 0)).all():
            raise ValueError(f"sizes are {size.tolist()}, expected finite numbers above 0")
    return found
