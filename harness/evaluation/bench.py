"""How fast mAP is at the size of ActivityNet, from files on disk, beside the protocol done one detection at a time.

    python -m harness.evaluation.bench [--videos 4728] [--detections 100] [--classes 200] [--json]

The whole command runs in a process of its own, so that its memory is its own too. The slow way is timed on some classes
only and scaled to all of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.evaluation.average_precision import evaluate
from harness.evaluation.columns import ActionRow, DetectionRow
from harness.evaluation.settings import HALF_UP

SLOW_CLASSES = 2
MEASURED = """
import resource, sys
from harness.cli.tadscale import main
try:
    main(sys.argv[1:])
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, file=sys.stderr)
"""
"""Runs the command and says what it used; Linux counts resident memory in KiB."""
Actions = dict[str, list[ActionRow]]
Found = dict[str, list[DetectionRow]]


@dataclass(frozen=True, kw_only=True)
class MapTimes:
    """Processor seconds of mAP."""

    videos: int
    detections: int
    """In all."""
    classes: int
    seconds: float
    """Of `evaluate`, from tuples in memory."""
    command_seconds: float
    """Of the whole command, from starting Python to the JSON."""
    command_bytes: int
    """Largest resident memory of the command."""
    slow_seconds: float
    """The slow way, scaled to all classes."""
    largest_difference: float
    """Between the AP of both ways."""

    @property
    def ratio(self) -> float:
        """How many times as fast as the slow way."""
        return self.slow_seconds / self.seconds


def run(videos: int = 4728, per_video: int = 100, classes: int = 200) -> MapTimes:
    """Time mAP over ten thresholds."""
    actions, found = random_results(videos, per_video, classes)
    began = time.process_time()
    result = evaluate(actions, found, HALF_UP)
    seconds = time.process_time() - began
    labels = sorted(result.ap)[:SLOW_CLASSES]
    began = time.process_time()
    slow = [one_at_a_time(actions, found, label, HALF_UP) for label in labels]
    slow_seconds = (time.process_time() - began) / len(labels) * len(result.ap)
    command_seconds, command_bytes = _run_command(actions, found)
    ours = [list(result.ap[label].values()) for label in labels]
    return MapTimes(
        videos=videos,
        detections=videos * per_video,
        classes=classes,
        seconds=seconds,
        command_seconds=command_seconds,
        command_bytes=command_bytes,
        slow_seconds=slow_seconds,
        largest_difference=float(np.abs(np.array(ours) - np.array(slow)).max()),
    )


def random_results(videos: int, per_video: int, classes: int) -> tuple[Actions, Found]:
    """Return one to three actions a video, and detections near them of which half have the right class."""
    draw = np.random.default_rng(0)
    names = [f"class {number:03d}" for number in range(classes)]
    actions: Actions = {}
    found: Found = {}
    for number in range(videos):
        label = names[int(draw.integers(classes))]
        starts = draw.uniform(0, 100, int(draw.integers(1, 4)))
        lengths = draw.uniform(5, 60, len(starts))
        rows = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        actions[f"v{number:05d}"] = [(start, end, label) for start, end in rows]
        near = draw.integers(0, len(starts), per_video)
        first = starts[near] + draw.normal(0, 5, per_video)
        last = first + lengths[near] * draw.uniform(0.5, 1.5, per_video)
        others = draw.integers(0, classes, per_video)
        guesses = [label if draw.random() < 0.5 else names[int(other)] for other in others]
        scores = draw.random(per_video)
        found[f"v{number:05d}"] = list(zip(first.tolist(), last.tolist(), guesses, scores.tolist(), strict=True))
    return actions, found


def one_at_a_time(
    actions: Mapping[str, Sequence[ActionRow]],
    found: Mapping[str, Sequence[DetectionRow]],
    label: str,
    tious: Sequence[float],
) -> list[float]:
    """Return the AP of a class at each threshold, the protocol followed step by step."""
    ranked = sorted(
        (-row[3], video, row[0], row[1]) for video, rows in found.items() for row in rows if row[2] == label
    )
    wanted = {video: [row for row in rows if row[2] == label] for video, rows in actions.items()}
    total = sum(map(len, wanted.values()))
    precision = []
    for tiou in tious:
        taken: set[tuple[str, int]] = set()
        curve: list[tuple[bool, float]] = []
        for rank, (_, video, start, end) in enumerate(ranked, start=1):
            free = [
                (-_iou(start, end, action), number)
                for number, action in enumerate(wanted.get(video, ()))
                if (video, number) not in taken and _iou(start, end, action) >= tiou
            ]
            if free:
                taken.add((video, min(free)[1]))
            curve.append((bool(free), len(taken) / rank))
        best, area = 0.0, 0.0
        for hit, value in reversed(curve):
            best = max(best, value)
            area += best if hit else 0.0
        precision.append(area / total)
    return precision


def main(argv: Sequence[str] | None = None) -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description="Time mAP at the size of ActivityNet.")
    parser.add_argument("--videos", type=int, default=4728)
    parser.add_argument("--detections", type=int, default=100, help="of each video (100)")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    times = run(given.videos, given.detections, given.classes)
    if given.json:
        print(json.dumps({**asdict(times), "ratio": times.ratio}))
        return
    print(f"mAP of {times.videos:,} videos, {times.detections:,} detections, {times.classes} classes, 10 thresholds:")
    print(f"in memory {times.seconds:.2f} s; one detection at a time {times.slow_seconds:.0f} s (scaled from some")
    print(f"classes): {times.ratio:.0f} times as fast, AP within {times.largest_difference:.0e}")
    print(f"tadscale evaluate {times.command_seconds:.2f} s, {times.command_bytes / 2**30:.2f} GiB")


def _run_command(actions: Actions, found: Found) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        annotations, predictions = Path(folder, "annotations.json"), Path(folder, "predictions.json")
        database: dict[str, Any] = {
            video: {"subset": "validation", "annotations": [{"segment": row[:2], "label": row[2]} for row in rows]}
            for video, rows in actions.items()
        }
        annotations.write_text(json.dumps({"database": database}))
        results = {
            video: [{"segment": row[:2], "label": row[2], "score": row[3]} for row in rows]
            for video, rows in found.items()
        }
        predictions.write_text(json.dumps({"results": results}))
        files = ["--annotations", str(annotations), "--predictions", str(predictions)]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "evaluate", *files, "--on", "activitynet13", "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, size = done.stderr.split()[-2:]
    return float(seconds), int(size)


def _iou(start: float, end: float, action: ActionRow) -> float:
    inter = max(0.0, min(end, action[1]) - max(start, action[0]))
    return inter / max((end - start) + (action[1] - action[0]) - inter, 1e-8)


if __name__ == "__main__":
    main()
