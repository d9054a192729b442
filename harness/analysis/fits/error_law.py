"""Scaling curves that say what they rest on, and refuse where they would mean nothing (scaling-facts A).

What is fitted is the error 1 - mAP against a size x (frames, parameters, bytes):

    m1   error = b x^c             at least 3 distinct x
    m2   error = e + b x^c         at least 5 distinct x; e is the error that no size removes

by least squares on ln(error), over single trials rather than their means, so that a setting with more seeds counts for
more. Intervals come from resampling the trials of each x with replacement and fitting again; they need at least two
trials at every x. A decreasing law is never put through an error that does not fall.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from harness.analysis.fits.refusal import Refused
from harness.analysis.names import short_name
from harness.analysis.summary import Group, lines

Form = Literal["m1", "m2"]
Numbers = Sequence[int | float] | np.ndarray
MIN_DISTINCT: dict[str, int] = {"m1": 3, "m2": 5}
"""Distinct x below which a form says nothing (scaling-facts A6)."""
LEVEL = 0.95
SAFE_REACH = 2.0
"""Published evidence for extrapolation ends at twice the largest x."""


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A fitted error curve with everything one needs to judge it."""

    form: Form
    x_name: str
    b: float
    c: float
    """Exponent, below 0."""
    floor: float
    """Error that remains at any size; 0 for m1."""
    num_points: int
    num_distinct: int
    x_min: float
    x_max: float
    rmse_log: float
    """Root mean square of ln(error) minus its fit, per residual degree of freedom left."""
    c_interval: tuple[float, float] | None
    """Percentile interval of the exponent at 95 %."""
    interval_refused: str | None
    """Why there is no interval."""
    num_resamples: int
    num_failed_resamples: int
    warnings: tuple[str, ...]
    resampled: Float[np.ndarray, "resamples 3"] = field(repr=False, compare=False)
    """b, c and floor of every successful resample, for bands."""

    def error_at(self, x: float | Numbers) -> np.ndarray:
        """Return the fitted error."""
        return self.floor + self.b * np.asarray(x, dtype=np.float64) ** self.c

    def map_at(self, x: float | Numbers) -> np.ndarray:
        """Return the fitted mAP, 0 to 1."""
        return 1.0 - self.error_at(x)

    def map_band(self, x: Numbers) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the 95 % confidence band of the mean mAP, lower and upper; None without an interval."""
        if self.c_interval is None:
            return None
        sizes = np.asarray(x, dtype=np.float64)
        b, c, floor = self.resampled.T[:, :, None]
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(1.0 - (floor + b * sizes**c), [tail, 1 - tail], axis=0)
        return low, high

    @property
    def removed_by_doubling(self) -> float:
        """Share of the (reducible) error that doubling x removes."""
        return 1.0 - 2.0**self.c

    def in_words(self) -> str:
        """Return the fit as a sentence, its uncertainty included."""
        if self.c_interval is None:
            bounds = f"no interval: {self.interval_refused}"
        else:
            low, high = self.c_interval
            drawn = f"{self.num_resamples:,} resamples of {self.num_points} trials"
            bounds = f"95 % interval {low:.2f} … {high:.2f} from {drawn}"
        what, whole = ("error", "the error") if self.form == "m1" else (f"error above {self.floor:.3f}", "it")
        text = (
            f"{what} falls as {self.x_name}^{self.c:.2f} ({bounds}); "
            f"each doubling of {self.x_name} removes {_percent(self.removed_by_doubling)} of {whole}"
        )
        return "; ".join([text, *self.warnings])


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
        mib = 2**20
        return (
            f"peak memory is {self.base_bytes / mib:,.1f} MiB plus {self.bytes_per_unit / mib:.3g} MiB x "
            f"{self.x_name} (largest deviation {_percent(self.max_relative_error)} over {self.num_points} trials)"
        )


def fit_error(
    x: Numbers,
    map_avg: Numbers,
    *,
    x_name: str = "x",
    form: Form = "m1",
    resamples: int = 1000,
    seed: int = 0,
) -> PowerLaw | Refused:
    """Fit the error 1 - mAP of single trials against x, or say why not.

    Args:
        x: Size of each trial, above 0.
        map_avg: mAP of each trial, 0 to 1.
        x_name: What x is called in sentences.
        form: `m1` or `m2`.
        resamples: Bootstrap resamples; 0 for none.
        seed: Of the resampling: the same trials give the same interval.

    Raises:
        ValueError: x or mAP out of range, or not of one length.
    """
    sizes, errors = _checked(x, map_avg)
    distinct = np.unique(sizes)
    if len(distinct) < MIN_DISTINCT[form]:
        needed = f"expected at least {MIN_DISTINCT[form]} for {form}"
        return Refused(reason=f"no curve: {len(distinct)} distinct values of {x_name}, {needed}")
    if (errors <= 0).any():
        return Refused(reason=f"no curve: a trial has mAP 1, and an error of 0 has no place in a power law of {x_name}")
    if np.ptp(errors) == 0:
        return Refused(reason=f"no curve: the error is the same at every value of {x_name}")
    fitted = _fit(form, sizes, errors)
    if fitted is None:
        slope = _line(np.log(sizes), np.log(errors))[1]
        return Refused(reason=f"no curve: the error does not fall as {x_name} grows (log-log slope {slope:+.2f})")
    residuals = np.log(_error(sizes, *fitted)) - np.log(errors)
    freedom = max(len(sizes) - (2 if form == "m1" else 3), 1)
    samples, failed, refused = _bootstrap(form, sizes, errors, resamples, seed)
    b, c, floor = fitted
    interval = None
    if refused is None:
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(samples[:, 1], [tail, 1 - tail])
        interval = (float(low), float(high))
    return PowerLaw(
        form=form,
        x_name=x_name,
        b=b,
        c=c,
        floor=floor,
        num_points=len(sizes),
        num_distinct=len(distinct),
        x_min=float(distinct[0]),
        x_max=float(distinct[-1]),
        rmse_log=float(math.sqrt(np.sum(residuals**2) / freedom)),
        c_interval=interval,
        interval_refused=refused,
        num_resamples=0 if refused else resamples,
        num_failed_resamples=failed,
        warnings=_warnings(sizes, distinct, interval, x_name),
        resampled=samples,
    )


def fit_lines(
    groups: Sequence[Group], x: str, *, form: Form = "m1", resamples: int = 1000
) -> dict[str, PowerLaw | Refused]:
    """Fit the error against config path `x` once for each line of the study's curve (`summary.lines`)."""
    fits: dict[str, PowerLaw | Refused] = {}
    for name, members in lines(groups, x).items():
        points = [(group.values[x], score) for group in members for score in group.maps]
        if all(isinstance(size, int | float) and not isinstance(size, bool) and size > 0 for size, _ in points):
            sizes, scores = [size for size, _ in points], [score for _, score in points]
            fits[name] = fit_error(sizes, scores, x_name=short_name(x), form=form, resamples=resamples)
        else:
            fits[name] = Refused(reason=f"no curve: {short_name(x)} is not a number above 0 everywhere")
    return fits


