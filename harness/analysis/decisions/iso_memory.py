"""What to choose at a budget of memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.decisions.difference import Difference, difference
from harness.analysis.decisions.pareto import cost_bytes, priced
from harness.analysis.decisions.spread import LEVEL, pooled_spread
from harness.analysis.summary import Group
from harness.units import format_bytes


@dataclass(frozen=True, kw_only=True)
class IsoMemory:
    """The settings that cost about as much as a budget, compared with the best of them."""

    budget_bytes: float
    tolerance: float
    """Share of the budget that a setting may cost more or less."""
    contenders: tuple[Group, ...]
    """Best first."""
    comparisons: tuple[Difference, ...]
    """The best of them against each other one."""
    best_within: Group | None
    """Best setting that costs no more than the budget, however little; None when there is none."""
    level: float

    def in_words(self) -> str:
        """Return the answer as a sentence."""
        budget = format_bytes(self.budget_bytes)
        if not self.contenders:
            text = f"no setting costs {budget} within {100 * self.tolerance:g} %"
        elif not self.comparisons:
            text = f"at {budget} there is only {_scored(self.contenders[0])}"
        else:
            note = f" ({100 * self.level:g} % intervals)" if self.comparisons[0].half_width is not None else ""
            text = f"at {budget}: {'; '.join(each.in_words() for each in self.comparisons)}{note}"
        if self.best_within is not None and self.best_within not in self.contenders[:1]:
            text += f"; best within the budget is {_scored(self.best_within)}"
        return text


def iso_memory(
    groups: Sequence[Group],
    budget_bytes: float,
    tolerance: float = 0.05,
    *,
    run_spread: float | None = None,
    level: float = LEVEL,
) -> IsoMemory:
    """Compare the settings whose peak memory is a budget's, within a tolerance.

    Args:
        groups: From `summarise`; all of them, for the spread is pooled over all.
        budget_bytes: Peak memory.
        tolerance: Share of the budget that a setting may cost more or less.
        run_spread: Standard deviation of mAP (0 to 1) from run to run, where it is known from elsewhere.
        level: Of the intervals.

    Raises:
        ValueError: the budget or the tolerance is no positive number.
    """
    if not budget_bytes > 0 or not 0 <= tolerance < 1:
        raise ValueError(f"the budget is {budget_bytes} ± {tolerance}, expected bytes above 0 and a share below 1")
    pooled = pooled_spread(groups, run_spread)
    shown = sorted(priced(groups), key=lambda group: -np.mean(group.maps))
    near = tuple(group for group in shown if abs(cost_bytes(group) / budget_bytes - 1) <= tolerance)
    within = [group for group in shown if cost_bytes(group) <= budget_bytes]
    return IsoMemory(
        budget_bytes=budget_bytes,
        tolerance=tolerance,
        contenders=near,
        comparisons=tuple(difference(near[0], other, pooled, level) for other in near[1:]),
        best_within=within[0] if within else None,
        level=level,
    )


def _scored(group: Group) -> str:
    assert group.map_avg is not None
    return f"{group.name} ({group.map_avg.in_percent()} mAP, {format_bytes(cost_bytes(group))})"
