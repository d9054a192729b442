"""Peak memory as a base and prices: linear, with no part below zero (scaling-facts A8).

    peak = m0 + m1 * parameters + m2 * frames * resolution²          with every m at least 0

Activations grow with tokens, weights with parameters, so the law is a sum and not a power. Relative deviations are
minimised: a study's settings span decades, and 2 % of the smallest card matters as much as 2 % of the largest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.analysis.fits.nonnegative import left_out, solve
from harness.analysis.fits.points import Numbers
from harness.analysis.fits.refusal import Refused

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class MemoryLaw:
    """A base and a price for each term."""

    base_bytes: float
    prices: Mapping[str, float]
    """Bytes per unit of each term."""
    num_points: int
    max_relative_error: float
    """Largest deviation from a measured peak, as a share of it."""
    left_out_error: float | None
    """The same when every setting is foretold from the others; None where they are too few for that."""

    def bytes_at(self, terms: Mapping[str, float | Numbers]) -> np.ndarray:
        """Return the peak for values of every term.

        Raises:
            ValueError: a term is missing or unknown.
        """
        if terms.keys() != self.prices.keys():
            raise ValueError(f"the terms are {', '.join(terms)}, expected {', '.join(self.prices)}")
        return self.base_bytes + sum(
            (price * np.asarray(terms[name], dtype=np.float64) for name, price in self.prices.items()), np.zeros(())
        )

    def in_words(self) -> str:
        """Return the law as a sentence."""
        parts = [f"{price / MIB:.3g} MiB x {name}" for name, price in self.prices.items()]
        left_out = "" if self.left_out_error is None else f", {_percent(self.left_out_error)} for settings left out"
        return (
            f"peak memory is {self.base_bytes / MIB:,.1f} MiB plus {' plus '.join(parts)} (largest deviation "
            f"{_percent(self.max_relative_error)} over {self.num_points} trials{left_out})"
        )


@dataclass(frozen=True, kw_only=True)
class LinearMemory:
    """Peak memory as a base and a price per unit of x, neither below zero."""

    x_name: str
    base_bytes: float
    bytes_per_unit: float
    num_points: int
    num_distinct: int
    rmse_bytes: float
    max_relative_error: float

    def bytes_at(self, x: float | Numbers) -> np.ndarray:
        """Return the fitted peak."""
        return self.base_bytes + self.bytes_per_unit * np.asarray(x, dtype=np.float64)

    def in_words(self) -> str:
        """Return the law as a sentence."""
        return (
            f"peak memory is {self.base_bytes / MIB:,.1f} MiB plus {self.bytes_per_unit / MIB:.3g} MiB x "
            f"{self.x_name} (largest deviation {_percent(self.max_relative_error)} over {self.num_points} trials)"
        )


def fit_memory(terms: Mapping[str, Numbers], peak_bytes: Numbers) -> MemoryLaw | Refused:
    """Fit peak = m0 + sum of price x term with nothing below 0, or say why not.

    Args:
        terms: Name of each term and its value for each trial, 0 or more; products are the caller's, such as
            `{"parameters": ..., "frames x pixels": ...}`.
        peak_bytes: Measured peak of each trial.

    Raises:
        ValueError: numbers out of range or not as many of each.
    """
    columns, peaks = _checked(terms, peak_bytes)
    settings = np.unique(columns, axis=0)
    if len(settings) < columns.shape[1] + 1:
        num = len(settings)
        return Refused(
            reason=f"no memory law: {num} distinct value{'s'[: num != 1]} of {', '.join(terms)}, expected at least "
            f"{columns.shape[1] + 1}"
        )
    design = np.column_stack([np.ones(len(peaks)), columns])
    if np.linalg.matrix_rank(design / design.max(axis=0)) < design.shape[1]:
        return Refused(reason=f"no memory law: {', '.join(terms)} do not vary apart from each other and from a base")
    base, *prices = solve(design, peaks)
    deviations = (design @ np.array([base, *prices]) - peaks) / peaks
    return MemoryLaw(
        base_bytes=base,
        prices=dict(zip(terms, prices, strict=True)),
        num_points=len(peaks),
        max_relative_error=float(np.abs(deviations).max()),
        left_out_error=left_out(design, peaks, settings),
    )


def fit_linear_memory(x: Numbers, peak_bytes: Numbers, *, x_name: str = "x") -> LinearMemory | Refused:
    """Fit peak = m0 + m1 x with m0, m1 >= 0, or say why not."""
    law = fit_memory({x_name: x}, peak_bytes)
    if isinstance(law, Refused):
        return law
    sizes, peaks = np.asarray(x, dtype=np.float64), np.asarray(peak_bytes, dtype=np.float64)
    return LinearMemory(
        x_name=x_name,
        base_bytes=law.base_bytes,
        bytes_per_unit=law.prices[x_name],
        num_points=law.num_points,
        num_distinct=len(np.unique(sizes)),
        rmse_bytes=float(np.sqrt(np.mean((law.bytes_at({x_name: sizes}) - peaks) ** 2))),
        max_relative_error=law.max_relative_error,
    )


def _checked(terms: Mapping[str, Numbers], peak_bytes: Numbers) -> tuple[np.ndarray, np.ndarray]:
    peaks = np.asarray(peak_bytes, dtype=np.float64)
    if not terms:
        raise ValueError("there are no terms, expected at least one")
    for name, values in terms.items():
        if np.shape(values) != peaks.shape or peaks.ndim != 1:
            raise ValueError(f"{np.size(values)} values of {name} and {peaks.size} peaks, expected as many of each")
    columns = np.column_stack([np.asarray(values, dtype=np.float64) for values in terms.values()])
    for name, numbers in [*zip(terms, columns.T, strict=True), ("peak_bytes", peaks)]:
        wrong = numbers[~(np.isfinite(numbers) & (numbers >= 0))]
        if len(wrong):
            raise ValueError(f"{name} is {wrong[0]:g} somewhere, expected finite numbers, 0 or more")
    if not (peaks > 0).all():
        raise ValueError("peak_bytes is 0 somewhere, expected more")
    return columns, peaks


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
