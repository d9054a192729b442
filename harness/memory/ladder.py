"""The engine policies that the planner chooses from, from fast to lean.

All of them compute the same numbers. Each costs at least as much time as the one before it and needs less memory, at
least where memory is scarce:

adapters inside, full    every activation -> block inputs, the rest recomputed -> a few clips and positions at a time
                         -> block inputs on the host -> inputs, averages and optimiser there too, fewer clips at a time
adapters outside         adapter inputs kept -> kept on the host -> nothing kept, streamed twice -> states on the host
frozen                   streamed, more and more finely
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.config import TrialConfig
from models.config import EngineConfig, VideoMAEConfig

STATES_ON_HOST = {"averages_on": "host", "optimizer_on": "host"}
EVERYTHING: tuple[dict[str, Any], ...] = ({"keep": "everything"}, {"keep": "everything", "checkpoint_head": True})
THROUGH: tuple[dict[str, Any], ...] = (
    *EVERYTHING,
    {},
    {"clips": 16, "positions": 32},
    {"clips": 16, "positions": 32, "every": 2},
    {"clips": 16, "positions": 32, "keep_on": "host"},
    {"clips": 8, "positions": 16, "keep_on": "host", "checkpoint_head": True, "inputs_on": "host"},
    {"clips": 8, "positions": 16, "keep_on": "host", "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
    {"clips": 2, "positions": 8, "keep_on": "host", "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
)
"""Where gradients pass through the backbone."""
BESIDE: tuple[dict[str, Any], ...] = (
    *EVERYTHING,
    {"clips": 16},
    {"clips": 16, "keep_on": "host"},
    {"clips": 16, "keep": "nothing"},
    {"clips": 8, "keep": "nothing", "checkpoint_head": True, "inputs_on": "host"},
    {"clips": 8, "keep": "nothing", "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
    {"clips": 2, "keep": "nothing", "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
)
"""With adapters outside."""
FROZEN: tuple[dict[str, Any], ...] = (
    {"keep": "everything"},
    {"clips": 16},
    {"clips": 8, "checkpoint_head": True, "inputs_on": "host"},
    {"clips": 8, "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
    {"clips": 2, "checkpoint_head": True, "inputs_on": "host", **STATES_ON_HOST},
)
"""Without any gradient in the backbone."""
NATIVE_TIME: tuple[dict[str, Any], ...] = (
    *EVERYTHING,
    {},
    {"checkpoint_head": True},
    {"checkpoint_head": True, "keep_on": "host", "inputs_on": "host"},
    {"checkpoint_head": True, "keep_on": "host", "inputs_on": "host", **STATES_ON_HOST},
)
"""Backbones that mix time in their blocks (SlowFast, Video Swin)."""
HEAD_ONLY: tuple[dict[str, Any], ...] = (
    *EVERYTHING,
    {"keep": "everything", "checkpoint_head": True, **STATES_ON_HOST},
)
"""Offline features."""


def ladder(config: TrialConfig) -> tuple[EngineConfig, ...]:
    """Return the policies that a trial's detector can follow, from fast to lean."""
    return tuple(_possible(config))


def leaner(config: TrialConfig, engine: EngineConfig) -> EngineConfig | None:
    """Return the next policy down the ladder; None after the last, and for one that is not on it."""
    rungs = ladder(config)
    place = rungs.index(engine) if engine in rungs else len(rungs)
    return rungs[place + 1] if place + 1 < len(rungs) else None


def _possible(config: TrialConfig) -> Iterator[EngineConfig]:
    formats = _formats(config)
    for changes in _rungs(config):
        for dropped in ((), ("keep_on",), ("positions",), ("checkpoint_head",), ("inputs_on",)):
            # What a detector has no use for (positions with a spatial kernel, ...) is left out of its policies.
            engine = _accepted(config, {**formats, **{n: v for n, v in changes.items() if n not in dropped}})
            if engine is not None:
                yield engine
                break


def _accepted(config: TrialConfig, values: dict[str, Any]) -> EngineConfig | None:
    try:
        engine = EngineConfig(**values)
        replace(config, engine=engine)
    except ValueError:
        return None
    return engine


def _formats(config: TrialConfig) -> dict[str, Any]:
    """Return how frozen weights are stored: as autocast would bring them to its products anyway."""
    half = config.training.precision == "bf16" and config.model.tuning in ("adapter", "frozen")
    return {"weights": "bf16"} if half and isinstance(config.model.backbone, VideoMAEConfig) else {}


def _rungs(config: TrialConfig) -> tuple[dict[str, Any], ...]:
    model = config.model
    if model.tuning == "features":
        return HEAD_ONLY
    if not isinstance(model.backbone, VideoMAEConfig):
        return NATIVE_TIME
    if model.tuning == "frozen":
        return FROZEN
    return BESIDE if model.adapter is not None and model.adapter.placement == "outside" else THROUGH
