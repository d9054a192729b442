"""Two arms of a study compared seed by seed: what a seed does to both cancels in their difference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from harness.analysis.decisions.spread import LEVEL, Pooled
from harness.analysis.names import setting_name
from harness.analysis.summary import Rows, has_result


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """How much better arm a is than arm b over pairs of trials that agree in seed and in what `over` names."""

    arm_a: Mapping[str, Any]
    arm_b: Mapping[str, Any]
    over: tuple[str, ...]
    """Config paths that a pair agrees in besides the seed."""
    differences: tuple[float, ...]
    """mAP of a minus mAP of b, pair by pair."""
    mean: float
    half_width: float | None
    """The interval at `level` is mean ± half_width (Student's t over pairs); None for a single pair."""
    level: float
    wins: int
    """Pairs in which a is better."""

    @property
    def distinguishable(self) -> bool | None:
        """Return whether the interval leaves out 0; None without an interval."""
        return None if self.half_width is None else abs(self.mean) > self.half_width

    def in_words(self) -> str:
        """Return the comparison as a sentence, in points of mAP."""
        a, b, num = setting_name(self.arm_a), setting_name(self.arm_b), len(self.differences)
        better, worse, sign = (a, b, 1.0) if self.mean >= 0 else (b, a, -1.0)
        points, wins = 100 * sign * self.mean, self.wins if sign > 0 else num - self.wins
        if self.half_width is None:
            return f"{better} is {points:.1f} points above {worse} (one pair, so no interval)"
        amount = f"{points:.1f} ± {100 * self.half_width:.1f} points of mAP"
        pairs = f"{100 * self.level:g} % interval over {num} pairs, better in {wins}"
        if self.distinguishable:
            return f"{better} beats {worse} by {amount} ({pairs})"
        return f"{a} and {b} are not distinguishable: {better} is ahead by {amount} ({pairs})"


def paired_comparison(
    rows: Rows, arm_a: Mapping[str, Any], arm_b: Mapping[str, Any], *, over: Sequence[str] = (), level: float = LEVEL
) -> PairedComparison | None:
    """Compare two arms over the trials they share; None when they share none.

    Args:
        rows: One row per trial (`harness.tables.latest`).
        arm_a: Config path to value, what makes a trial one of the arm.
        arm_b: The same for the other arm.
        over: Config paths to pair by besides the seed, where the arms were run in several settings. Settings with
            several seeds then each give a mean, and the interval is that of the mean over these very settings.
        level: Of the interval.

    Raises:
        ValueError: several trials of an arm have one seed and agree in `over`.
    """
    first, second = (_trials(rows, arm, over) for arm in (arm_a, arm_b))
    shared = sorted(first.keys() & second.keys(), key=repr)
    if not shared:
        return None
    differences = np.array([first[key] - second[key] for key in shared])
    mean, half = _interval(differences, [key[1:] for key in shared], level)
    return PairedComparison(
        arm_a=dict(arm_a),
        arm_b=dict(arm_b),
        over=tuple(over),
        differences=tuple(differences.tolist()),
        mean=mean,
        half_width=half,
        level=level,
        wins=int(np.sum(differences > 0)),
    )


def _trials(rows: Rows, arm: Mapping[str, Any], over: Sequence[str]) -> dict[tuple[Any, ...], float]:
    listed = rows.to_pylist() if isinstance(rows, pa.Table) else list(rows)  # type: ignore[attr-defined]
    found: dict[tuple[Any, ...], float] = {}
    for row in listed:
        if not has_result(row) or any(_plain(row[path]) != _plain(value) for path, value in arm.items()):
            continue
        key = (row["seed"], *(_plain(row[path]) for path in over))
        if key in found:
            raise ValueError(
                f"{setting_name(arm)} has several trials with seed {row['seed']}, expected one; name what else they "
                "differ in with over"
            )
        found[key] = row["map_avg"]
    return found


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _interval(differences: np.ndarray, settings: Sequence[Any], level: float) -> tuple[float, float | None]:
    """Return the mean over settings of the mean over seeds, and half of its interval.

    With one seed a setting, settings count as a sample of settings; with more, the spread within settings is pooled.
    """
    labels = {setting: index for index, setting in enumerate(dict.fromkeys(settings))}
    places = np.array([labels[setting] for setting in settings])
    counts = np.bincount(places)
    means = np.bincount(places, differences) / counts
    if counts.max() == 1:
        deviations, freedom, share = differences - differences.mean(), len(differences) - 1, 1 / len(differences)
    else:
        deviations, freedom = differences - means[places], len(differences) - len(counts)
        share = float(np.sum(1 / counts)) / len(counts) ** 2
    if freedom < 1:
        return float(means.mean()), None
    pooled = Pooled(std=math.sqrt(float(deviations @ deviations) / freedom), freedom=freedom)
    return float(means.mean()), pooled.quantile(level) * pooled.std * math.sqrt(share)
