"""What a data set sets in a trial's config: a value with the paper's settings and where the released ones differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.config import DataConfig, DatasetName, DetectionConfig, EvaluationConfig, TrainingConfig, flatten
from models.config import HeadConfig

Variant = Literal["paper", "opentad"]
"""`paper`: what the paper says, the same for every tuning. `opentad`: what the released configs of that tuning set."""
Arm = Literal["adapter", "outside", "frozen", "features", "full"]
"""A tuning, `outside` being adapters beside the backbone (AdaTAD dagger)."""
Task = Literal["label", "verb", "noun"]
"""Which name of an annotated action is its class; the last two are EPIC-Kitchens'."""

NOT_OF_THE_DATA = (
    "data.fingerprint",
    "data.max_unreadable",
    "data.reduce_in",
    "data.frame_format",
    "detection.external_fingerprint",
    "training.precision",
    "training.adapter_lr",
)
"""Paths that a data set leaves alone: what is found when it is opened, how it is run, what hangs on the backbone."""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set: its names, what its annotations are called, and the settings that it was published with."""

    name: DatasetName
    title: str
    aliases: tuple[str, ...] = ()
    """Other names that `--on` takes; those of `tadscale evaluate` are among them."""
    classes: tuple[str, ...] = ()
    """The class list, where it is fixed; empty: the labels of all subsets, in order."""
    task: Task = "label"
    subset_names: tuple[tuple[str, str], ...] = (("training", "validation"),)
    """Names of the subsets to train and to test on, as annotation files of this data set have them. The first pair of
    which both occur is meant."""
    num_train_videos: int | None = None
    """Videos with actions to train on, as published; tells how long a study will take before any file is there."""
    block_files: tuple[str, ...] = ()
    """Names of files beside the annotations that list videos to leave out, one a line or as a JSON list."""
    data: DataConfig
    training: TrainingConfig
    detection: DetectionConfig
    evaluation: EvaluationConfig
    heads: Mapping[str, HeadConfig]
    """Published settings by kind of head."""
    adapter_lrs: Mapping[str, float] = field(default_factory=dict)
    """Adapter learning rate by backbone, where it is not `training.adapter_lr`."""
    adapter_last_layers: Mapping[Variant, int] = field(default_factory=dict)
    """How many last blocks carry adapters, in the variants where it is not all of them."""
    opentad: Mapping[str, Any] = field(default_factory=dict)
    """Config paths that the released configs set otherwise than the paper says."""
    opentad_arms: Mapping[Arm, Mapping[str, Any]] = field(default_factory=dict)
    """What the released configs of single arms set besides."""
    without_external: Mapping[str, Any] = field(default_factory=dict)
    """What changes where no external classifier names the segments, if the published setting has one."""
    note: str = ""
    """What a user should know about these settings."""

    @property
    def published(self) -> bool:
        """Return whether it is a public data set, with a number of classes of its own."""
        return self.name not in ("custom", "synthetic")

    def settings(
        self, variant: Variant = "paper", tuning: Arm = "adapter", head: str = "actionformer", *, external: bool = True
    ) -> dict[str, Any]:
        """Return config path -> value for `harness.config.with_values`.

        A kind of head that was never published on this data set is not among them: the study's own stays.

        Args:
            variant: The paper's settings, or the released configs'.
            tuning: Counts with `opentad` only, whose arms differ in more than the tuning (adatad-facts 12.9).
            head: Which kind of head the settings are for.
            external: Whether there are class scores of whole videos, for a data set that was published with some.
        """
        parts = {
            "data": self.data,
            "training": self.training,
            "detection": self.detection,
            "evaluation": self.evaluation,
        }
        values = {path: value for name, part in parts.items() for path, value in flatten(part, f"{name}.").items()}
        if head in self.heads:
            values["model.head"] = self.heads[head]
        if not external:
            _override(values, self.without_external)
        if variant == "opentad":
            _override(values, self.opentad)
            _override(values, self.opentad_arms.get(tuning, {}))
        if values["detection.external"] == "none":
            _override(values, {"model.head.class_agnostic": False})
        return {path: value for path, value in values.items() if path not in NOT_OF_THE_DATA}

    def facts(self) -> dict[str, Any]:
        """Return those settings that are true of the data whatever the size of the network: for a laptop's presets."""
        return {
            "data.name": self.name,
            "data.num_classes": self.data.num_classes,
            "data.train_subset": self.data.train_subset,
            "data.test_subset": self.data.test_subset,
            "data.blocked": self.data.blocked,
            "evaluation.tious": self.evaluation.tious,
        }

    def adapter_lr(self, backbone: str) -> float:
        """Return the adapters' published learning rate with a backbone."""
        return self.adapter_lrs.get(backbone, self.training.adapter_lr)


def _override(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put changes into settings; those of a head change only a head of that kind, or with that field."""
    for path, value in changes.items():
        head, name = values.get("model.head"), path.removeprefix("model.head.")
        if path == "model.head":
            if head is not None and head.kind == value.kind:
                values[path] = value
        elif name == path:
            values[path] = value
        elif head is not None and hasattr(head, name):
            values["model.head"] = replace(head, **{name: value})
