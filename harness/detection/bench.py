"""How fast suppression is, beside a double loop in Python.

    python -m harness.detection.bench [--proposals 2000] [--classes 20] [--rounds 3] [--json]

The double loop is timed on fewer proposals (its time grows with their square) and the ratio taken at that size.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np

from harness.detection.nms import Detections, suppress

T = TypeVar("T")

SLOW_PROPOSALS = 300
SIGMA, MOST = 0.7, 2000


@dataclass(frozen=True, kw_only=True)
class NmsTimes:
    """Processor seconds of Gaussian soft-NMS."""

    proposals: int
    """Of each class."""
    classes: int
    seconds: float
    slow_proposals: int
    """Size at which both ways are compared, one class."""
    slow_seconds: float
    seconds_at_slow_size: float
    largest_difference: float
    """Between the scores of both ways."""

    @property
    def ratio(self) -> float:
        """How many times as fast as the double loop."""
        return self.slow_seconds / self.seconds_at_slow_size


def run(proposals: int = 2000, classes: int = 20, rounds: int = 3) -> NmsTimes:
    """Time suppression; the best of some rounds."""
    big, small = random_proposals(proposals, classes), random_proposals(SLOW_PROPOSALS, 1)
    seconds, _ = _timed(lambda: _fast(big), rounds)
    seconds_small, fast = _timed(lambda: _fast(small), rounds)
    slow_seconds, slow = _timed(lambda: double_loop(small), 1)
    return NmsTimes(
        proposals=proposals,
        classes=classes,
        seconds=seconds,
        slow_proposals=SLOW_PROPOSALS,
        slow_seconds=slow_seconds,
        seconds_at_slow_size=seconds_small,
        largest_difference=float(np.abs(fast.scores - np.array(slow)).max()),
    )


def random_proposals(proposals: int, classes: int) -> Detections:
    """Return proposals as a window gives them: many lengths, crowded in time."""
    draw = np.random.default_rng(0)
    starts = draw.uniform(0, 200, proposals * classes)
    segments = np.stack([starts, starts + draw.exponential(5.0, len(starts)) + 0.1], axis=1)
    return Detections(segments, draw.random(len(starts)), np.arange(len(starts)) % classes)


def double_loop(given: Detections) -> list[float]:
    """Return the scores of Gaussian soft-NMS over one class, one pair at a time."""
    segments, alive = given.segments.tolist(), list(enumerate(given.scores.tolist()))
    taken = []
    while alive and len(taken) < MOST:
        best = max(alive, key=lambda item: (item[1], -item[0]))
        taken.append(best[1])
        start, end = segments[best[0]]
        rest = []
        for index, score in alive:
            if index != best[0]:
                other_start, other_end = segments[index]
                inter = max(0.0, min(end, other_end) - max(start, other_start))
                iou = inter / ((end - start + 1e-6) + (other_end - other_start + 1e-6) - inter)
                rest.append((index, score * math.exp(-iou * iou / SIGMA)))
        alive = rest
    return sorted(taken, reverse=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description="Time soft-NMS beside a double loop in Python.")
    parser.add_argument("--proposals", type=int, default=2000, help="of each class (2000)")
    parser.add_argument("--classes", type=int, default=20, help="(20)")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts (3)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    times = run(given.proposals, given.classes, given.rounds)
    if given.json:
        print(json.dumps({**asdict(times), "ratio": times.ratio}))
        return
    print(f"soft-NMS of {times.classes} x {times.proposals:,} proposals: {times.seconds:.2f} s")
    print(
        f"of {times.slow_proposals} proposals: {1e3 * times.seconds_at_slow_size:.1f} ms, double loop "
        f"{1e3 * times.slow_seconds:.0f} ms: {times.ratio:.0f} times as fast, scores within "
        f"{times.largest_difference:.0e}"
    )


def _fast(given: Detections) -> Detections:
    return suppress(*given, method="gaussian", sigma=SIGMA, most=MOST)


def _timed(work: Callable[[], T], rounds: int) -> tuple[float, T]:
    seconds = []
    while True:
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
        if len(seconds) >= rounds:
            return min(seconds), result


if __name__ == "__main__":
    main()
