"""How much more than predicted a trial is given, learnt from what finished trials needed."""

import math
from collections.abc import Sequence

DEFAULT_MARGIN = 1.1
"""Predicted bytes are multiplied by this until there are measurements to learn from."""
FEWEST_PAIRS = 5
LARGEST_MARGIN = 1.5


def learnt_margin(pairs: Sequence[tuple[int, int]]) -> float:
    """Return the factor on predicted bytes that would have covered nearly all measured ones.

    Args:
        pairs: predicted and measured bytes of finished trials; measured are those that the allocator reserved.
    """
    ratios = sorted(measured / predicted for predicted, measured in pairs if predicted > 0)
    if len(ratios) < FEWEST_PAIRS:
        return DEFAULT_MARGIN
    # The highest of few is kept; of many the odd one out is not allowed to waste everybody's memory.
    worst = ratios[min(len(ratios) - 1, math.ceil(0.98 * len(ratios)) - 1)]
    return min(max(1.0, worst) * 1.02, LARGEST_MARGIN)
