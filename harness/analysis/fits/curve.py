"""A fitted curve with its bands, and the rules for how far it may be asked (scaling-facts A7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.forms import Form
from harness.analysis.fits.words import in_words

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
    """Root mean square of ln of prediction over measurement, by form; the chosen form is among the least."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Curves of one form that resamples of the trials gave."""

    law: Form
    theta: Float[np.ndarray, "resamples parameters"]
    """Inner parameters."""
    noise: Float[np.ndarray, " resamples"]
    """ln of a new trial over each curve."""


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
    weights: Mapping[str, float]
    """How far the bands believe each form; 1 for a form that was given."""
    bootstrap: str
    """What was resampled (`fits.resampling`)."""
    num_resamples: int
    num_failed_resamples: int
    seed: int
    """Of the resampling."""
    converged: bool
    """Whether a second set of starts ended at no better fit."""
    warnings: tuple[str, ...]
    law: Form = field(repr=False, compare=False)
    centre: float = field(repr=False, compare=False)
    """ln of what x is divided by in the inner parameters."""
    theta: Float[np.ndarray, " parameters"] = field(repr=False, compare=False)
    """Inner parameters of the best fit."""
    resampled: tuple[Resampled, ...] = field(repr=False, compare=False)
    """The chosen form's first; none without an interval."""

    def predict(self, x: Numbers, *, far: bool = False) -> np.ndarray:
        """Return the fitted y.

        Raises:
            ValueError: an x is not above 0, or past four times the measured range and `far` is not set.
        """
        return np.exp(self.law.curve(self.theta[None], self._scaled(x, far)[None])[0][0])

    def confidence_band(self, x: Numbers, *, far: bool = False) -> Band | None:
        """Return where the mean curve lies at `level`, lower and upper; None without an interval."""
        return self._band(x, far, with_noise=False)

    def prediction_band(self, x: Numbers, *, far: bool = False) -> Band | None:
        """Return where one new trial lies at `level`, lower and upper; None without an interval."""
        return self._band(x, far, with_noise=True)

    def reach(self, x: Numbers) -> str | None:
        """Return a warning when an x lies past twice the measured range, else None."""
        times, where = self._past(np.atleast_1d(np.asarray(x, dtype=np.float64)))
        if times <= WARN_REACH:
            return None
        return (
            f"{self.x_name} {where:g} is {times:.3g} times past the measured range {self.x_min:g} to {self.x_max:g}; "
            f"published evidence for such curves ends at {WARN_REACH:g} times"
        )

    def in_words(self) -> str:
        """Return the fit as a sentence, its uncertainty included."""
        basis = f"from {self.num_resamples:,} resamples of {self.num_points} trials"
        if self.interval_refused:
            basis = f"no interval: {self.interval_refused}"
        names = (self.x_name, self.y_name)
        sentence = in_words(self.law, names, self.parameters, self.intervals, self.level, basis)
        if self.hold_out:
            sentence += f"; {self.form} chosen by what it foretold of the {len(self.hold_out.x)} largest {self.x_name}"
        return "; ".join([sentence, *self.warnings])

    def as_json(self) -> dict[str, Any]:
        """Return everything but the resamples, for programs."""
        held = self.hold_out
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
            "hold_out": {"x": list(held.x), "rmse_log": dict(held.rmse_log)} if held else None,
            "weights": dict(self.weights),
            "bootstrap": self.bootstrap,
            "num_resamples": self.num_resamples,
            "num_failed_resamples": self.num_failed_resamples,
            "seed": self.seed,
            "converged": self.converged,
            "warnings": list(self.warnings),
            "in_words": self.in_words(),
        }

    def _past(self, sizes: np.ndarray) -> tuple[float, float]:
        """Return how many times past the measured range the farthest x is, and that x."""
        times = np.maximum(sizes / self.x_max, self.x_min / sizes)
        farthest = int(np.argmax(times))
        return float(times[farthest]), float(sizes[farthest])

    def _scaled(self, x: Numbers, far: bool) -> np.ndarray:
        sizes = np.atleast_1d(np.asarray(x, dtype=np.float64))
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"{self.x_name} is {sizes.tolist()}, expected finite numbers above 0")
        times, where = self._past(sizes)
        if times > FAR_REACH and not far:
            raise ValueError(
                f"{self.x_name} {where:g} is {times:.3g} times past the measured range {self.x_min:g} to "
                f"{self.x_max:g}, expected at most {FAR_REACH:g} times unless far is asked for"
            )
        return np.log(sizes) - self.centre

    def _band(self, x: Numbers, far: bool, *, with_noise: bool) -> Band | None:
        z = self._scaled(x, far)
        if not self.resampled:
            return None
        logs = [
            part.law.curve(part.theta, z[None])[0] + (part.noise[:, None] if with_noise else 0.0)
            for part in self.resampled
        ]
        tail = (1 - self.level) / 2
        low, high = np.exp(np.quantile(np.concatenate(logs), [tail, 1 - tail], axis=0))
        return low, high
