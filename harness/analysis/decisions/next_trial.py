"""What to run next: the trial that narrows an answer most per hour.

Two questions can be asked. Which setting is best (within a budget): the answer is the difference between the leader and
the challenger that is hardest to tell from it, and one more seed of either narrows it. What is the mAP at some x: the
answer is the curve's band there, and one more trial at any x narrows it as far as that x has a say in the curve (the
inverse of the normal matrix of the fit with that trial added).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.decisions.difference import difference
from harness.analysis.decisions.pareto import cost_bytes
from harness.analysis.decisions.spread import LEVEL, NO_SPREAD, Pooled, pooled_spread
from harness.analysis.fits import Curve, Refused, fit_curve
from harness.analysis.names import setting_name, short_name, value_name
from harness.analysis.summary import Group, lines
from harness.units import format_seconds


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One more trial that could be run, and what it would do to the answer."""

    values: dict[str, Any]
    """Its setting."""
    half_width: float
    """Half of the answer's interval afterwards, if the spread stays as it is; mAP, 0 to 1."""
    narrowing: float
    """How much less than now."""
    known: bool
    """Whether the setting has a result already, so that the trial is another seed of it."""
    seconds: float | None
    """What it takes: the mean of the setting's trials, or a law of time over x; None where no time is known."""

    @property
    def value(self) -> float:
        """Return the narrowing per second, or per trial where no time is known."""
        return self.narrowing / self.seconds if self.seconds else self.narrowing


@dataclass(frozen=True, kw_only=True)
class NextTrial:
    """The trial to run next, with the runners-up."""

    question: str
    half_width: float | None
    """Half of the answer's interval now; None where there is none."""
    candidates: tuple[Candidate, ...]
    """Best first; empty where the question is settled or cannot be judged."""
    settled: str | None
    """Why there is nothing to run."""

    @property
    def best(self) -> Candidate | None:
        """Return the trial to run."""
        return self.candidates[0] if self.candidates else None

    def in_words(self) -> str:
        """Return the answer as a sentence."""
        if self.best is None or self.half_width is None:
            return f"{self.question}: {self.settled}"
        now, then = 100 * self.half_width, 100 * self.best.half_width
        cost = "" if self.best.seconds is None else f" in {format_seconds(self.best.seconds)}"
        per = "per hour" if self.best.seconds else "per trial"
        again = " with another seed" if self.best.known else ""
        return (
            f"{self.question}: run {setting_name(self.best.values)}{again}; it narrows the answer from "
            f"± {now:.1f} to ± {then:.1f} points of mAP{cost}, the most {per} of {len(self.candidates)} candidates"
        )


def next_trial(
    groups: Sequence[Group],
    *,
    x: str | None = None,
    at: float | None = None,
    form: str = "m1",
    budget_bytes: float | None = None,
    run_spread: float | None = None,
    level: float = LEVEL,
) -> NextTrial:
    """Return the trial that narrows an answer most per hour.

    Args:
        groups: From `summarise`.
        x: Config path of a curve; with `at`, the question is the mAP there on the line that promises most.
        at: Where on the curve.
        form: Law of the error over x.
        budget_bytes: Without x, the question is which setting is best among those that cost no more.
        run_spread: Standard deviation of mAP (0 to 1) from run to run, where it is known from elsewhere.
        level: Of the answer's interval.

    Raises:
        ValueError: only one of x and `at` is given.
    """
    if (x is None) != (at is None):
        raise ValueError(f"x is {x} and at is {at}, expected both for a curve or neither for the best setting")
    if x is not None and at is not None:
        return _about_curve(groups, x, at, form, level)
    return _about_best(groups, budget_bytes, pooled_spread(groups, run_spread), level)


def _about_best(groups: Sequence[Group], budget_bytes: float | None, pooled: Pooled | None, level: float) -> NextTrial:
    usable = [group for group in groups if group.map_avg and (budget_bytes is None or _within(group, budget_bytes))]
    usable.sort(key=lambda group: -np.mean(group.maps))
    question = "which setting is best"

    def settled(why: str) -> NextTrial:
        return NextTrial(question=question, half_width=None, candidates=(), settled=why)

    if len(usable) < 2:
        return settled(f"{'one setting has' if usable else 'no setting has'} a result, expected at least 2")
    if pooled is None:
        return settled(f"{NO_SPREAD}; run a second seed anywhere")
    gaps = [difference(usable[0], other, pooled, level) for other in usable[1:]]
    closest = min(gaps, key=lambda gap: gap.mean / (gap.half_width or math.inf))
    if closest.distinguishable:
        return settled(f"settled, {closest.in_words()}")
    question += f", {closest.better.name} or {closest.worse.name}"
    nums = [len(closest.better.maps), len(closest.worse.maps)]
    assert closest.half_width is not None
    found = []
    for index, group in enumerate((closest.better, closest.worse)):
        more = [num + (place == index) for place, num in enumerate(nums)]
        then = pooled.half_width(more, level)
        found.append(
            Candidate(
                values=dict(group.values),
                half_width=then,
                narrowing=closest.half_width - then,
                known=True,
                seconds=group.total_seconds,
            )
        )
    return _ranked(question, closest.half_width, found)


