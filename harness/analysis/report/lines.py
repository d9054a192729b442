"""The fitted curve of each line: what differs in the horizontal axis only is one line."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from harness.analysis.fits import Curve, Refused, fit_curve
from harness.analysis.names import short_name
from harness.analysis.report.axes import is_size
from harness.analysis.summary import Group, lines

MOST_FITS = 12
"""Lines that are fitted; a study with more has too many to be read off one figure."""
Fits = Mapping[str, Curve | Refused]
Line = Float[np.ndarray, " sizes"]


def fit_groups(groups: Sequence[Group], x: str | None) -> Fits:
    """Fit the error 1 - mAP of single trials against config path `x`, line by line.

    Empty when `x` is no size everywhere, when it has one value, or when there are more lines than one figure can hold.
    """
    scored = [group for group in groups if group.map_avg]
    if x is None or not all(is_size(group.values[x]) for group in scored):
        return {}
    named = lines(scored, x)
    if len(named) > MOST_FITS or len({group.values[x] for group in scored}) < 2:
        return {}
    return {name: _fit(members, x) for name, members in named.items()}


def map_line(curve: Curve, num_points: int = 60) -> tuple[Line, Line]:
    """Return sizes over the measured range and the fitted mAP there, in percent."""
    sizes = np.geomspace(curve.x_min, curve.x_max, num_points)
    return sizes, 100 * (1 - curve.predict(sizes))


def map_band(curve: Curve, sizes: Line, *, of: Literal["mean", "trial"]) -> tuple[Line, Line] | None:
    """Return the band of the mean mAP (`of="mean"`) or of one new trial (`of="trial"`), in percent, lower first."""
    band = curve.confidence_band(sizes) if of == "mean" else curve.prediction_band(sizes)
    if band is None:
        return None
    low_error, high_error = band
    # A law of the error knows nothing of its largest value; an mAP below 0 is not drawn.
    return np.maximum(100 * (1 - high_error), 0), np.maximum(100 * (1 - low_error), 0)


def _fit(members: Sequence[Group], x: str) -> Curve | Refused:
    points = [
        (group.values[x], 1.0 - score, seed)
        for group in members
        for score, seed in zip(group.maps, group.seeds, strict=True)
    ]
    sizes, errors, seeds = ([point[place] for point in points] for place in range(3))
    if min(errors) <= 0:
        return Refused(reason="no curve: a trial has mAP 1, and an error of 0 has no place in a power law")
    return fit_curve(sizes, errors, seeds=seeds, ceiling=1.0, x_name=short_name(x), y_name="error")
