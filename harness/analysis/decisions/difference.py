"""The difference of two settings' mean mAP, with an interval, and what may be said of it."""

import math
from dataclasses import dataclass

from harness.analysis.decisions.spread import NO_SPREAD, Pooled
from harness.analysis.summary import Group


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much better one setting is than another."""

    better: Group
    worse: Group
    mean: float
    """Difference of the mean mAP, 0 to 1, not below 0."""
    half_width: float | None
    """The interval at `level` is mean ± half_width; None where no spread is known."""
    level: float

    @property
    def distinguishable(self) -> bool | None:
        """Return whether the interval leaves out 0; None without an interval."""
        return None if self.half_width is None else self.mean > self.half_width

    def in_words(self) -> str:
        """Return the difference as a sentence, in points of mAP."""
        points = 100 * self.mean
        if self.half_width is None:
            return f"{self.better.name} is {points:.1f} points above {self.worse.name} ({NO_SPREAD})"
        amount = f"{points:.1f} ± {100 * self.half_width:.1f}"
        if self.distinguishable:
            return f"{self.better.name} beats {self.worse.name} by {amount} points"
        return f"{self.better.name} and {self.worse.name} are not distinguishable (difference {amount} points)"


def difference(one: Group, other: Group, pooled: Pooled | None, level: float) -> Difference:
    """Return the difference of two settings' means, the higher one first."""
    means = [math.fsum(group.maps) / len(group.maps) for group in (one, other)]
    better, worse = (one, other) if means[0] >= means[1] else (other, one)
    half = None if pooled is None else pooled.half_width([len(one.maps), len(other.maps)], level)
    return Difference(better=better, worse=worse, mean=abs(means[0] - means[1]), half_width=half, level=level)