def _about_curve(groups: Sequence[Group], x: str, at: float, form: str, level: float) -> NextTrial:
    question = f"mAP at {value_name(x, at)} {short_name(x)}"
    if not all(isinstance(group.values[x], int | float) and group.values[x] > 0 for group in groups):
        raise ValueError(f"{x} is no number above 0 everywhere, expected one for a curve")
    best: tuple[float, Curve, Sequence[Group]] | None = None
    why = "no setting has a result"
    for name, members in lines([group for group in groups if group.map_avg], x).items():
        curve = _line_curve(members, x, form, level)
        if isinstance(curve, Refused):
            why = f"{name}: {curve.reason}"
        else:
            promised = 1 - float(curve.predict(at, far=True)[0])
            best = max(best or (-math.inf, curve, members), (promised, curve, members), key=lambda entry: entry[0])
    if best is None:
        return NextTrial(question=question, half_width=None, candidates=(), settled=why)
    _, curve, members = best
    if curve.num_points <= len(curve.theta):
        why = f"{curve.num_points} trials leave no degree of freedom for the spread"
        return NextTrial(question=question, half_width=None, candidates=(), settled=why)
    # Settings of the same line that have no result yet are candidates too.
    rest = {path: value for path, value in members[0].values.items() if path != x}
    places = {group.values[x] for group in groups if rest.items() <= group.values.items()} | {at}
    width, seconds = _band_width(curve, members, x, at, level), _time_law(members, x)
    now, known = width(None), {group.values[x] for group in members}
    found = [
        Candidate(
            values={**rest, x: place},
            half_width=width(place),
            narrowing=now - width(place),
            known=place in known,
            seconds=seconds(place),
        )
        for place in sorted(places)
    ]
    return _ranked(question, now, found)


def _line_curve(members: Sequence[Group], x: str, form: str, level: float) -> Curve | Refused:
    points = [(group.values[x], 1 - score) for group in members for score in group.maps]
    sizes, errors = zip(*points, strict=True)
    return fit_curve(sizes, errors, form=form, level=level, resamples=0, ceiling=1.0, x_name=short_name(x))


def _band_width(
    curve: Curve, members: Sequence[Group], x: str, at: float, level: float
) -> Callable[[float | None], float]:
    """Return how wide half of the band of mAP at `at` is, without or with one more trial somewhere."""
    sizes = np.array([group.values[x] for group in members for _ in group.maps], dtype=float)

    def rows(places: np.ndarray) -> np.ndarray:
        return curve.law.curve(curve.theta[None], (np.log(places) - curve.centre)[None])[1][0]

    design, target = rows(sizes), rows(np.array([at]))[0]
    freedom = len(sizes) - design.shape[1]
    spread = Pooled(std=curve.rmse_log * float(curve.predict(at, far=True)[0]), freedom=freedom)

    def width(place: float | None) -> float:
        all_rows = design if place is None else np.vstack([design, rows(np.array([place], dtype=float))])
        variance = target @ np.linalg.pinv(all_rows.T @ all_rows) @ target
        return spread.quantile(level) * spread.std * math.sqrt(max(float(variance), 0.0))

    return width


def _time_law(members: Sequence[Group], x: str) -> Callable[[float], float | None]:
    """Return seconds of a trial over x: a base and a price per unit, neither below 0."""
    from scipy.optimize import nnls

    timed = [(float(group.values[x]), group.total_seconds) for group in members if group.total_seconds]
    if not timed:
        return lambda place: None
    sizes, seconds = np.array(timed).T
    (base, price), _ = nnls(np.stack([np.ones_like(sizes), sizes / sizes.max()], axis=1), seconds)
    return lambda place: float(base + price * place / sizes.max())


def _ranked(question: str, now: float, found: Sequence[Candidate]) -> NextTrial:
    timed = all(candidate.seconds for candidate in found)
    order = sorted(found, key=lambda candidate: -(candidate.value if timed else candidate.narrowing))
    return NextTrial(question=question, half_width=now, candidates=tuple(order), settled=None)


def _within(group: Group, budget_bytes: float) -> bool:
    return bool(group.peak_bytes or group.predicted_peak_bytes) and cost_bytes(group) <= budget_bytes
