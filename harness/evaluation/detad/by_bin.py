"""How detection depends on what an action is like: what is missed, and mAP_N bin by bin (adatad-facts 11.5, 11.6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from harness.evaluation.detad.case import Case, normalised_map, normalised_precision
from harness.evaluation.detad.characteristics import Characteristic

LEAST_PRECISION = 0.05
"""Hits at a normalised precision of at most this do not save an action from being missed."""


@dataclass(frozen=True, kw_only=True)
class ByBin:
    """A number for all actions, and for those of each bin of each characteristic."""

    overall: float
    bins: dict[str, dict[str, float | None]]
    """None: no action is in the bin."""

    def relative(self, name: str) -> tuple[float, float] | None:
        """Return the smallest and largest number of a characteristic's bins over that of all actions."""
        values = [value for value in self.bins[name].values() if value is not None]
        return (min(values) / self.overall, max(values) / self.overall) if values and self.overall > 0 else None


def missed(case: Case, characteristics: Sequence[Characteristic]) -> ByBin:
    """Return the share of actions that no detection hits, averaged over the thresholds.

    Args:
        case: With `least_precision` at `LEAST_PRECISION`.
        characteristics: Of the actions.
    """
    actions = case.problem.actions
    lost = np.ones((len(case.thresholds), len(actions.starts)), dtype=bool)
    rows, columns = np.nonzero(case.matched >= 0)
    lost[rows, case.matched[rows, columns]] = False
    share = lost.mean(axis=0)
    return ByBin(
        overall=float(share.mean()),
        bins={
            one.name: {
                name: float(share[inside].mean()) if inside.any() else None
                for (name, _), inside in zip(one.bins, _members(case, one), strict=True)
            }
            for one in characteristics
        },
    )


def sensitivity(case: Case, characteristics: Sequence[Characteristic], *, compat: bool = False) -> ByBin:
    """Return mAP_N, averaged over the thresholds, of all actions and of those in each bin.

    For a bin only its actions are to be found: detections that hit others are left out, those that hit nothing stay.
    The mean is over the classes with an action in the bin.

    Args:
        case: Of all detections.
        characteristics: Of the actions.
        compat: Leave a detection out at every threshold if it hits an action outside the bin at any, as the original
            does; otherwise at that threshold only.
    """
    return ByBin(
        overall=float(normalised_map(case).mean()),
        bins={
            one.name: {
                name: _map_of_bin(case, inside, compat=compat) if inside.any() else None
                for (name, _), inside in zip(one.bins, _members(case, one), strict=True)
            }
            for one in characteristics
        },
    )


def _map_of_bin(case: Case, inside: Bool[np.ndarray, " actions"], *, compat: bool) -> float:
    hit_inside = (case.matched >= 0) & inside[case.matched]
    kept = (case.matched < 0) | hit_inside
    if compat:
        kept[:] = kept.all(axis=0)
    num_inside = np.bincount(case.problem.actions.labels[inside], minlength=len(case.problem.labels))
    _, precision = normalised_precision(case, hit_inside, kept, num_inside)
    return float(precision[:, num_inside > 0].mean())


def _members(case: Case, one: Characteristic) -> list[Bool[np.ndarray, " actions"]]:
    """Return which of the case's actions are in each bin; a case sorts its actions."""
    codes = one.codes[case.problem.actions.places]
    return [codes == code for code in range(len(one.bins))]
