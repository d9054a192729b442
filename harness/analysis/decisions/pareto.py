"""Which settings are worth their memory: the front of mAP against peak memory, and how sure of it one may be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.decisions.spread import resampled_means
from harness.analysis.summary import Group
from harness.units import format_bytes


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """A setting and whether another one is better for no more memory."""

    group: Group
    cost_bytes: int
    """Measured peak memory; predicted where it was not measured."""
    on_front: bool
    """No setting with as little memory has as high a mean mAP."""
    probability_dominated: float | None
    """Share of bootstrap draws of the means in which such a setting exists; None where no spread is known."""

    def in_words(self) -> str:
        """Return the point as a sentence."""
        assert self.group.map_avg is not None
        where = "on the front" if self.on_front else "dominated"
        sure = self.probability_dominated
        chance = "" if sure is None else f" (dominated with probability {sure:.2f})"
        score = f"{self.group.map_avg.in_percent()} mAP at {format_bytes(self.cost_bytes)}"
        return f"{self.group.name}: {score}, {where}{chance}"


def pareto_front(
    groups: Sequence[Group], *, run_spread: float | None = None, resamples: int = 1000, seed: int = 0
) -> list[ParetoPoint]:
    """Return every setting that has a mAP and a peak memory, cheapest first, with its place against the front.

    Args:
        groups: From `summarise`.
        run_spread: Standard deviation of mAP (0 to 1) from run to run, where it is known from elsewhere.
        resamples: Bootstrap draws behind the probability.
        seed: Of the draws.
    """
    shown = priced(groups)
    if not shown:
        return []
    costs = np.array([cost_bytes(group) for group in shown])
    means = np.array([[np.mean(group.maps) for group in shown]])
    on_front = ~_dominated(costs, means)[0]
    draws = resampled_means(shown, run_spread=run_spread, resamples=resamples, seed=seed)
    chances = [None] * len(shown) if draws is None else _dominated(costs, draws).mean(axis=0).tolist()
    return [
        ParetoPoint(group=group, cost_bytes=cost_bytes(group), on_front=bool(on), probability_dominated=chance)
        for group, on, chance in zip(shown, on_front, chances, strict=True)
    ]


def priced(groups: Sequence[Group]) -> list[Group]:
    """Return the settings that have a mAP and a peak memory, cheapest first, then best first."""
    usable = [group for group in groups if group.map_avg and (group.peak_bytes or group.predicted_peak_bytes)]
    return sorted(usable, key=lambda group: (cost_bytes(group), -np.mean(group.maps)))


def cost_bytes(group: Group) -> int:
    """Return the measured peak of a setting, or the predicted one where it was not measured."""
    cost = group.peak_bytes or group.predicted_peak_bytes
    assert cost is not None
    return cost


def _dominated(costs: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return for each row of means which settings another one beats: no dearer, no worse, and one of them strictly."""
    no_dearer, cheaper = costs[:, None] <= costs[None], costs[:, None] < costs[None]
    other, own = means[:, :, None], means[:, None, :]
    return ((no_dearer & (other > own)) | (cheaper & (other == own))).any(axis=1)
