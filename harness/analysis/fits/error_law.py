"""The error 1 - mAP of a study's trials over one size, line by line, as a power law.

A view of `fit_curve` for mAP: intervals at 95 % and from repeated seeds only, so that a line of single seeds says
that it has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.analysis.fits.curve import Curve
from harness.analysis.fits.fitting import fit_curve
from harness.analysis.fits.points import Numbers
from harness.analysis.fits.refusal import Refused
from harness.analysis.names import short_name
from harness.analysis.summary import Group, lines

Form = Literal["m1", "m2"]
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A fitted error curve, read as mAP."""

    curve: Curve

    @property
    def form(self) -> str:
        """Return `m1` or `m2`."""
        return self.curve.form

    @property
    def x_name(self) -> str:
        """Return what x is called."""
        return self.curve.x_name

    @property
    def b(self) -> float:
        """Return the error at x = 1, less the floor."""
        return self.curve.parameters["b"]

    @property
    def c(self) -> float:
        """Return the exponent, below 0."""
        return self.curve.parameters["c"]

    @property
    def floor(self) -> float:
        """Return the error that remains at any size; 0 for m1."""
        return self.curve.parameters.get("e", 0.0)

    @property
    def c_interval(self) -> tuple[float, float] | None:
        """Return the interval of the exponent at 95 %; None without one."""
        return self.curve.intervals.get("c")

    @property
    def interval_refused(self) -> str | None:
        """Return why there is no interval."""
        return self.curve.interval_refused

    @property
    def num_points(self) -> int:
        """Return how many trials were fitted."""
        return self.curve.num_points

    @property
    def num_distinct(self) -> int:
        """Return how many distinct x they have."""
        return self.curve.num_distinct

    @property
    def num_resamples(self) -> int:
        """Return how many resamples the interval is from."""
        return self.curve.num_resamples

    @property
    def num_failed_resamples(self) -> int:
        """Return how many of them could not be fitted."""
        return self.curve.num_failed_resamples

    @property
    def x_min(self) -> float:
        """Return the smallest x."""
        return self.curve.x_min

    @property
    def x_max(self) -> float:
        """Return the largest x."""
        return self.curve.x_max

    @property
    def rmse_log(self) -> float:
        """Return the root mean square of ln of fit over measurement, per degree of freedom left."""
        return self.curve.rmse_log

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what to bear in mind."""
        return self.curve.warnings

    def error_at(self, x: float | Numbers) -> np.ndarray:
        """Return the fitted error."""
        return self.curve.predict(x, far=True)

    def map_at(self, x: float | Numbers) -> np.ndarray:
        """Return the fitted mAP, 0 to 1."""
        return 1.0 - self.error_at(x)

    def map_band(self, x: float | Numbers) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the 95 % confidence band of the mean mAP, lower and upper; None without an interval."""
        band = self.curve.confidence_band(x, far=True)
        return None if band is None else (1.0 - band[1], 1.0 - band[0])

    def in_words(self) -> str:
        """Return the fit as a sentence, its uncertainty included."""
        return self.curve.in_words()


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
    scores = np.asarray(map_avg, dtype=np.float64)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"mAP values are {scores.tolist()}, expected 0 to 1")
    if (scores == 1).any():
        return Refused(reason=f"no curve: a trial has mAP 1, and an error of 0 has no place in a power law of {x_name}")
    curve = fit_curve(
        x,
        1.0 - scores,
        form=form,
        level=LEVEL,
        resamples=resamples,
        seed=seed,
        bootstrap="seeds",
        x_name=x_name,
        y_name="error",
    )
    return curve if isinstance(curve, Refused) else PowerLaw(curve=curve)


def fit_lines(
    groups: Sequence[Group], x: str, *, form: Form = "m1", resamples: int = 1000
) -> dict[str, PowerLaw | Refused]:
    """Fit the error against config path `x` once for each line of the study's curve (`summary.lines`)."""
    fits: dict[str, PowerLaw | Refused] = {}
    name = short_name(x)
    for line, members in lines(groups, x).items():
        points = [(group.values[x], score) for group in members for score in group.maps]
        if not all(isinstance(size, int | float) and not isinstance(size, bool) for size, _ in points):
            fits[line] = Refused(reason=f"there is no curve over {name}, whose values are names")
        elif not all(size > 0 for size, _ in points):
            fits[line] = Refused(reason=f"no curve: {name} is not above 0 everywhere")
        else:
            sizes, scores = [size for size, _ in points], [score for _, score in points]
            fits[line] = fit_error(sizes, scores, x_name=name, form=form, resamples=resamples)
    return fits
