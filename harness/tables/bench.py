"""How long the tables take to read: 100,000 rows, and 10,000 single files before and after compaction.

python -m harness.tables.bench [--rows N] [--files N] [--repeats N] [--json]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness.config import TrialConfig, flatten
from harness.tables.compaction import compact, write_part
from harness.tables.query import load
from harness.tables.schema import CORE, TRIALS
from harness.tables.select import sql
from harness.tables.single import encode_single
from harness.tables.storage import place_of
from harness.tables.write import own_columns
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig

STUDIES = 10
"""Folders that the rows are divided among."""
QUESTION = (
    "select frames, resolution, avg(map_avg) as map, max(peak_bytes) as bytes from best group by all order by all"
)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure."""

    what: str
    seconds: float
    """Best of the repeats."""
    limit_seconds: float | None
    """What issue 7 asks for; None where it asks for nothing."""
    load: float
    """Processes that wanted a processor meanwhile, from the system's one-minute average."""


def measure(rows: int, files: int, repeats: int) -> Iterator[Measurement]:
    """Write tables to a temporary folder and yield how long each way to read them takes, best of `repeats`."""

    def best_of(what: str, limit_s: float | None, work: Callable[[], object], times: int = repeats) -> Measurement:
        seconds = min(_seconds(work) for _ in range(times))
        return Measurement(what=what, seconds=seconds, limit_seconds=limit_s, load=os.getloadavg()[0])

    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large"), Path(folder, "small")
        table = example_rows(rows)
        for start in range(0, rows, -(-rows // STUDIES)):
            write_part(place_of(large / f"study_{start}"), table.slice(start, -(-rows // STUDIES)))
        yield best_of(f"{rows:,} rows: load and group by", 1.0, lambda: _means(load(large)))
        yield best_of(f"{rows:,} rows: the same in SQL", None, lambda: sql(QUESTION, large))
        write_singles(small / "study", example_rows(files))
        yield best_of(f"{files:,} single files: load", 10.0, lambda: load(small))
        yield best_of(f"{files:,} single files: compact", None, lambda: compact(small), times=1)
        yield best_of(f"{files:,} rows after compaction: load", 1.0, lambda: load(small))


def example_rows(count: int) -> pa.Table:
    """Return finished trials of one config that differ in frames, resolution, seed and all that was measured."""
    random = np.random.default_rng(0)
    config = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-s"], adapter=AdapterConfig()))
    ended = np.datetime64("2026-01-01", "us") + np.arange(count) * np.timedelta64(1, "m")
    columns: dict[str, Any] = {
        "trial": [f"trial {number}" for number in range(count)],
        "digest": [f"{number:016x}" for number in range(count)],
        "seed": np.arange(count) % 5,
        "map_at": _maps([f"0.{tenth}" for tenth in range(3, 8)], count, random),
        "ap": _maps([f"class {number}" for number in range(20)], count, random),
        "data.window.frames": random.choice([128, 256, 512, 768], count),
        "data.window.resolution": random.choice([96, 128, 160, 224], count),
        "training.adapter_lr": random.uniform(1e-5, 1e-3, count),
        "started_utc": pa.array(ended - np.timedelta64(1, "h")),
        "ended_utc": pa.array(ended),
    }
    for column in CORE:
        if column.type == pa.float64():
            columns[column.name] = random.uniform(size=count)
        elif column.unit == "bytes":
            columns[column.name] = random.integers(10**9, 10**11, count)
    constant = {
        **{"study": "bench", "attempt": 1, "state": "finished", "memory_source": "cuda_allocator", "git_dirty": False},
        **{"versions": [("python", "3.11.7"), ("torch", "2.15.0"), ("ray", "2.60.0")], "argv": ["scale_frames.py"]},
        **{"model.adapter": "tia", "device_name": "NVIDIA A100-SXM4-80GB", **flatten(config)},
    }
    return pa.table([_column(field, columns, constant, count) for field in TRIALS], schema=TRIALS)


def _maps(keys: Sequence[str], count: int, random: np.random.Generator) -> pa.Array:
    starts = pa.array(np.arange(count + 1) * len(keys), pa.int32())
    return pa.MapArray.from_arrays(
        starts, pa.array(list(keys) * count), pa.array(random.uniform(size=len(keys) * count))
    )


def write_singles(folder: Path, table: pa.Table) -> None:
    """Write each row as the file that its trial would have left, and wait for the disk once and not each time."""
    folder.mkdir(parents=True)
    for number in range(len(table)):
        row = own_columns(table.slice(number, 1))
        (folder / f"{number:016x}-1.parquet").write_bytes(encode_single(row))
    os.sync()


def _column(field: pa.Field, columns: dict[str, Any], constant: dict[str, Any], count: int) -> pa.Array:
    if field.name in columns:
        return pa.array(columns[field.name]).cast(field.type)
    value = constant.get(field.name)
    if pa.types.is_list(field.type) and isinstance(value, int | float):
        value = [value]
    return pa.array([value], field.type).take(pa.array(np.zeros(count, np.int64)))


def _means(table: pa.Table) -> pa.Table:
    keys = ["data.window.frames", "data.window.resolution"]
    return table.group_by(keys).aggregate([("map_avg", "mean"), ("peak_bytes", "max")])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return 1 when one is above its limit."""
    parser = argparse.ArgumentParser(description="How long the results tables take to read.")
    parser.add_argument("--rows", type=int, default=100_000, metavar="N")
    parser.add_argument("--files", type=int, default=10_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--json", action="store_true", help="one object per line")
    given = parser.parse_args(argv)
    missed = False
    for result in measure(given.rows, given.files, given.repeats):
        missed |= result.limit_seconds is not None and result.seconds > result.limit_seconds
        limit = "" if result.limit_seconds is None else f"at most {result.limit_seconds:g} s"
        line = f"{result.what:<42}{result.seconds:>8.2f} s  {limit:<14}load {result.load:.1f}"
        print(json.dumps(asdict(result)) if given.json else line, flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
