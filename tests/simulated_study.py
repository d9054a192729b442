"""Results tables as a study would leave them, without running one: for tests of what reads tables."""

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.config import TrialConfig, digest, flatten, with_values
from harness.tables import write_curves, write_row
from models.config import BACKBONES, AdapterConfig, DetectorConfig

START = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 2**30
FRAMES, SIDE = "data.window.frames", "data.window.resolution"
EVIL = "<script>alert(1)</script>"
"""A name that must stay text wherever it is shown."""
BASE = TrialConfig(model=DetectorConfig(backbone=BACKBONES["videomae-s"], adapter=AdapterConfig()))


def make_row(values: Mapping[str, Any], *, seed: int = 0, score: float = 0.5, **columns: Any) -> dict[str, Any]:
    """Return a row of a finished trial; a `state` without a result empties what such a row lacks."""
    config = with_values(BASE, {**values, "seed": seed})
    said = ", ".join(f"{path.rpartition('.')[2]} {getattr(value, 'name', value)}" for path, value in values.items())
    row = {
        "study": "scale_frames",
        "trial": f"{said}, seed {seed}",
        "digest": digest(config),
        "attempt": 1,
        "state": "finished",
        "map_avg": score,
        "map_at": {"0.5": min(score + 0.1, 1.0), "0.7": max(score - 0.1, 0.0)},
        "ap": {"long_jump": score, EVIL: score / 2},
        "peak_bytes": 2 * GIB,
        "predicted_peak_bytes": 2 * GIB,
        "memory_source": "cuda_allocator",
        "step_seconds": 0.25,
        "total_seconds": 5400.0,
        "params_total": 37_000_000,
        "params_trainable": 16_000_000,
        "num_test_videos": 212,
        "num_test_actions": 3325,
        "num_unreadable_videos": 0,
        "git_commit": "0123456789abcdef",
        "git_dirty": False,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device_name": "NVIDIA H100",
        "device_bytes": 80 * GIB,
        "num_workers": 1,
        "argv": ["scale_frames.py", "--on", "thumos14"],
        "started_utc": START,
        "ended_utc": START + timedelta(hours=1, seconds=seed),
        **flatten(config),
        **columns,
    }
    if row["state"] not in ("finished", "stopped_early"):
        row |= dict.fromkeys(("map_avg", "map_at", "ap", "peak_bytes", "step_seconds"))
    return row


def write_grid(
    folder: Path,
    frames: Sequence[int] = (768, 1536, 3072),
    sides: Sequence[int] = (160, 224),
    seeds: Sequence[int] = (0, 1, 2),
) -> list[dict[str, Any]]:
    """Write a grid of frames and resolution on the paper's data, where both help; return its rows."""
    rows = []
    for count in frames:
        for side in sides:
            for seed in seeds:
                score = 1 - 0.6 * (count / 768) ** -0.05 * (side / 160) ** -0.2 + 0.003 * (seed - 1)
                peak = int((1 + count * side**2 / 3e7) * GIB)
                rows.append(
                    make_row(
                        {FRAMES: count, SIDE: side},
                        seed=seed,
                        score=score,
                        peak_bytes=peak,
                        predicted_peak_bytes=int(peak * (1 + 0.01 * (seed - 1))),
                    )
                )
    for row in rows:
        write_row(folder, row)
        write_curves(folder, row["digest"], 1, _learning(row["map_avg"]), study=row["study"])
    return rows


