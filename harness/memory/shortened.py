"""Tracing a deep vision transformer at two small depths instead of its own.

All its blocks are alike, so whatever a step needs grows by the same amount with every block: bytes of each category at
the peak, operations, bytes moved. A policy that takes a window a few clips at a time runs hundreds of thousands of
operators through 40 blocks, which would take minutes to trace; two traces of a few blocks tell the rest exactly. Where
the two peaks are not at the same place of the network, the whole of it is traced after all.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from harness.config import TrialConfig, with_values
from harness.memory.timeline import Peak, Work
from harness.memory.trace import Rules, Traced, trace_step
from models.config import VideoMAEConfig

WORTH_IT = 12
"""Fewest blocks of a network that is shortened."""
BLOCK = re.compile(r"(backbone\.blocks|ladder\.adapters)\.(\d+)")


def trace_quickly(config: TrialConfig, rules: Rules) -> Traced:
    """Return what `trace_step` would, sooner."""
    depths = small_depths(config)
    if depths is None:
        return trace_step(config, rules)
    short, longer = (trace_step(with_depth(config, depth), rules) for depth in depths)
    deep = config.model.backbone.layers
    layer = _same_place(short.peak.layer, longer.peak.layer, (*depths, deep))
    if layer is None or short.peak.phase != longer.peak.phase:
        return trace_step(config, rules)
    return _extended(short, longer, layer, (deep - depths[1]) // (depths[1] - depths[0]))


def small_depths(config: TrialConfig) -> tuple[int, int] | None:
    """Return two depths whose difference divides what is missing to the network's own; None: not worth it."""
    backbone, adapter, every = config.model.backbone, config.model.adapter, config.engine.every
    if not isinstance(backbone, VideoMAEConfig) or backbone.depth < WORTH_IT or (adapter and adapter.layers):
        return None
    adapted = len(adapter.adapted(backbone.depth)) if adapter else backbone.depth
    if adapted not in (backbone.depth, backbone.depth // 2) or adapted * (backbone.depth // adapted) != backbone.depth:
        return None
    # A step keeps as many blocks as are recomputed together, on both sides of the first adapted one.
    step = every * (backbone.depth // adapted)
    first = max(2 * step, 4) + backbone.depth % step
    return (first, first + step) if 2 * first + step < backbone.depth else None


def with_depth(config: TrialConfig, depth: int) -> TrialConfig:
    """Return the config with so many blocks, of which the same share is adapted."""
    backbone, adapter = config.model.backbone, config.model.adapter
    assert isinstance(backbone, VideoMAEConfig)
    values: dict[str, object] = {"model.backbone": replace(backbone, depth=depth)}
    if adapter is not None and adapter.last_layers is not None:
        values["model.adapter.last_layers"] = adapter.last_layers * depth // backbone.depth
    return with_values(config, values)


def _same_place(short: str, longer: str, depths: tuple[int, int, int]) -> str | None:
    """Return where in the deep network a layer of both small ones lies, counted from either end; None: nowhere."""
    first, second = BLOCK.match(short), BLOCK.match(longer)
    if first is None or second is None:
        return longer if short == longer else None
    if BLOCK.sub("", short) != BLOCK.sub("", longer) or first[1] != second[1]:
        return None
    numbers = int(first[2]), int(second[2])
    if numbers[0] == numbers[1]:
        number = numbers[0]
    elif depths[0] - numbers[0] == depths[1] - numbers[1]:
        number = depths[2] - (depths[0] - numbers[0])
    else:
        return None
    return BLOCK.sub(f"{first[1]}.{number}", longer)


def _extended(short: Traced, longer: Traced, layer: str, steps: int) -> Traced:
    def ahead(value: Callable[[Traced], float]) -> float:
        return value(longer) + steps * (value(longer) - value(short))

    def category(name: str) -> int:
        return int(ahead(lambda each: each.peak.breakdown.get(name, 0)))

    breakdown = {name: category(name) for name in sorted(longer.peak.breakdown.keys() | short.peak.breakdown.keys())}
    return Traced(
        peak=Peak(int(ahead(lambda each: each.peak.bytes)), breakdown, longer.peak.phase, layer),
        host_bytes=int(ahead(lambda each: each.host_bytes)),
        # Fragments do not grow with the depth: which holes there are depends on what a block makes and frees.
        reserved_bytes=int(ahead(lambda each: each.peak.bytes)) + longer.reserved_bytes - longer.peak.bytes,
        work=Work(
            half_flops=ahead(lambda each: each.work.half_flops),
            full_flops=ahead(lambda each: each.work.full_flops),
            bytes_touched=int(ahead(lambda each: each.work.bytes_touched)),
            bytes_moved=int(ahead(lambda each: each.work.bytes_moved)),
        ),
        params_total=int(ahead(lambda each: each.params_total)),
        params_trainable=int(ahead(lambda each: each.params_trainable)),
    )
