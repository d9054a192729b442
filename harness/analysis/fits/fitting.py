"""From single trials to a curve, or to the reason why there is none.

points -> refusals -> form (given, or chosen on held-out large x) -> best fit -> resamples -> intervals, bands, warnings
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.fits.choice import Choice, choose, given
from harness.analysis.fits.curve import Curve, Resampled
from harness.analysis.fits.forms import FORM_NAMES, Form, form_named
from harness.analysis.fits.least_squares import minimise
from harness.analysis.fits.points import Numbers, Points, check_settings, points
from harness.analysis.fits.profile import profile_intervals
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.resampling import Draws, choose_method, draw, pooled_variance, why_not
from harness.analysis.fits.search import Fit, box
from harness.analysis.fits.words import warnings

MOST_FAILED = 0.1
"""Share of resamples without a fit above which there is no interval."""
RESAMPLE_ROUNDS, RESAMPLE_TOLERANCE = 100, 1e-4
"""A resample's cost need not be known as well as that of the fit."""


@dataclass(frozen=True, kw_only=True)
class _How:
    """How to fit, as it was asked for."""

    bootstrap: str
    level: float
    resamples: int
    seed: int
    huber: float | None


def fit_curve(
    x: Numbers,
    y: Numbers,
    *,
    seeds: Sequence[object] | None = None,
    form: str = "auto",
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
    ceiling: float | None = None,
    bootstrap: str = "auto",
    huber: float | None = None,
    x_name: str = "x",
    y_name: str = "y",
) -> Curve | Refused:
    """Fit a law to single trials by least squares on ln y, or say why not.

    Args:
        x: Size of each trial, above 0.
        y: Loss-like outcome of each trial, 0 or more; for mAP the error 1 - mAP.
        seeds: Seed of each trial, where known: no seed may come twice at one x.
        form: One of `FORM_NAMES`, or `auto`: what foretells the largest x best from the others.
        level: Of intervals and bands.
        resamples: Bootstrap resamples; 0 for none, and then no interval.
        seed: Of the resampling: the same trials give the same intervals.
        ceiling: e0 of m4, the y of guessing; fitted when None. For the error of mAP it is 1.
        bootstrap: What is resampled, one of `fits.resampling.METHODS` or `auto`.
        huber: Residuals of ln y above it count linearly instead of squared, against outliers.
        x_name: What x is called in sentences.
        y_name: What y is called.

    Raises:
        ValueError: a number out of range, not as many of each, or a setting that does not exist.
    """
    data = points(x, y, seeds=seeds, x_name=x_name, y_name=y_name)
    check_settings(level, resamples)
    if ceiling is not None and (data.y > ceiling).any():
        raise ValueError(f"{y_name} is {data.y.max():g} somewhere, expected at most the ceiling {ceiling:g}")
    laws = {name: form_named(name, ceiling=ceiling) for name in (FORM_NAMES if form == "auto" else (form,))}
    how = _How(bootstrap=bootstrap, level=level, resamples=resamples, seed=seed, huber=huber)
    reason = _refusal(data, laws)
    if reason:
        return Refused(reason=f"no curve: {reason}")
    usable = [law for law in laws.values() if len(data.distinct) >= law.min_distinct]
    choice = choose(usable, data, huber) if form == "auto" else given(usable[0], data, huber)
    return _curve(data, choice, {law.name: law for law in usable}, how)


def _refusal(data: Points, laws: Mapping[str, Form]) -> str | None:
    needed = min(laws.values(), key=lambda law: law.min_distinct)
    if len(data.distinct) < needed.min_distinct:
        num = len(data.distinct)
        kinds = f"{num} distinct value{'s'[: num != 1]} of {data.x_name}"
        return f"{kinds}, expected at least {needed.min_distinct} for {needed.name}"
    if (data.y == 0).any():
        return f"a trial has {data.y_name} 0, which has no place in a law of ln {data.y_name}"
    if np.ptp(data.y) == 0:
        return f"{data.y_name} is the same at every value of {data.x_name}"
    if laws.keys() != {"bnsl"} and data.slope >= 0:
        return f"{data.y_name} does not fall as {data.x_name} grows (log-log slope {data.slope:+.2f})"
    return None


