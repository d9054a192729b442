"""The whole error analysis of a detector, from ground truth and detections (DETAD, adatad-facts 11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.evaluation.columns import DetectionRow, Ties, check_tious
from harness.evaluation.detad.by_bin import LEAST_PRECISION, ByBin, missed, sensitivity
from harness.evaluation.detad.case import make_case
from harness.evaluation.detad.characteristics import (
    Characteristic,
    characteristics_of,
    with_traits,
    without_flawed,
)
from harness.evaluation.detad.false_positives import GROUPS, KINDS, FalsePositives, profile_false_positives
from harness.evaluation.ground_truth import GroundTruth
from harness.evaluation.settings import Bins


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What goes wrong, and where. All numbers are shares of 1."""

    subset: str
    videos: tuple[str, ...]
    num_actions: int
    num_flawed: int
    """Actions left out because they have no positive length or are longer than their video."""
    num_classes: int
    tious: tuple[float, ...]
    compat: bool
    characteristics: tuple[Characteristic, ...]
    false_positives: FalsePositives
    missed: ByBin
    sensitivity: ByBin

    def as_json(self) -> dict[str, Any]:
        """Return the analysis for programs."""
        return {
            "protocol": "detad",
            "compat": self.compat,
            "subset": self.subset,
            "videos": len(self.videos),
            "instances": self.num_actions,
            "flawed": self.num_flawed,
            "classes": self.num_classes,
            "tious": list(self.tious),
            "bins": {
                one.name: [
                    {"name": name, "up_to": None if np.isinf(edge) else edge, "instances": int(count)}
                    for (name, edge), count in zip(one.bins, one.counts, strict=True)
                ]
                for one in self.characteristics
            },
            "false_positives": {
                "map_n": self.false_positives.map_n,
                "profile": {
                    f"{group + 1}G": dict(zip(KINDS, shares, strict=True))
                    for group, shares in enumerate(self.false_positives.profile.tolist())
                },
                "gain": self.false_positives.gain,
            },
            "false_negatives": {"rate": self.missed.overall, **self.missed.bins},
            "sensitivity": {
                "map_n": self.sensitivity.overall,
                **self.sensitivity.bins,
                "relative": {name: self.sensitivity.relative(name) for name in self.sensitivity.bins},
            },
            "video_list": list(self.videos),
        }


def diagnose(
    truth: GroundTruth,
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float],
    bins: Mapping[str, Bins],
    *,
    compat: bool = False,
) -> Diagnosis:
    """Analyse detections.

    Args:
        truth: What there is to find.
        detections: What was found; labels that no action has are left out.
        tious: Thresholds that numbers are averaged over.
        bins: By characteristic; one without gets five of about equal size.
        compat: Repeat the original's errors (see `kinds_of_error` and `sensitivity`); equal scores then go by the file.

    Raises:
        ValueError: a threshold outside (0, 1], a number that is not finite, or no sound action.
    """
    thresholds = check_tious(tious)
    sound = without_flawed(with_traits(truth))
    ties: Ties = "file" if compat else "values"
    best = make_case(sound, detections, thresholds, per_action=GROUPS, ties=ties)
    sure = make_case(sound, detections, thresholds, least_precision=LEAST_PRECISION, ties=ties)
    every = make_case(sound, detections, thresholds, ties=ties)
    characteristics = tuple(characteristics_of(sound, bins))
    return Diagnosis(
        subset=truth.subset,
        videos=tuple(sorted(truth.actions)),
        num_actions=sound.num_actions,
        num_flawed=truth.num_actions - sound.num_actions,
        num_classes=len(every.problem.present),
        tious=tuple(thresholds.tolist()),
        compat=compat,
        characteristics=characteristics,
        false_positives=profile_false_positives(best, compat=compat),
        missed=missed(sure, characteristics),
        sensitivity=sensitivity(every, characteristics, compat=compat),
    )
