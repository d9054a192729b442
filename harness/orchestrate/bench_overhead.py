"""`tadscale bench overhead`: where the seconds go that are not a trial's, on this machine.

A trial that does nothing is run through Ray Tune and Ray Train in both kinds of slot; what remains is overhead.
"""

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.orchestrate.cluster import connect
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.slots import SlotKind
from harness.orchestrate.sweep import run_sweep

START_LIMIT_S, WARM_LIMIT_S, FRESH_LIMIT_S = 25.0, 0.5, 15.0


def nothing(job: Mapping[str, Any], reporter: Any) -> dict[str, Any]:
    """Be a trial of no length."""
    import torch  # noqa: F401 - what every real trial does first

    reporter.report({"epoch": 1, "epochs": 1, "loss": 0.0})
    return {"state": "finished", "map_avg": 0.0}


def main(argv: Sequence[str]) -> int:
    """Measure, print, and return 1 when a limit was missed."""
    parser = argparse.ArgumentParser(prog="tadscale bench overhead", description=__doc__)
    parser.add_argument("--warm", type=int, default=12, help="trials in one warm slot")
    parser.add_argument("--fresh", type=int, default=3, help="trials in one fresh slot")
    given = parser.parse_args(argv)
    clock = time.monotonic()
    with connect() as cluster:
        connected = time.monotonic() - clock
        first, warm = _measure(cluster, given.warm, "warm")
        _, fresh = _measure(cluster, given.fresh, "fresh")
    lines = [
        ("Ray and its dashboard", connected, None),
        ("Tune, worker group, torch, until the first trial runs", first, None),
        ("start of the study to its first trial", connected + first, START_LIMIT_S),
        ("per trial in a warm slot", warm, WARM_LIMIT_S),
        ("per trial in a fresh slot", fresh, FRESH_LIMIT_S),
    ]
    for name, seconds, limit in lines:
        verdict = "" if limit is None else f"  {'kept' if seconds <= limit else 'MISSED'}: at most {limit:g} s"
        print(f"{name:<56} {seconds:7.2f} s{verdict}")
    return int(any(limit is not None and seconds > limit for _, seconds, limit in lines))


def _measure(cluster: Any, number: int, slots: SlotKind) -> tuple[float, float]:
    """Return the seconds until the first trial runs, and those from one trial's start to the next one's."""
    starts: list[float] = []
    began = time.monotonic()

    def hear(event: Event) -> None:
        if event.kind == "started":
            starts.append(time.monotonic())

    jobs = [Job(digest=f"{slots}{index}", name=slots, payload={}) for index in range(number)]
    run_sweep(cluster, jobs, execute=f"{__name__}.nothing", num_slots=1, slots=slots, on_event=hear)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    return starts[0] - began, sum(steps) / len(steps)