def _curve(data: Points, choice: Choice, laws: Mapping[str, Form], how: _How) -> Curve:
    law, centre = choice.law, data.centre
    fit = choice.fits[law.name]
    fitted = law.curve(fit.theta[None], (np.log(data.x) - centre)[None])[0][0]
    squares = float(np.sum((fitted - data.log_y) ** 2))
    method = choose_method(data, law.num_parameters, squares, how.bootstrap)
    refused = "no resamples were asked for" if not how.resamples else why_not(data, method, law.num_parameters)
    resampled: tuple[Resampled, ...] = ()
    intervals: dict[str, tuple[float, float]] = {}
    failed = 0
    if refused is None:
        first, failed = _resample(law, data, fit, method, how, how.resamples)
        if failed > MOST_FAILED * how.resamples:
            refused = f"{failed} of {how.resamples} resamples could not be fitted"
        else:
            intervals = _intervals(law, data, fit, first, method, how)
            resampled = (first, *_other_forms(choice, laws, data, method, how))
    freedom = max(len(data.x) - law.num_parameters, 1)
    return Curve(
        form=law.name,
        formula=law.formula,
        x_name=data.x_name,
        y_name=data.y_name,
        parameters={name: float(value[0]) for name, value in law.natural(fit.theta[None], centre).items()},
        intervals=intervals,
        interval_refused=refused,
        level=how.level,
        num_points=len(data.x),
        num_distinct=len(data.distinct),
        x_min=float(data.distinct[0]),
        x_max=float(data.distinct[-1]),
        rmse_log=float(np.sqrt(squares / freedom)),
        hold_out=choice.hold_out,
        weights=_shares(choice),
        bootstrap=method,
        num_resamples=0 if refused else how.resamples,
        num_failed_resamples=failed,
        seed=how.seed,
        converged=fit.converged,
        warnings=tuple(warnings(data, law, fit, squares, method, intervals)),
        law=law,
        centre=centre,
        theta=fit.theta,
        resampled=resampled,
    )


def _resample(law: Form, data: Points, fit: Fit, method: str, how: _How, num: int) -> tuple[Resampled, int]:
    """Return fits to resampled data, and how many resamples have too few distinct x for one."""
    z, log_y = np.log(data.x) - data.centre, data.log_y
    fitted = law.curve(fit.theta[None], z[None])[0][0]
    drawn = draw(data, fitted, law.num_parameters, method, num, np.random.default_rng(how.seed))
    distinct = sum((drawn.weights[:, group] > 0).any(axis=1).astype(int) for group in data.members())
    usable = distinct >= law.num_parameters
    theta = _refit(law, z, log_y, drawn, fit, how.huber)
    usable &= np.isfinite(law.curve(theta, z[None])[0]).all(axis=1)
    return Resampled(law=law, theta=theta[usable], noise=drawn.noise[usable]), int(num - usable.sum())


def _refit(law: Form, z: np.ndarray, log_y: np.ndarray, drawn: Draws, fit: Fit, huber: float | None) -> np.ndarray:
    if law.exact is not None and huber is None:
        return law.exact(z, drawn.log_y, drawn.weights)
    # The best fit may lie at a bound, where nothing tells a descent to leave it: hence the second start.
    inner = law.starts(z, log_y)
    found = [
        minimise(
            lambda theta: law.curve(theta, z[None]),
            drawn.log_y,
            np.tile(start, (len(drawn.log_y), 1)),
            box(law, z, log_y),
            weights=drawn.weights,
            huber=huber,
            rounds=RESAMPLE_ROUNDS,
            tolerance=RESAMPLE_TOLERANCE,
        )
        for start in (fit.theta, inner[len(inner) // 2])
    ]
    better = found[1].cost < found[0].cost
    return np.where(better[:, None], found[1].theta, found[0].theta)


def _other_forms(choice: Choice, laws: Mapping[str, Form], data: Points, method: str, how: _How) -> list[Resampled]:
    """Return resamples of the forms that were not chosen, so many that their shares of all are those of `_shares`."""
    shares, found = _shares(choice), []
    for name, share in shares.items():
        num = round(how.resamples * share / shares[choice.law.name])
        if name != choice.law.name and num and why_not(data, method, laws[name].num_parameters) is None:
            found.append(_resample(laws[name], data, choice.fits[name], method, how, num)[0])
    return found


def _shares(choice: Choice) -> dict[str, float]:
    """Return how far the bands believe each form: half goes to the chosen one, half by Akaike's weights.

    The form that foretells best need not be the one that fits best; either may be wrong past the measured range.
    """
    return {name: (weight + (name == choice.law.name)) / 2 for name, weight in choice.weights.items()}


def _intervals(
    law: Form, data: Points, fit: Fit, resampled: Resampled, method: str, how: _How
) -> dict[str, tuple[float, float]]:
    """Return percentile intervals, and profile intervals where trials have one spread and one inner parameter tells."""
    tail = (1 - how.level) / 2
    found: dict[str, tuple[float, float]] = {}
    for name, sample in law.natural(resampled.theta, data.centre).items():
        low, high = np.quantile(sample, [tail, 1 - tail])
        if high > low:
            found[name] = (float(low), float(high))
    known = pooled_variance(data, law.num_parameters, fit.cost, method)
    if known is not None and how.huber is None:
        found |= profile_intervals(law, data, fit, how.level, *known)
    return found
