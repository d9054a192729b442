"""The leanest policies against their targets: peak memory of a whole training step, beside the paper's.

    tadscale bench memory [--only TEXT] [--json]

Each row is one video in bf16 on THUMOS14's settings (EPIC-Kitchens, Ego4D where named), with head, optimiser, average
and input, traced with CUDA's autocast rules. Nothing is measured on a card; what a card adds to tensors is `workspace`.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from harness import presets
from harness.config import TrialConfig, with_values
from harness.memory.devices import KNOWN
from harness.memory.predict import Tracer
from harness.units import GIB
from models.config import AdapterConfig, EngineConfig

DEVICE = KNOWN["a100-80gb"]
KEPT: dict[str, Any] = {"weights": "bf16", "clips": 8, "positions": 25}
HOST: dict[str, Any] = {
    **{"weights": "bf16", "clips": 8, "positions": 25, "keep_on": "host", "inputs_on": "host"},
    **{"averages_on": "host", "optimizer_on": "host"},
}
STREAMED: dict[str, Any] = {"weights": "bf16", "keep": "nothing", "clips": 4}
INT8: dict[str, Any] = {
    **{**STREAMED, "weights": "int8"},
    **{"inputs_on": "host", "averages_on": "host", "optimizer_on": "host"},
}
BESIDE = AdapterConfig(kind="tia", placement="outside", ratio=0.125)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A configuration, its policy, and what is to be reached."""

    name: str
    paper_gib: float | None
    """What the paper reports; None: out of memory, or not in the paper."""
    limit_gib: float
    config: TrialConfig


def targets() -> Iterator[Target]:
    """Yield every configuration with its target in GiB."""
    inside = (("s", 2.5, 1.3, 1.0, 3), ("b", 4.9, 2.0, 1.4, 3), ("l", 11.0, 4.0, 2.2, 2), ("h", 19.2, 6.5, 3.6, 2))
    for size, paper, kept, host, every in (*inside, ("g", 29.9, 9.0, 4.8, 2)):
        yield _target(f"{size} inside 768 x 160, on the device", paper, kept, size, {**KEPT, "every": every})
        yield _target(f"{size} inside 768 x 160, on the host", paper, host, size, HOST)
    large = {"data.window.frames": 1536, "data.window.resolution": 224}
    fine = {**HOST, "clips": 4, "positions": 16}
    beside = {"model.adapter": BESIDE}
    yield _target("g inside 1536 x 224, on the host", None, 8.0, "g", fine, large)
    yield _target("g beside 768 x 160, streamed", 22.8, 3.8, "g", STREAMED, beside)
    yield _target("g beside 1536 x 224, streamed", 43.6, 4.4, "g", STREAMED, {**large, **beside})
    yield _target("g beside 1536 x 224, streamed, int8", 43.6, 3.0, "g", INT8, {**large, **beside})
    epic = {"data.window.frames": 6144, "data.window.span": 6144, "data.num_classes": 293}
    yield _target("l inside EPIC 6144 x 160, on the host", 48.5, 8.0, "l", HOST, epic)
    ego4d = {"data.window.frames": 7200, "data.window.span": 14400, "data.window.features": 1800}
    yield _target("l inside Ego4D 7200 x 160, on the host", 60.0, 10.0, "l", HOST, {**ego4d, "data.num_classes": 110})


def _target(
    name: str,
    paper_gib: float | None,
    limit_gib: float,
    size: str,
    engine: dict[str, Any],
    changes: dict[str, Any] | None = None,
) -> Target:
    base = with_values(
        presets.thumos_adatad(f"videomae-{size}"),
        {"training.batch_size": 1, "training.precision": "bf16", "engine": EngineConfig(**engine), **(changes or {})},
    )
    return Target(name=name, paper_gib=paper_gib, limit_gib=limit_gib, config=base)


def main(argv: Sequence[str] | None = None) -> int:
    """Print every row; return 1 when one is above its target."""
    parser = argparse.ArgumentParser(prog="tadscale bench memory", description="Peak memory against its targets.")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name holds this")
    parser.add_argument("--json", action="store_true", help="one object per line")
    given = parser.parse_args(argv)
    missed = False
    with Tracer(Path(platformdirs.user_cache_dir("tadscale")) / "predictions", device=DEVICE) as tracer:
        for target in targets():
            if given.only not in target.name:
                continue
            found = tracer.ask(target.config)
            reached, host = found.peak_bytes / GIB, found.host_bytes / GIB
            missed |= reached > target.limit_gib
            if given.json:
                figures = {"name": target.name, "gib": reached, "host_gib": host, "limit_gib": target.limit_gib}
                print(json.dumps({**figures, "paper_gib": target.paper_gib, "moment": found.moment}), flush=True)
                continue
            paper = "out of 80 GB" if target.paper_gib is None else f"paper {target.paper_gib:4.1f}"
            verdict = "kept" if reached <= target.limit_gib else "MISSED"
            print(
                f"{target.name:<40} {reached:5.2f} GiB, at most {target.limit_gib:3.1f} ({paper}): {verdict}; "
                f"{host:.1f} GiB on the host",
                flush=True,
            )
    return int(missed)