def fit_linear_memory(x: Numbers, peak_bytes: Numbers, *, x_name: str = "x") -> LinearMemory | Refused:
    """Fit peak = m0 + m1 x with m0, m1 >= 0 by least squares, or say why not."""
    from scipy.optimize import nnls

    sizes, peaks = np.asarray(x, dtype=np.float64), np.asarray(peak_bytes, dtype=np.float64)
    distinct = len(np.unique(sizes))
    if distinct < 2:
        return Refused(
            reason=f"no memory law: {distinct} distinct value{'s'[: distinct != 1]} of {x_name}, expected at least 2"
        )
    # Columns of one size, so that nnls' tolerance means the same for both.
    columns = np.stack([np.ones_like(sizes), sizes / sizes.max()], axis=1)
    (base, price), _ = nnls(columns, peaks / peaks.max())
    law = base * peaks.max(), price * peaks.max() / sizes.max()
    deviations = law[0] + law[1] * sizes - peaks
    return LinearMemory(
        x_name=x_name,
        base_bytes=float(law[0]),
        bytes_per_unit=float(law[1]),
        num_points=len(sizes),
        num_distinct=distinct,
        rmse_bytes=float(np.sqrt(np.mean(deviations**2))),
        max_relative_error=float(np.max(np.abs(deviations) / peaks)),
    )


def _checked(x: Numbers, map_avg: Numbers) -> tuple[np.ndarray, np.ndarray]:
    sizes, scores = np.asarray(x, dtype=np.float64), np.asarray(map_avg, dtype=np.float64)
    if sizes.shape != scores.shape or sizes.ndim != 1:
        raise ValueError(f"{sizes.size} sizes and {scores.size} mAP values, expected as many of each")
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(f"sizes are {sizes.tolist()}, expected finite numbers above 0")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"mAP values are {scores.tolist()}, expected 0 to 1")
    return sizes, 1.0 - scores


