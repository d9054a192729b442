"""Which form: the one that foretells the largest x best from the others (scaling-facts A7)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.analysis.fits.curve import HoldOut
from harness.analysis.fits.forms import Form
from harness.analysis.fits.points import Points
from harness.analysis.fits.search import SAME_CURVE, Fit, best_fit

HELD_SHARE, MOST_HELD = 0.25, 3
"""Share of the distinct x that is held out, from the largest down, and how many at most."""
TIE = 1.1
"""Hold-out errors within this factor of the least are equal; AICc decides between them."""


class Choice(NamedTuple):
    """The chosen form and how far the others are to be believed."""

    law: Form
    fits: Mapping[str, Fit]
    """Of every form, by name."""
    hold_out: HoldOut | None
    """None where too few x would be left to fit."""
    weights: Mapping[str, float]
    """Akaike's weights, by form: exp(-AICc / 2), summing to 1."""


def choose(laws: Sequence[Form], data: Points, huber: float | None = None) -> Choice:
    """Return the form with the least error on held-out large x among those that the points are enough for."""
    num_held = min(MOST_HELD, max(1, round(HELD_SHARE * len(data.distinct))))
    held = data.distinct[-num_held:]
    known, unseen = data.take(data.x < held[0]), data.take(data.x >= held[0])
    judged = [law for law in laws if _enough(law, known)]
    laws = judged or laws
    fits = {law.name: best_fit(law, data, data.centre, huber=huber) for law in laws}
    scores = {law.name: aicc(law.num_parameters, len(data.x), fits[law.name].cost) for law in laws}
    if not judged:
        law = min(laws, key=lambda law: (scores[law.name], law.num_parameters))
        return Choice(law, fits, None, {law.name: 1.0})
    errors = {law.name: _foretell(law, known, unseen, huber) for law in laws}
    tied = [law for law in laws if errors[law.name] <= TIE * min(errors.values())]
    law = min(tied, key=lambda law: (scores[law.name], law.num_parameters))
    law = min((other for other in laws if _same(law, other, fits, data)), key=lambda law: law.num_parameters)
    return Choice(law, fits, HoldOut(x=tuple(held.tolist()), rmse_log=errors), _akaike(scores))


def given(law: Form, data: Points, huber: float | None = None) -> Choice:
    """Return the choice that was made by whoever asked."""
    return Choice(law, {law.name: best_fit(law, data, data.centre, huber=huber)}, None, {law.name: 1.0})


def aicc(num_parameters: int, trials: int, cost: float) -> float:
    """Return Akaike's criterion of ln y with the correction for few points; infinite where there are too few."""
    parameters = num_parameters + 1  # the spread is one more
    if trials <= parameters + 1:
        return np.inf
    correction = 2 * parameters * (parameters + 1) / (trials - parameters - 1)
    return trials * float(np.log(max(cost, 1e-300) / trials)) + 2 * parameters + correction


def _enough(law: Form, known: Points) -> bool:
    """Return whether a form can be judged by what it foretells from these points.

    One point more than parameters will do where forms are stiff; a break wants three points for each (scaling-facts
    A2).
    """
    needed = 3 * law.num_parameters if law.name == "bnsl" else law.num_parameters + 1
    return len(known.distinct) >= needed and known.slope < 0


def _same(law: Form, other: Form, fits: Mapping[str, Fit], data: Points) -> bool:
    """Return whether two fitted curves are one: a form at its bounds is another one with parameters to spare."""
    z = np.log(data.x) - data.centre
    curves = [form.curve(fits[form.name].theta[None], z[None])[0][0] for form in (law, other)]
    return float(np.abs(curves[0] - curves[1]).max()) < SAME_CURVE


def _foretell(law: Form, known: Points, unseen: Points, huber: float | None) -> float:
    centre = known.centre
    theta = best_fit(law, known, centre, huber=huber, check=False).theta
    foretold = law.curve(theta[None], (np.log(unseen.x) - centre)[None])[0][0]
    return float(np.sqrt(np.mean((foretold - unseen.log_y) ** 2)))


def _akaike(scores: Mapping[str, float]) -> dict[str, float]:
    least = min(scores.values())
    if not np.isfinite(least):  # too few points for any of them
        return {name: 1 / len(scores) for name in scores}
    parts = {name: float(np.exp(-(score - least) / 2)) for name, score in scores.items()}
    return {name: part / sum(parts.values()) for name, part in parts.items()}
