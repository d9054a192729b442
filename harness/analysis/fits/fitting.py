"""From points to a curve: checks, fit, resampling, warnings."""

from collections.abc import Sequence

import numpy as np

from harness.analysis.fits.curve import Curve
from harness.analysis.fits.error_law import Refused
from harness.analysis.fits.forms import Form, form_named
from harness.analysis.fits.least_squares import minimise

Numbers = Sequence[int | float] | np.ndarray


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
    x_name: str = "x",
    y_name: str = "y",
) -> Curve | Refused:
    """Fit a law to single trials by least squares on ln y, or say why not."""
    sizes, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    law = form_named("m1" if form == "auto" else form, ceiling=ceiling)
    distinct = np.unique(sizes)
    if len(distinct) < law.min_distinct:
        return Refused(
            reason=f"no curve: {len(distinct)} distinct values of {x_name}, expected at least "
            f"{law.min_distinct} for {law.name}"
        )
    centre = float(np.log(sizes).mean())
    z, log_y = np.log(sizes) - centre, np.log(values)
    theta, cost = _best(law, z, log_y)
    freedom = len(sizes) - law.num_parameters
    residuals = law.curve(theta[None], z[None])[0][0] - log_y
    rng = np.random.default_rng(seed)
    scale = np.sqrt(len(sizes) / max(freedom, 1))
    refused = None if freedom > 0 and resamples > 0 else "as many parameters as points"
    if refused:
        resampled, noise = np.empty((0, law.num_parameters)), np.empty(0)
    else:
        draws = residuals[rng.integers(len(sizes), size=(resamples, len(sizes)))] * scale
        fitted = log_y + residuals
        new = fitted + draws
        solution = minimise(
            lambda t, a: law.curve(t, z[None]), new, np.tile(theta, (resamples, 1)), np.array(law.bounds).T
        )
        resampled = solution.theta
        noise = residuals[rng.integers(len(sizes), size=resamples)] * scale
    tail = (1 - level) / 2
    intervals = {}
    if not refused:
        for name, sample in law.natural(resampled, centre).items():
            low, high = np.quantile(sample, [tail, 1 - tail])
            intervals[name] = (float(low), float(high))
    return Curve(
        form=law.name,
        formula=law.formula,
        x_name=x_name,
        y_name=y_name,
        parameters={name: float(value[0]) for name, value in law.natural(theta[None], centre).items()},
        intervals=intervals,
        interval_refused=refused,
        level=level,
        num_points=len(sizes),
        num_distinct=len(distinct),
        x_min=float(distinct[0]),
        x_max=float(distinct[-1]),
        rmse_log=float(np.sqrt(cost / max(freedom, 1))),
        hold_out=None,
        bootstrap="residuals",
        num_resamples=len(resampled),
        num_failed_resamples=0,
        seed=seed,
        converged=True,
        warnings=(),
        law=law,
        centre=centre,
        theta=theta,
        resampled=resampled,
        noise=noise,
    )


def _best(law: Form, z: np.ndarray, log_y: np.ndarray) -> tuple[np.ndarray, float]:
    starts = law.starts(z, log_y)
    solution = minimise(
        lambda theta, active: law.curve(theta, z[None]),
        np.tile(log_y, (len(starts), 1)),
        starts,
        np.array(law.bounds).T,
    )
    best = int(np.argmin(solution.cost))
    return solution.theta[best], float(solution.cost[best])