def write_law(folder: Path) -> list[dict[str, Any]]:
    """Write frames, resolution and backbone where all three help by a power law, with its costs; return the rows."""
    noise = random.Random(1)
    rows = []
    for name, parameters in (("videomae-s", 22_000_000), ("videomae-b", 87_000_000), ("videomae-l", 304_000_000)):
        for frames in (192, 768, 3072):
            for side in (96, 160, 224):
                for seed in (0, 1, 2):
                    error = 0.15 + 3 / frames**0.6 + 5 / side**0.8 + 40 / parameters**0.4
                    rows.append(
                        make_row(
                            {"model.backbone": BACKBONES[name], FRAMES: frames, SIDE: side},
                            seed=seed,
                            score=1 - error * math.exp(noise.gauss(0, 0.003)),
                            study="scale_law",
                            flops=1e9 + 0.015 * frames * side**2 * parameters,
                            peak_bytes=int(1e8 + 5 * parameters + 1e-6 * frames * side**2 * parameters),
                            params_total=parameters + 10_000_000,
                            params_trainable=10_000_000,
                        )
                    )
    for row in rows:
        write_row(folder, row)
    return rows


def write_hostile(folder: Path) -> None:
    """Write what goes wrong: no memory, failures, a second attempt, names that are markup, a file that is no table."""
    backbones = {"videomae-s": 22e6, "videomae-b": 87e6, "videomae-g": 1013e6, "slowfast-r50": 34e6}
    for name, parameters in backbones.items():
        for adapter in (AdapterConfig(), None):
            values = {"model.backbone": BACKBONES[name], "model.adapter": adapter}
            values |= {} if adapter else {"model.tuning": "frozen"}
            for seed in (0, 1):
                ends: dict[str, Any] = {}
                if name == "videomae-g":
                    error = "predicted to need 41.20 GiB, more than 24.00 GiB"
                    ends = {"state": "too_large", "error": error, "predicted_peak_bytes": 42 * GIB}
                elif name == "slowfast-r50" and seed and adapter:
                    ends = {"state": "failed", "error": f"RuntimeError: {EVIL} at step 412 {'and so on ' * 20}"}
                elif name == "videomae-b" and seed and not adapter:
                    ends = {"state": "out_of_memory", "error": "CUDA out of memory: tried to allocate 2.50 GiB"}
                score = 0.6 + 0.05 * math.log2(1 + parameters / 30e6) + 0.01 * seed - (0.0 if adapter else 0.04)
                row = make_row(
                    values,
                    seed=seed,
                    score=score,
                    study="compare_backbones",
                    trial=f"{name} <b>{seed}</b> {EVIL}",
                    params_total=int(parameters + 15e6),
                    peak_bytes=int((1 + parameters / 30e6) * GIB),
                    **ends,
                )
                if name == "videomae-s" and not seed:
                    write_row(folder, make_row(values, study=row["study"], trial=row["trial"], **_interrupted()))
                    row["attempt"] = 2
                write_row(folder, row)
    (folder / "broken-1-aaaa.parquet").write_bytes(b"this is no table")


def write_many(folder: Path, number: int = 2000) -> None:
    """Write a large sweep in which every thirty-seventh trial failed."""
    draw = random.Random(0)
    rates = [1e-4 * 1.3**step for step in range(21)]
    points = [
        (frames, side, rate) for frames in (128, 256, 512, 768, 1536) for side in (96, 128, 160, 224) for rate in rates
    ]
    for index in range(number):
        frames, side, rate = points[index % len(points)]
        peak = (1 + frames * side**2 * 4e-8) * GIB
        row = make_row(
            {FRAMES: frames, SIDE: side, "training.adapter_lr": rate},
            seed=index // len(points),
            score=1 - 0.95 * frames**-0.12 * (side / 100) ** -0.2 + draw.gauss(0, 0.005),
            study="sweep",
            state="finished" if index % 37 else "failed",
            error=None if index % 37 else f"ValueError: trial {index} went wrong",
            peak_bytes=int(peak),
            predicted_peak_bytes=int(peak * (1 + draw.gauss(0, 0.008))),
        )
        write_row(folder, row)
        write_curves(folder, row["digest"], 1, _learning(0.5), study="sweep")


def _learning(score: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "loss": 1.2 * math.exp(-epoch / 8) + 1 - score} for epoch in range(1, 31)]


def _interrupted() -> dict[str, Any]:
    return {"state": "interrupted", "error": "the worker ended: signal 9"}
