"""Which knob buys most mAP per GiB: single steps along one axis, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness.analysis.amounts import Unit, memory_unit
from harness.analysis.decisions.pareto import cost_bytes, priced
from harness.analysis.decisions.spread import LEVEL, NO_SPREAD, Pooled, pooled_spread
from harness.analysis.names import short_name, value_name
from harness.analysis.summary import Group
from harness.units import GIB, format_bytes


@dataclass(frozen=True, kw_only=True)
class Step:
    """One knob turned from one value to the next that was run, all others kept."""

    knob: str
    """Config path."""
    start: Group
    end: Group
    gain: float
    """Difference of the mean mAP, 0 to 1."""
    half_width: float | None
    """The interval of the gain is gain ± half_width; None where no spread is known."""
    extra_bytes: int

    @property
    def gain_per_gib(self) -> float | None:
        """Return mAP (0 to 1) per GiB; None for a step that costs no memory."""
        return self.gain / (self.extra_bytes / GIB) if self.extra_bytes > 0 else None

    @property
    def interval_per_gib(self) -> tuple[float, float] | None:
        """Return the interval of `gain_per_gib`."""
        if self.half_width is None or self.extra_bytes <= 0:
            return None
        gib = self.extra_bytes / GIB
        return (self.gain - self.half_width) / gib, (self.gain + self.half_width) / gib

    def in_words(self, unit: Unit | None = None) -> str:
        """Return the step as a clause, in points of mAP and per unit of memory."""
        unit = unit or memory_unit([self.extra_bytes])
        name = short_name(self.knob)
        values = [value_name(self.knob, setting.values[self.knob]) for setting in (self.start, self.end)]
        turned = f"{name} {' → '.join(values)}"
        half = "" if self.half_width is None else f" ± {100 * self.half_width:.1f}"
        if self.extra_bytes <= 0:
            saved = format_bytes(-self.extra_bytes)
            return f"{turned}: {100 * self.gain:+.1f}{half} points" + (f" and {saved} less" if self.extra_bytes else "")
        per_unit = 100 * unit.factor / self.extra_bytes
        rate = f"{per_unit * self.gain:.2f}"
        if self.half_width is not None:
            rate += f" ± {per_unit * self.half_width:.2f}"
        cost = format_bytes(self.extra_bytes)
        return f"{turned}: {100 * self.gain:+.1f}{half} points for {cost}, {rate} per {unit.name}"


@dataclass(frozen=True, kw_only=True)
class MarginalGains:
    """What single steps of each knob buy."""

    start: Group | None
    """The setting that the steps are taken from; None for the steps from every setting."""
    steps: tuple[Step, ...]
    """Most mAP per GiB first; steps that cost no memory before those."""
    level: float
    distinguishable: bool | None
    """Whether the best step from `start` buys more per GiB than any of another knob, beyond the interval of the
    difference; None without a start or where no spread is known."""

    def in_words(self) -> str:
        """Return the answer as a sentence."""
        if not self.steps:
            return "no two settings differ in one knob only, so no knob has a price"
        unit = memory_unit(step.extra_bytes for step in self.steps)
        if self.start is None:
            return f"points of mAP per {unit.name}: " + "; ".join(self._range(knob, unit) for knob in self._knobs)
        text = f"from {self.start.name}, " + "; ".join(step.in_words(unit) for step in self.steps)
        if len(self._knobs) < 2:
            return text
        if self.distinguishable is None:
            return f"{text}; {NO_SPREAD}"
        first = short_name(self.steps[0].knob)
        verdict = f"{first} buys most" if self.distinguishable else "the knobs are not distinguishable"
        return f"{text} ({100 * self.level:g} % intervals): {verdict}"

    @property
    def _knobs(self) -> list[str]:
        return list(dict.fromkeys(step.knob for step in self.steps))

    def _range(self, knob: str, unit: Unit) -> str:
        own = [step for step in self.steps if step.knob == knob]
        rates = [100 * unit.factor / GIB * step.gain_per_gib for step in own if step.gain_per_gib is not None]
        name, free = short_name(knob), len(own) - len(rates)
        parts = [f"{min(rates):.2f} to {max(rates):.2f} over {len(rates)} steps"] if len(rates) > 1 else []
        parts += [f"{rates[0]:.2f} in one step"] if len(rates) == 1 else []
        parts += [f"{free} step{'s'[: free != 1]} without cost"] if free else []
        return f"{name} {', '.join(parts)}"


def marginal_gains(
    groups: Sequence[Group],
    *,
    budget_bytes: float | None = None,
    run_spread: float | None = None,
    level: float = LEVEL,
) -> MarginalGains:
    """Return what each knob buys per GiB: from the best setting within a budget, or over all single steps.

    Args:
        groups: From `summarise`.
        budget_bytes: Steps are taken from the best setting that costs no more; without it, from every setting.
        run_spread: Standard deviation of mAP (0 to 1) from run to run, where it is known from elsewhere.
        level: Of the intervals.

    Raises:
        ValueError: no setting costs as little as the budget.
    """
    pooled, shown = pooled_spread(groups, run_spread), priced(groups)
    start = None if budget_bytes is None else _best_within(shown, budget_bytes)
    steps = [
        step for knob in _knobs(shown) for step in _steps(shown, knob, pooled, level) if start in (None, step.start)
    ]
    steps.sort(key=_rate, reverse=True)
    clear = None if start is None or pooled is None else _clear_winner(steps, pooled.half_width([1], level))
    return MarginalGains(start=start, steps=tuple(steps), level=level, distinguishable=clear)


def _best_within(groups: Sequence[Group], budget_bytes: float) -> Group:
    within = [group for group in groups if cost_bytes(group) <= budget_bytes]
    if not within:
        raise ValueError(
            f"the budget is {format_bytes(budget_bytes)}, expected at least what the cheapest setting costs"
        )
    return max(within, key=lambda group: np.mean(group.maps))


def _knobs(groups: Sequence[Group]) -> list[str]:
    return [knob for knob in groups[0].values if len({group.values[knob] for group in groups}) > 1] if groups else []


def _steps(groups: Sequence[Group], knob: str, pooled: Pooled | None, level: float) -> list[Step]:
    """Return the steps along one knob between neighbours: by value where it is a number, else by memory."""
    lines: dict[tuple[Any, ...], list[Group]] = {}
    for group in groups:
        rest = tuple(value for path, value in group.values.items() if path != knob)
        lines.setdefault(rest, []).append(group)
    found = []
    for members in lines.values():
        for start, end in pairwise(sorted(members, key=lambda group: _place(group, knob))):
            half = None if pooled is None else pooled.half_width([len(start.maps), len(end.maps)], level)
            gain, extra = float(np.mean(end.maps) - np.mean(start.maps)), cost_bytes(end) - cost_bytes(start)
            found.append(Step(knob=knob, start=start, end=end, gain=gain, half_width=half, extra_bytes=extra))
    return found


def _place(group: Group, knob: str) -> tuple[float, float]:
    value = group.values[knob]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, 0.0) if is_number else (float("inf"), cost_bytes(group))


def _rate(step: Step) -> tuple[bool, float]:
    rate = step.gain_per_gib
    return (True, step.gain) if rate is None and step.gain > 0 else (False, step.gain if rate is None else rate)


def _clear_winner(steps: Sequence[Step], half_width: float) -> bool | None:
    """Return whether the first step's rate is above that of every step of another knob; all have one start.

    The rates share the start's error, so their difference is judged and not their intervals. A step that costs no
    memory and brings mAP wins by itself.

    Args:
        steps: Best first.
        half_width: Of the interval of a single trial.
    """
    first = steps[0] if steps else None
    if first is None or first.extra_bytes <= 0:
        return None if first is None else first.half_width is not None and first.gain > first.half_width
    return all(
        _rate(first)[1] - _rate(other)[1] > half_width * _uncertainty(first, other)
        for other in steps
        if other.knob != first.knob and other.extra_bytes > 0
    )


def _uncertainty(one: Step, other: Step) -> float:
    """Return the standard error of the difference of two rates from one start, for trials of unit spread."""
    price, other_price = GIB / one.extra_bytes, GIB / other.extra_bytes
    parts = ((price, one.end), (other_price, other.end), (price - other_price, one.start))
    return math.sqrt(sum(factor**2 / len(group.maps) for factor, group in parts))