def _error(sizes: np.ndarray, b: float, c: float, floor: float) -> np.ndarray:
    return floor + b * sizes**c


def _line(log_x: np.ndarray, log_y: np.ndarray) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line."""
    centred = log_x - log_x.mean()
    slope = float(centred @ log_y / (centred @ centred))
    return float(log_y.mean() - slope * log_x.mean()), slope


def _fit(form: Form, sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float] | None:
    """Return (b, c, floor), or None when the error does not fall."""
    intercept, slope = _line(np.log(sizes), np.log(errors))
    if slope >= 0:
        return None
    if form == "m1":
        return math.exp(intercept), slope, 0.0
    return _fit_m2(sizes, errors)


def _fit_m2(sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float] | None:
    """Search over the floor from several starts; x is centred in log, so that b and c are nearly independent."""
    from scipy.optimize import least_squares

    log_x, log_y = np.log(sizes), np.log(errors)
    centre = log_x.mean()

    def unpack(p: np.ndarray) -> tuple[float, float, float]:
        # b > 0, c < 0 and 0 < floor < min(error) by construction (scaling-facts A1)
        return p[0], -math.exp(p[1]), errors.min() / (1.0 + math.exp(-p[2]))

    def residuals(p: np.ndarray) -> np.ndarray:
        log_b, c, floor = unpack(p)
        return np.log(floor + np.exp(log_b + c * (log_x - centre))) - log_y

    best = None
    for share in (0.02, 0.3, 0.6, 0.9):
        reduced = np.log(errors - share * errors.min())
        intercept, slope = _line(log_x - centre, reduced)
        start = [intercept, math.log(max(-slope, 1e-3)), math.log(share / (1 - share))]
        found = least_squares(residuals, start, bounds=([-50, -12, -12], [50, 4, 12]), max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    log_b, c, floor = unpack(best.x)
    return math.exp(log_b - c * centre), c, floor


def _bootstrap(
    form: Form, sizes: np.ndarray, errors: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, int, str | None]:
    """Return parameters of the resamples, how many could not be fitted, and why there is no interval (or None)."""
    nothing = np.empty((0, 3))
    members = [np.flatnonzero(sizes == value) for value in np.unique(sizes)]
    if resamples < 1:
        return nothing, 0, "no resamples were asked for"
    if min(map(len, members)) < 2:
        return nothing, 0, "some points have a single seed, at least 2 seeds at each are needed"
    rng = np.random.default_rng(seed)
    picks = np.concatenate([group[rng.integers(len(group), size=(resamples, len(group)))] for group in members], axis=1)
    fits = _lines(sizes, errors, picks) if form == "m1" else [_fit(form, sizes[pick], errors[pick]) for pick in picks]
    # A resample whose error rises keeps its slope in m1, so that the interval may reach past 0.
    kept = np.array([fit for fit in fits if fit is not None]).reshape(-1, 3)
    failed = resamples - len(kept)
    if failed > resamples / 10:
        return nothing, failed, f"{failed} of {resamples} resamples could not be fitted"
    return kept, failed, None


def _lines(sizes: np.ndarray, errors: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Fit m1 to every resample at once; resampling within each x leaves the x of every column as they are."""
    log_x, log_y = np.log(sizes[picks[0]]), np.log(errors[picks])
    centred = log_x - log_x.mean()
    slopes = log_y @ centred / (centred @ centred)
    intercepts = log_y.mean(axis=1) - slopes * log_x.mean()
    return np.stack([np.exp(intercepts), slopes, np.zeros(len(picks))], axis=1)


def _warnings(
    sizes: np.ndarray, distinct: np.ndarray, interval: tuple[float, float] | None, x_name: str
) -> tuple[str, ...]:
    found = []
    if interval is not None and interval[1] >= 0:
        found.append("the interval includes 0, so a fall is not established")
    if len(distinct) < 5:
        found.append(f"only {len(distinct)} distinct values of {x_name}: interpolation only")
    if interval is not None and min(np.unique(sizes, return_counts=True)[1]) < 5:
        found.append("few seeds per point, so the interval is rough")
    return tuple(found)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
