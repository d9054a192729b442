"""A fitted curve in words, and what to bear in mind about it."""

from collections.abc import Iterator, Mapping

from harness.analysis.fits.forms import Form
from harness.analysis.fits.points import Points
from harness.analysis.fits.resampling import UNLIKELY, lack_of_fit, pooled_variance
from harness.analysis.fits.search import Fit

FEW_DISTINCT, FEW_FREEDOM = 5, 5
NOTHING_LEFT = 1e-3
"""Share of the smallest y (or of 1 / x) below which a floor (or g) stands for 0."""
Intervals = Mapping[str, tuple[float, float]]


def in_words(
    law: Form, names: tuple[str, str], parameters: Mapping[str, float], intervals: Intervals, level: float, basis: str
) -> str:
    """Return a curve as a sentence.

    Args:
        law: Its form.
        names: Of x and of y.
        parameters: Of the formula.
        intervals: Of the parameters, some or none.
        level: Of the intervals.
        basis: What the intervals rest on, or why there are none.
    """
    x_name, y_name = names
    share = f"{100 * level:g} % interval"
    if law.name not in ("m1", "m2"):
        values = ", ".join(said(name, value, intervals) for name, value in parameters.items())
        return (
            f"{y_name} follows {law.formula} of {x_name} with {values} ({f'{share}s {basis}' if intervals else basis})"
        )
    what = y_name
    if law.name == "m2":
        what += f" above {parameters['e']:.3f}"
        what += " [{:.3f}, {:.3f}]".format(*intervals["e"]) if "e" in intervals else ""
    c = parameters["c"]
    bounds = "{:.2f} … {:.2f}".format(*intervals["c"]) if "c" in intervals else ""
    inside = f"{share} {bounds} {basis}" if bounds else basis
    return (
        f"{what} falls as {x_name}^{c:.2f} ({inside}); each doubling of {x_name} removes {percent(1.0 - 2.0**c)} of it"
    )


def said(name: str, value: float, intervals: Intervals) -> str:
    """Return `c = -0.31 [-0.33, -0.28]`."""
    if name not in intervals:
        return f"{name} = {value:.4g}"
    low, high = intervals[name]
    return f"{name} = {value:.4g} [{low:.3g}, {high:.3g}]"


def percent(share: float) -> str:
    """Return a share in percent, with a digit more where it is small."""
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def warnings(data: Points, law: Form, fit: Fit, squares: float, method: str, intervals: Intervals) -> Iterator[str]:
    """Yield what to bear in mind about a fit, a clause each."""
    parameters = {name: float(value[0]) for name, value in law.natural(fit.theta[None], data.centre).items()}
    if not fit.converged:
        yield "a second set of starts led to a better fit, so the best may not be found"
    if len(data.distinct) < FEW_DISTINCT:
        yield f"only {len(data.distinct)} distinct values of {data.x_name}: interpolation only"
    if parameters.get("e", 1.0) < NOTHING_LEFT * data.y.min():
        yield "e is 0 as far as these points tell"
    if parameters.get("a", 1.0) < NOTHING_LEFT:
        yield "a is 0 as far as these points tell, so m2 fits as well"
    if parameters.get("g", 1.0) * data.x.max() < NOTHING_LEFT:
        yield "g is 0 as far as these points tell, so m1 fits as well"
    if law.name == "m1" and "c" in intervals and intervals["c"][1] >= 0:
        yield "the interval includes 0, so a fall is not established"
    yield from _of_spread(data, law, squares, method, intervals)


def _of_spread(data: Points, law: Form, squares: float, method: str, intervals: Intervals) -> Iterator[str]:
    known = pooled_variance(data, law.num_parameters, squares, method) if intervals else None
    if known is not None and known[1] < FEW_FREEDOM:
        yield f"the spread has {known[1]} degrees of freedom, so the interval is rough"
    lack = lack_of_fit(data, law.num_parameters, squares)
    if lack is not None and lack.probability < UNLIKELY:
        yield f"the means lie {lack.ratio:.1f} times farther from the curve than seeds explain"
