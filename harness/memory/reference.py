"""The paper's set-up: what its published memory is of, and why a few of its numbers are not met.

One set-up for every row, nothing tuned: one video per GPU, fp16 autocast over fp32 weights, reentrant checkpointing
block by block, a full average and two sets of gradient buckets (`trace.COPIES_OF_BUCKETS`), as OpenTAD's code has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness import presets
from harness.config import NAMED, TrialConfig, with_values
from harness.data.datasets import dataset_of
from models.config import EngineConfig

BACKBONE, DATA = "model.backbone.name", "data.name"
RATIO_BESIDE_GIANT = 0.125
"""Of the adapters beside the giant backbone in the released config; the paper does not say (adatad-facts 12.8)."""


@dataclass(frozen=True)
class Explained:
    """Why a prediction of some rows is far from the paper's number."""

    at: Mapping[str, Any]
    why: str


EXPLAINED = (
    Explained(
        {BACKBONE: "slowfast-r50"},
        "The code of this backbone was not released, and neither its sampling of the two pathways nor where it "
        "checkpoints is known; here it is SlowFast 8x8 with every slow bottleneck checkpointed.",
    ),
    Explained(
        {BACKBONE: "videomae-b", "model.adapter.placement": "outside", "data.window.resolution": 160},
        "The paper's own rows do not go together: from 160 to 224 pixels it has S grow by 0.9 GiB and L by 2.7, but B, "
        "which lies between, by 0.9. The prediction for 224 pixels is within 2 %, so the number for 160 is in doubt.",
    ),
    Explained(
        {DATA: "ego4d"},
        "The paper says 7200 frames at 160 pixels, the released config is another (192 pixels, adapters in the last "
        "half); which one was measured is not known. The prediction is for what the paper says.",
    ),
)
OUT_OF_MEMORY = (
    "The paper has it run out of memory on 80 GB. What is predicted is what tensors occupy; fragments of the "
    "allocator, the CUDA context and NCCL's buffers come on top, and the card has 79 GiB."
)
CLOSE = 0.05
"""Relative errors above this are explained."""


def with_reference(config: TrialConfig) -> TrialConfig:
    """Return a trial as the paper would execute it on one GPU."""
    training = replace(config.training, batch_size=1, precision="fp16")
    return replace(config, engine=EngineConfig(policy="reference"), training=training)


def paper_config(values: Mapping[str, Any]) -> TrialConfig:
    """Return the config of a row of the paper's tables.

    Args:
        values: config values by the paths that the tables of `harness.analysis.paper` use.
    """
    base = presets.paper(dataset_of(values[DATA]), values[BACKBONE])
    settings: dict[str, Any] = {}
    tuning, kind = values.get("model.tuning", "adapter"), values.get("model.adapter", "tia")
    settings["model.tuning"] = tuning
    settings["model.adapter"] = None if kind is None else replace(NAMED["model.adapter"][kind])
    if values.get("model.representation.kind") == "snippet":
        settings |= {"model.representation.kind": "snippet", "model.representation.snippet_stride": 1}
    for path in ("data.window.frames", "data.window.resolution"):
        settings[path] = values[path]
    if "data.window.frames" in settings and settings["data.window.frames"] > base.data.window.span > 0:
        settings["data.window.span"] = settings["data.window.frames"]
    if kind is not None:
        names = ("placement", "kernel", "spatial_kernel")
        settings |= {
            f"model.adapter.{n}": values[f"model.adapter.{n}"] for n in names if f"model.adapter.{n}" in values
        }
        if values.get("model.adapter.placement") == "outside" and values[BACKBONE] == "videomae-g":
            settings["model.adapter.ratio"] = RATIO_BESIDE_GIANT
    head = values.get("model.head.kind", "actionformer")
    if head != base.model.head.kind:
        settings["model.head"] = NAMED["model.head"][head]
    return with_values(base, settings)


def explanation(values: Mapping[str, Any], *, out_of_memory: bool = False) -> str | None:
    """Return why the prediction of a row is off, if there is a reason on record."""
    if out_of_memory:
        return OUT_OF_MEMORY
    for item in EXPLAINED:
        if all(values.get(path) == wanted for path, wanted in item.at.items()):
            return item.why
    return None
