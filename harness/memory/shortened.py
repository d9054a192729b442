"""Tracing a deep vision transformer on a long window at small depths and lengths instead of its own.

All its blocks are alike, and so are all stretches of a window that are taken a few clips at a time. So whatever a step
needs grows by the same amount with every block and every stretch: the bytes of each category at each place, operations,
bytes moved. A policy that takes a window a few clips at a time runs hundreds of thousands of operators through 40
blocks, which would take minutes to trace; a few traces of a few blocks and stretches tell the rest exactly. Every place
of the network is extended by itself, because another one than in the small traces may have the peak in the end.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.config import TrialConfig, with_values
from harness.memory.timeline import Peak, Work
from harness.memory.trace import Rules, Traced, trace_step
from models.config import VideoMAEConfig

WORTH_IT = 12
"""Fewest blocks of a network that is shortened."""
STRETCHES = (3, 4)
"""So many stretches of a window are traced: one at either end and at least one between."""
BLOCK = re.compile(r"(backbone\.blocks|ladder\.adapters)\.(\d+)")


@dataclass(frozen=True)
class Axis:
    """Something a config has many of."""

    sizes: Callable[[TrialConfig], tuple[int, int, int] | None]
    """Two small sizes, and its own, which lies whole steps beyond; None: not worth it."""
    resized: Callable[[TrialConfig, int], TrialConfig]
    moved: Callable[[TrialConfig, str, int], str]
    """Where a layer of a config's network lies in one of another size, counted from the nearer end."""


def trace_quickly(config: TrialConfig, rules: Rules) -> Traced:
    """Return what `trace_step` would, sooner."""
    return _traced(config, rules, AXES)


def _traced(config: TrialConfig, rules: Rules, axes: Sequence[Axis]) -> Traced:
    if not axes:
        return trace_step(config, rules)
    axis, *rest = axes
    sizes = axis.sizes(config)
    if sizes is None:
        return _traced(config, rules, rest)
    small, longer, full = sizes
    short, long = (_moved(axis.resized(config, size), rules, axis, rest, full) for size in (small, longer))
    return _extended(short, long, (full - longer) // (longer - small))


def _moved(config: TrialConfig, rules: Rules, axis: Axis, rest: Sequence[Axis], full: int) -> Traced:
    """Trace a small config; its places are named as in the full one."""
    traced = _traced(config, rules, rest)
    peaks = [replace(peak, layer=axis.moved(config, peak.layer, full)) for peak in traced.peaks]
    host = {(phase, axis.moved(config, layer, full)): size for (phase, layer), size in traced.host_peaks.items()}
    return replace(traced, peaks=peaks, host_peaks=host)


def small_depths(config: TrialConfig) -> tuple[int, int, int] | None:
    """Return two depths whose difference divides what is missing to the network's own, and that."""
    backbone, adapter, every = config.model.backbone, config.model.adapter, config.engine.every
    if not isinstance(backbone, VideoMAEConfig) or backbone.depth < WORTH_IT or (adapter and adapter.layers):
        return None
    adapted = len(adapter.adapted(backbone.depth)) if adapter else backbone.depth
    if adapted * (backbone.depth // adapted) != backbone.depth or backbone.depth // adapted > 2:
        return None
    # A step keeps as many blocks as are recomputed together, on both sides of the first adapted one.
    step = every * (backbone.depth // adapted)
    first = max(2 * step, 6) + backbone.depth % step
    return (first, first + step, backbone.depth) if 2 * first + step < backbone.depth else None


def with_depth(config: TrialConfig, depth: int) -> TrialConfig:
    """Return the config with so many blocks, of which the same share is adapted."""
    backbone, adapter = config.model.backbone, config.model.adapter
    assert isinstance(backbone, VideoMAEConfig)
    values: dict[str, object] = {"model.backbone": replace(backbone, depth=depth)}
    if adapter is not None and adapter.last_layers is not None:
        values["model.adapter.last_layers"] = adapter.last_layers * depth // backbone.depth
    return with_values(config, values)


def small_lengths(config: TrialConfig) -> tuple[int, int, int] | None:
    """Return two numbers of frames that are a few stretches each, and the window's own."""
    backbone, window = config.model.backbone, config.data.window
    if not isinstance(backbone, VideoMAEConfig) or not config.engine.clips or config.training.batch_size != 1:
        return None
    stretch = config.engine.clips * backbone.clip_frames
    if config.model.representation.kind == "snippet" or window.frames % stretch:
        return None
    first, second = (count * stretch for count in STRETCHES)
    return (first, second, window.frames) if first + second < window.frames else None


def with_length(config: TrialConfig, frames: int) -> TrialConfig:
    """Return the config with so many frames per window."""
    span = 0 if config.data.window.mode == "resize" else frames * config.data.window.features
    return with_values(config, {"data.window.frames": frames, "data.window.span": span})


def moved_block(config: TrialConfig, layer: str, depth: int) -> str:
    """Return a layer's path in a deeper network, its block counted from the nearer end, adapters among themselves."""
    block, adapter = BLOCK.match(layer), config.model.adapter
    if block is None:
        return layer
    size, number = config.model.backbone.layers, int(block[2])
    adapted = adapter.adapted(size)[0] if adapter else 0
    start = adapted if number >= adapted else 0
    stop = size if number >= adapted else adapted
    deep = depth * start // size if 2 * (number - start) < stop - start else depth * stop // size - (stop - start)
    return BLOCK.sub(f"{block[1]}.{deep + number - start}", layer)


AXES = (
    Axis(small_depths, with_depth, moved_block),
    Axis(small_lengths, with_length, lambda config, layer, size: layer),
)


def _extended(short: Traced, longer: Traced, steps: int) -> Traced:
    def ahead(value: Callable[[Any], float], before: Any = short, after: Any = longer) -> int:
        return int(value(after) + steps * (value(after) - value(before)))

    places = {(peak.phase, peak.layer): peak for peak in short.peaks}
    peaks = []
    for peak in longer.peaks:
        before = places.get((peak.phase, peak.layer))
        if before is not None:
            parts = {
                name: ahead(lambda each, name=name: each.breakdown.get(name, 0), before, peak)
                for name in sorted(peak.breakdown.keys() | before.breakdown.keys())
            }
            peaks.append(Peak(ahead(lambda each: each.bytes, before, peak), parts, peak.phase, peak.layer))
    total = max(peak.bytes for peak in peaks)
    work = {name: ahead(lambda each, name=name: getattr(each.work, name)) for name in vars(longer.work)}
    return Traced(
        peaks=peaks,
        host_peaks={
            place: ahead(lambda each, place=place: each.host_peaks[place])
            for place in longer.host_peaks
            if place in short.host_peaks
        },
        # Fragments do not grow: which holes there are depends on what a block makes and frees.
        reserved_bytes=total + longer.reserved_bytes - longer.peak.bytes,
        work=Work(**work),
        params_total=ahead(lambda each: each.params_total),
        params_trainable=ahead(lambda each: each.params_trainable),
    )
