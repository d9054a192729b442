"""A fitted curve with its bands, and the rules for how far it may be asked (scaling-facts A7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.forms import Form

Numbers = float | Sequence[int | float] | np.ndarray
WARN_REACH, FAR_REACH = 2.0, 4.0
"""Published evidence for extrapolation ends at twice the largest x; past four times a flag is needed."""
Band = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """How the forms did on the largest x, which they had not seen."""

    x: tuple[float, ...]
    """The distinct x that were held out."""
    rmse_log: Mapping[str, float]
    """Root mean square of ln of prediction over measurement, by form; the chosen form has the least."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A law of y over x with everything one needs to judge it. y is loss-like: for mAP it is the error 1 - mAP."""

    form: str
    formula: str
    x_name: str
    y_name: str
    parameters: Mapping[str, float]
    """Of the formula, at full precision."""
    intervals: Mapping[str, tuple[float, float]]
    """Of the parameters, at `level`; empty without an interval."""
    interval_refused: str | None
    """Why there are neither intervals nor bands."""
    level: float
    num_points: int
    num_distinct: int
    x_min: float
    x_max: float
    rmse_log: float
    """Root mean square of ln of fit over measurement, per residual degree of freedom."""
    hold_out: HoldOut | None
    """None where the form was given."""
    bootstrap: str
    """What was resampled: `seeds`, `pairs`, `clusters` or `residuals`."""
    num_resamples: int
    num_failed_resamples: int
    seed: int
    """Of the resampling."""
    converged: bool
    """Whether a second set of starts ended at no better fit."""
    warnings: tuple[str, ...]
    law: Form = field(repr=False, compare=False)
    centre: float = field(repr=False, compare=False)
    theta: Float[np.ndarray, " parameters"] = field(repr=False, compare=False)
    resampled: Float[np.ndarray, "resamples parameters"] = field(repr=False, compare=False)
    noise: Float[np.ndarray, " resamples"] = field(repr=False, compare=False)
    """ln of a new trial over the curve, one draw for each resample."""

    def predict(self, x: Numbers, *, far: bool = False) -> np.ndarray:
        """Return the fitted y.

        Raises:
            ValueError: an x is not above 0, or past four times the measured range and `far` is not set.
        """
        return np.exp(self._log_curves(self.theta[None], self._reachable(x, far))[0])

    def confidence_band(self, x: Numbers, *, far: bool = False) -> Band | None:
        """Return where the mean curve lies at `level`, lower and upper; None without an interval."""
        return self._band(x, far, np.zeros_like(self.noise))

    def prediction_band(self, x: Numbers, *, far: bool = False) -> Band | None:
        """Return where one new trial lies at `level`, lower and upper; None without an interval."""
        return self._band(x, far, self.noise)

    def reach(self, x: Numbers) -> str | None:
        """Return a warning when an x lies past twice the measured range, else None."""
        sizes = np.asarray(x, dtype=np.float64)
        worst = max(sizes.max() / self.x_max, self.x_min / sizes.min())
        if worst <= WARN_REACH:
            return None
        return f"{worst:.1f} times past the measured {self.x_name}: published evidence ends at {WARN_REACH:g} times"

    def in_words(self) -> str:
        """Return the fit as a sentence, its uncertainty included."""
        values = ", ".join(f"{name} = {self._said(name)}" for name in self.parameters)
        text = f"{self.y_name} follows {self.formula} with x = {self.x_name}, {values}"
        if self.interval_refused:
            text += f" (no interval: {self.interval_refused})"
        else:
            text += f" ({100 * self.level:g} % intervals from {self.num_resamples:,} resamples of {self.bootstrap})"
        return "; ".join([text, *self.warnings])

    def as_json(self) -> dict[str, Any]:
        """Return everything but the resamples, for programs."""
        return {
            "form": self.form,
            "formula": self.formula,
            "x": self.x_name,
            "y": self.y_name,
            "parameters": dict(self.parameters),
            "level": self.level,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "interval_refused": self.interval_refused,
            "num_points": self.num_points,
            "num_distinct": self.num_distinct,
            "x_min": self.x_min,
            "x_max": self.x_max,
            "rmse_log": self.rmse_log,
            "hold_out": {"x": list(self.hold_out.x), "rmse_log": dict(self.hold_out.rmse_log)}
            if self.hold_out
            else None,
            "bootstrap": self.bootstrap,
            "num_resamples": self.num_resamples,
            "num_failed_resamples": self.num_failed_resamples,
            "seed": self.seed,
            "converged": self.converged,
            "warnings": list(self.warnings),
            "in_words": self.in_words(),
        }

    def _said(self, name: str) -> str:
        if name not in self.intervals:
            return f"{self.parameters[name]:.4g}"
        low, high = self.intervals[name]
        return f"{self.parameters[name]:.4g} [{low:.3g}, {high:.3g}]"

    def _reachable(self, x: Numbers, far: bool) -> np.ndarray:
        sizes = np.atleast_1d(np.asarray(x, dtype=np.float64))
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"{self.x_name} is {sizes.tolist()}, expected finite numbers above 0")
        worst = max(sizes.max() / self.x_max, self.x_min / sizes.min())
        if worst > FAR_REACH and not far:
            raise ValueError(
                f"{self.x_name} up to {sizes.max():g} is {worst:.1f} times past the measured range "
                f"{self.x_min:g} to {self.x_max:g}, expected at most {FAR_REACH:g} times unless far is set"
            )
        return sizes

    def _log_curves(self, thetas: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return self.law.curve(thetas, (np.log(sizes) - self.centre)[None])[0]

    def _band(self, x: Numbers, far: bool, shift: np.ndarray) -> Band | None:
        sizes = self._reachable(x, far)
        if self.interval_refused:
            return None
        tail = (1 - self.level) / 2
        logs = self._log_curves(self.resampled, sizes) + shift[:, None]
        low, high = np.exp(np.quantile(logs, [tail, 1 - tail], axis=0))
        return low, high
