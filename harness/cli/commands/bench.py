"""`tadscale bench`: speed and memory as ratios within one run, each part beside a slower or published way."""

import argparse
import importlib
from typing import Any

BENCHES = {
    "data": ("harness.data.bench", "frames a second: decoded, augmented, cached"),
    "memory": ("harness.memory.bench", "peak memory of the leanest policies against their targets"),
    "step": ("harness.training.bench", "training steps under each engine policy beside the paper's way"),
    "nms": ("harness.detection.bench", "soft-NMS beside a double loop"),
    "map": ("harness.evaluation.bench", "mAP at the size of ActivityNet beside one detection at a time"),
    "tables": ("harness.tables.bench", "reading 100,000 rows, and 10,000 files before and after compaction"),
    "schedule": ("harness.orchestrate.bench", "1,000 simulated trials on 64 cards"),
    "overhead": ("harness.orchestrate.bench_overhead", "where a study's seconds go that are not its trials'"),
    "fits": ("harness.analysis.bench", "scaling fits on a folder of public learning curves"),
}
"""What can be measured: the module whose `main` does it, and what it measures."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    listed = "\n".join(f"  {name:<10} {meaning}" for name, (_, meaning) in BENCHES.items())
    parser = commands.add_parser(
        "bench",
        help="measure speed and memory here",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Measure one part on this machine. Close everything else first: the load is not corrected for.\n\n"
        f"{listed}\n\nWhat comes after the name goes to that measurement: tadscale bench nms --help",
    )
    parser.add_argument("what", choices=tuple(BENCHES), metavar="WHAT", help=", ".join(BENCHES))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="options of that measurement")
    return parser


def run(given: argparse.Namespace) -> int:
    """Measure, print, and return 1 when a limit of its own was missed."""
    module = importlib.import_module(BENCHES[given.what][0])
    return int(module.main(given.arguments) or 0)
