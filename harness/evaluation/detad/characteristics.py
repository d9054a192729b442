"""What an action is like: how long, what share of its video, among how many others (adatad-facts 11.1, 11.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from jaxtyping import Float, Int

from harness.evaluation.ground_truth import TRAITS, GroundTruth
from harness.evaluation.settings import SIZES, Bins

NO_BIN = -1


@dataclass(frozen=True, kw_only=True)
class Characteristic:
    """A property of actions, in bins."""

    name: str
    bins: Bins
    """Those that hold an action, or could."""
    codes: Int[np.ndarray, " actions"]
    """Bin of each action, in the order of the ground truth; -1 where it has none."""

    @property
    def counts(self) -> Int[np.ndarray, " bins"]:
        """Actions in each bin."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.bins))


def with_traits(truth: GroundTruth) -> GroundTruth:
    """Fill in coverage, length and number of instances where the annotations do not say them.

    The number of instances is that of all actions of the video, whatever their class, as in DETAD's files.
    """
    traits = {}
    for video_id, rows in truth.actions.items():
        duration = truth.durations.get(video_id, 0.0)
        given = truth.traits.get(video_id) or [{} for _ in rows]
        traits[video_id] = [
            {
                **({"coverage": (end - start) / duration} if duration > 0 else {}),
                "length": end - start,
                "num-instances": float(len(rows)),
                **known,
            }
            for (start, end, _), known in zip(rows, given, strict=True)
        ]
    return replace(truth, traits=traits)


def without_flawed(truth: GroundTruth) -> GroundTruth:
    """Drop the actions that DETAD drops: those without positive length, and those longer than their video.

    Raises:
        ValueError: nothing is left.
    """
    actions, traits = {}, {}
    for video_id, rows in truth.actions.items():
        sound = [
            (row, known)
            for row, known in zip(rows, truth.traits[video_id], strict=True)
            if row[1] > row[0] and known.get("coverage", 0.0) <= 1.0
        ]
        actions[video_id] = [row for row, _ in sound]
        traits[video_id] = [known for _, known in sound]
    if not any(actions.values()):
        raise ValueError("no action has a positive length within its video, expected at least one to diagnose")
    return replace(truth, actions=actions, traits=traits)


def characteristics_of(truth: GroundTruth, bins: Mapping[str, Bins]) -> list[Characteristic]:
    """Return the characteristics that the actions have.

    Args:
        truth: With traits.
        bins: By characteristic; one without bins gets five that hold about as many actions each.
    """
    known = list(chain.from_iterable(truth.traits.values()))
    found = []
    for name in TRAITS:
        values = np.array([traits.get(name, np.nan) for traits in known], dtype=np.float64)
        if np.isfinite(values).any() and (name in bins or name in TRAITS[:3]):
            chosen = bins.get(name) or equal_bins(values[np.isfinite(values)])
            found.append(Characteristic(name=name, bins=chosen, codes=_codes(values, chosen)))
    return found


def equal_bins(values: Float[np.ndarray, " n"], number: int = len(SIZES)) -> Bins:
    """Return up to five bins that hold about as many values each, none of them empty.

    Edges are rounded to three significant digits, the last is infinite; equal values are never parted.
    """
    inner = np.quantile(values, np.arange(1, number) / number, method="inverted_cdf")
    upper: list[float] = []
    for edge in sorted({float(f"{value:.3g}") for value in inner}):
        below = values > (upper[-1] if upper else -np.inf)
        if (below & (values <= edge)).any() and (values > edge).any():
            upper.append(edge)
    return tuple(zip(SIZES, [*upper, float("inf")], strict=False))


def _codes(values: Float[np.ndarray, " n"], bins: Bins) -> Int[np.ndarray, " n"]:
    upper = np.array([edge for _, edge in bins])
    codes = np.searchsorted(upper, np.where(np.isfinite(values), values, np.inf), side="left")
    return np.where(np.isfinite(values) & (codes < len(bins)), codes, NO_BIN)
