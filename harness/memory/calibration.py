"""What finished trials say of the predictions: measured over predicted peak, and what follows for a new one.

The trace knows every tensor, but not the scratch memory inside a library's kernels, which differs between cards and
versions (scaling-facts C3 and C5). Rows of the results tables hold both figures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

FEWEST = 5
"""Trials below which nothing is said: a single odd one would decide."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How measured peaks compare with predicted ones on a kind of device."""

    trials: int
    ratio: float
    """Median of measured over predicted bytes."""
    lowest: float
    highest: float

    def on(self, predicted_bytes: int) -> int:
        """Return the peak to expect where so many bytes are predicted."""
        return round(self.ratio * predicted_bytes)

    def as_json(self, predicted_bytes: int) -> dict[str, Any]:
        """Return plain values, with the calibrated peak of a prediction."""
        return {**asdict(self), "peak_bytes": self.on(predicted_bytes)}


def calibrate(pairs: Sequence[tuple[int, int]]) -> Calibration | None:
    """Return what predicted and measured bytes of finished trials say; None where they are too few.

    Args:
        pairs: predicted and measured bytes; pairs without a prediction are left out.
    """
    ratios = sorted(measured / predicted for predicted, measured in pairs if predicted > 0)
    if len(ratios) < FEWEST:
        return None
    return Calibration(trials=len(ratios), ratio=median(ratios), lowest=ratios[0], highest=ratios[-1])
