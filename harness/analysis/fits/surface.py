"""A fitted law of two sizes: y = E + A / x1^alpha + B / x2^beta, its bands and what it allots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.curve import FAR_REACH, WARN_REACH, Band, Numbers
from harness.analysis.fits.words import said

FORMULA = "y = E + A / x1^alpha + B / x2^beta"


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A law of y over two sizes. y is loss-like: for mAP it is the error 1 - mAP."""

    x_names: tuple[str, str]
    y_name: str
    parameters: Mapping[str, float]
    """E, A, alpha, B and beta of the formula, at full precision."""
    intervals: Mapping[str, tuple[float, float]]
    interval_refused: str | None
    level: float
    num_points: int
    num_settings: int
    x_min: tuple[float, float]
    x_max: tuple[float, float]
    rmse_log: float
    bootstrap: str
    num_resamples: int
    seed: int
    warnings: tuple[str, ...]
    centre: Float[np.ndarray, " 3"] = field(repr=False, compare=False)
    """Means of ln x1, ln x2 and ln y."""
    theta: Float[np.ndarray, " parameters"] = field(repr=False, compare=False)
    resampled: Float[np.ndarray, "resamples parameters"] = field(repr=False, compare=False)
    noise: Float[np.ndarray, " resamples"] = field(repr=False, compare=False)

    def predict(self, x1: Numbers, x2: Numbers, *, far: bool = False) -> np.ndarray:
        """Return the fitted y.

        Raises:
            ValueError: a size is not above 0, or past four times the measured range and `far` is not set.
        """
        return np.exp(log_surface(self.theta[None], self._scaled(x1, x2, far))[0][0] + self.centre[2])

    def confidence_band(self, x1: Numbers, x2: Numbers, *, far: bool = False) -> Band | None:
        """Return where the mean lies at `level`, lower and upper; None without an interval."""
        return self._band(x1, x2, far, np.zeros(1))

    def prediction_band(self, x1: Numbers, x2: Numbers, *, far: bool = False) -> Band | None:
        """Return where one new trial lies at `level`, lower and upper; None without an interval."""
        return self._band(x1, x2, far, self.noise)

    def reach(self, x1: Numbers, x2: Numbers) -> str | None:
        """Return a warning when a size lies past twice the measured range, else None."""
        times, where = self._past(*checked_pairs(x1, x2))
        if times <= WARN_REACH:
            return None
        return f"{where} is {times:.3g} times past the measured range; published evidence ends at {WARN_REACH:g} times"

    def allocate(self, budget: float) -> tuple[float, float]:
        """Return the sizes that give the least y for a product x1 * x2 of `budget`."""
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
        sizes = f"x1 = {self.x_names[0]}, x2 = {self.x_names[1]}"
        return "; ".join([f"{self.y_name} follows {FORMULA} with {sizes}, {values} ({basis})", *self.warnings])

    def as_json(self) -> dict[str, Any]:
        """Return everything but the resamples, for programs."""
        hidden = ("centre", "theta", "resampled", "noise")
        known = {name: value for name, value in vars(self).items() if name not in hidden}
        return {"form": "chinchilla", "formula": FORMULA, **known, "in_words": self.in_words()}

    def _past(self, x1: np.ndarray, x2: np.ndarray) -> tuple[float, str]:
        found = []
        for name, sizes, low, high in zip(self.x_names, (x1, x2), self.x_min, self.x_max, strict=True):
            times = np.maximum(sizes / high, low / sizes)
            found.append((float(times.max()), f"{name} {sizes[int(np.argmax(times))]:g}"))
        return max(found)

    def _scaled(self, x1: Numbers, x2: Numbers, far: bool) -> np.ndarray:
        first, second = checked_pairs(x1, x2)
        times, where = self._past(first, second)
        if times > FAR_REACH and not far:
            raise ValueError(
                f"{where} is {times:.3g} times past the measured range, expected at most {FAR_REACH:g} times unless "
                "far is asked for"
            )
        return np.stack([np.log(first) - self.centre[0], np.log(second) - self.centre[1]])

    def _band(self, x1: Numbers, x2: Numbers, far: bool, noise: np.ndarray) -> Band | None:
        z = self._scaled(x1, x2, far)
        if self.interval_refused:
            return None
        tail = (1 - self.level) / 2
        logs = log_surface(self.resampled, z)[0] + self.centre[2] + noise[:, None]
        low, high = np.exp(np.quantile(logs, [tail, 1 - tail], axis=0))
        return low, high


def log_surface(theta: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ln y and its derivatives by ln A, ln alpha, ln B, ln beta and ln E, all of scaled sizes and y."""
    log_a, log_alpha, log_b, log_beta, log_e = theta.T[:, :, None]
    falls = [np.exp(log_alpha) * z[0], np.exp(log_beta) * z[1]]
    parts = np.stack(np.broadcast_arrays(log_a - falls[0], log_b - falls[1], log_e + 0 * z[0]))
    values = np.logaddexp.reduce(parts)
    shares = np.exp(parts - values)
    columns = (shares[0], -shares[0] * falls[0], shares[1], -shares[1] * falls[1], shares[2])
    return values, np.stack(columns, axis=-1)


def checked_pairs(x1: Numbers, x2: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Return both sizes as arrays of one length.

    Raises:
        ValueError: a size is not above 0, or there are not as many of each.
    """
    first, second = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (x1, x2))
    if first.shape != second.shape and 1 not in (first.size, second.size):
        raise ValueError(f"{first.size} first and {second.size} second sizes, expected as many of each")
    first, second = np.broadcast_arrays(first, second)
    for sizes in (first, second):
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"sizes are {sizes.tolist()}, expected finite numbers above 0")
    return first, second
