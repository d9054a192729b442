"""What each data set's results are measured by: subset, thresholds, measures, and the bins of its error analysis."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Task = Literal["label", "verb", "noun", "action"]
"""Which name of an action counts; all but `label` are EPIC-Kitchens'."""
Protocol = Literal["activitynet", "opentad", "thumos14"]
Metric = Literal["map", "recall", "proposals"]
Bins = tuple[tuple[str, float], ...]
"""Name and upper edge (inclusive) of each bin, rising; the first bin holds its own lower end too."""

SIZES = ("XS", "S", "M", "L", "XL")


def steps(first: float, last: float, step: float) -> tuple[float, ...]:
    """Return the thresholds from `first` to `last`, without the dust of floating point."""
    return tuple(round(first + step * index, 6) for index in range(round((last - first) / step) + 1))


def edges(*upper: float) -> Bins:
    """Return bins named by size."""
    return tuple(zip(SIZES, upper, strict=False))


INFINITE = float("inf")
ACTIVITYNET_BINS: Mapping[str, Bins] = {
    "coverage": edges(0.2, 0.4, 0.6, 0.8, 1.0),
    "length": edges(30, 60, 120, 180, INFINITE),
    "num-instances": edges(1, 4, 8, INFINITE),
    "context-size": tuple((str(size), float(size)) for size in range(7)),
    "context-distance": (("Inf", 0.0), ("N", 1.0), ("M", 2.0), ("F", 3.0)),
    "agreement": (("XW", 0.2), ("W", 0.4), ("M", 0.6), ("H", 0.8), ("XH", 1.0)),
}
"""DETAD's (adatad-facts 11.2); the last three only where the annotations say them."""
THUMOS14_BINS: Mapping[str, Bins] = {
    "coverage": edges(0.02, 0.04, 0.06, 0.08, 1.0),
    "length": edges(3, 6, 12, 18, INFINITE),
    "num-instances": edges(1, 40, 80, INFINITE),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How results on a data set are measured unless the user says otherwise."""

    name: str
    subsets: tuple[str, ...]
    """Names that the evaluated subset goes by; the first that the annotations have is taken."""
    tious: tuple[float, ...]
    diagnosis_tious: tuple[float, ...] = ()
    """Empty: `tious`."""
    metrics: tuple[Metric, ...] = ("map",)
    tasks: tuple[Task, ...] = ("label",)
    without_v: bool = False
    """Ids are compared without a leading `v_`, which files of ActivityNet have or lack."""
    bins: Mapping[str, Bins] = field(default_factory=dict)
    """Of the error analysis; a characteristic without bins gets five of equal size."""


VALIDATION = ("validation", "val", "test", "testing")
HALF_UP, LOW, TENTHS = steps(0.5, 0.95, 0.05), steps(0.1, 0.5, 0.1), steps(0.1, 0.9, 0.1)
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(name="custom", subsets=VALIDATION, tious=steps(0.3, 0.7, 0.1)),
        Setting(name="synthetic", subsets=VALIDATION, tious=steps(0.3, 0.7, 0.1)),
        Setting(
            name="thumos14",
            subsets=("test", "testing", "validation", "val"),
            tious=steps(0.3, 0.7, 0.1),
            diagnosis_tious=(0.5,),
            bins=THUMOS14_BINS,
        ),
        Setting(name="activitynet13", subsets=VALIDATION, tious=HALF_UP, without_v=True, bins=ACTIVITYNET_BINS),
        Setting(name="epic100", subsets=VALIDATION, tious=LOW, tasks=("verb", "noun", "action")),
        Setting(name="epic100-verb", subsets=VALIDATION, tious=LOW, tasks=("verb",)),
        Setting(name="epic100-noun", subsets=VALIDATION, tious=LOW, tasks=("noun",)),
        Setting(name="ego4d-mq", subsets=VALIDATION, tious=LOW, metrics=("map", "recall")),
        Setting(name="multithumos", subsets=("test", "testing", "validation", "val"), tious=TENTHS),
        Setting(name="charades", subsets=("test", "testing", "validation", "val"), tious=TENTHS),
        Setting(name="hacs", subsets=VALIDATION, tious=HALF_UP),
        Setting(name="fineaction", subsets=VALIDATION, tious=HALF_UP),
    )
}
ALIASES = {
    "activitynet": "activitynet13",
    "anet": "activitynet13",
    "anet13": "activitynet13",
    "thumos": "thumos14",
    "epic": "epic100",
    "epickitchens": "epic100",
    "epickitchens100": "epic100",
    "epicverb": "epic100-verb",
    "epicnoun": "epic100-noun",
    "epickitchens100verb": "epic100-verb",
    "epickitchens100noun": "epic100-noun",
    "ego4d": "ego4d-mq",
}
"""Other spellings, without case, hyphens, dots and the like."""


def setting_of(name: str) -> Setting:
    """Return the setting of a data set, however its name is spelled.

    Raises:
        ValueError: no such data set.
    """
    plain = _plain(name)
    known = {_plain(known): known for known in SETTINGS} | ALIASES
    if plain not in known:
        raise ValueError(f"--on is {name}, expected one of {', '.join(SETTINGS)}")
    return SETTINGS[known[plain]]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
