"""`tadscale detect`: what happens when in the user's own videos."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError
from harness.cli.terminal import Terminal

if TYPE_CHECKING:
    from harness.cli.given_detector import Ready
    from harness.detection import Rows
    from harness.training.stream import Watched

EXAMPLES = """\
checkpoints
  detector.pt of `tadscale train` or of a study's trial (RESULTS/STUDY/work/TRIAL/): it says all that is needed;
  --weights names the frozen backbone's file if it has moved.
  A detector of OpenTAD (AdaTAD): --on names the data set whose settings and classes it was trained with, --classes the
  file with its class names, one a line, where the data set has no fixed list. --set changes what is not in the file,
  such as data.window.frames=1536 and data.window.span=3072.

A video is read window by window, so its length does not matter to memory. Windows overlap as in a test
(data.test_overlap), and what they find is merged over the whole video.

examples:
  tadscale detect match.mp4 --checkpoint first/detector.pt --plot
  tadscale detect *.mp4 --checkpoint first/detector.pt --top 2000 --min-score 0 --json > detections.json
  tadscale detect match.mp4 --checkpoint e2e_thumos_videomae_s.pth --on thumos14
"""
FAILED_CODE = 1


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "detect",
        allow_abbrev=False,
        help="find actions in your own videos with a trained detector",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Find actions in video files: segments in seconds, labels and scores.",
        epilog=EXAMPLES,
    )
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="a trained detector")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the frozen backbone, if it is not where it was")
    parser.add_argument("--on", metavar="NAME", help="with OpenTAD's checkpoints: the data set it was trained on")
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="with OpenTAD's checkpoints: class names, one a line"
    )
    parser.add_argument(
        "--class-scores", type=Path, metavar="FILE", help="an external classifier's, where the detector has one class"
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="at most so many per video (20)")
    parser.add_argument("--min-score", type=float, default=0.3, metavar="X", help="none below this score (0.3)")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=V", help="change a setting of the config")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: what this machine has)")
    parser.add_argument("--data-workers", type=int, metavar="N", help="decoding processes (default: 2 with CUDA)")
    parser.add_argument("--plot", action="store_true", help="draw a timeline of each video, as PNG and SVG")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the pictures (here)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="ActivityNet's result schema on standard output")
    form.add_argument("--csv", action="store_true", help="video,start_s,end_s,label,score on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def run(given: argparse.Namespace) -> int:
    """Detect; return 0, or 1 if some of the videos could not be read."""
    from harness.cli.given_detector import open_detector
    from harness.data.video import UnreadableVideo

    _check(given)
    terminal = Terminal(json=given.json or given.csv, quiet=given.quiet)
    ready = open_detector(given, terminal)
    found: list[Watched] = []
    lost: list[str] = []
    for path in given.videos:
        try:
            found.append(_watch(path, ready, given, terminal))
        except UnreadableVideo as error:
            lost.append(f"{path}: {error.reason}")
            terminal.say(f"{path} cannot be used: {error.reason}")
            continue
        if not (given.json or given.csv):
            _show(found[-1], kept(found[-1].rows, given.top, given.min_score), given, terminal)
    if not found:
        raise UserError(f"none of the videos can be used: {'; '.join(lost)}")
    _write(found, given)
    return FAILED_CODE if lost else 0


def kept(rows: "Rows", top: int, min_score: float) -> "Rows":
    """Return the best detections, in the order of their scores."""
    return [row for row in rows[:top] if row[3] >= min_score]


def _check(given: argparse.Namespace) -> None:
    if given.top < 1:
        raise UserError(f"--top is {given.top}, expected at least 1")
    if not 0 <= given.min_score <= 1:
        raise UserError(f"--min-score is {given.min_score}, expected 0 to 1")
    names = [path.stem for path in given.videos]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two of the videos are called {twice}, expected names that tell them apart")
    missing = next((path for path in given.videos if not path.is_file()), None)
    if missing is not None:
        raise UserError(f"there is no video {missing}")


def _watch(path: Path, ready: "Ready", given: argparse.Namespace, terminal: Terminal) -> "Watched":
    from harness.training.stream import detect_video

    cuda = ready.device == "cuda"
    with terminal.stage(path.name) as progress:
        return detect_video(
            ready.detector,
            path,
            ready.config,
            ready.classes,
            device=ready.device,
            workers=(2 if cuda else 0) if given.data_workers is None else given.data_workers,
            classifier=ready.classifier,
            progress=progress,
        )


def _show(watched: "Watched", rows: "Rows", given: argparse.Namespace, terminal: Terminal) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{watched.path.name}, {clock(watched.duration_s)}"), title_justify="left")
    for name in ("from", "to", "score"):
        table.add_column(name, justify="right")
    table.add_column("label")
    for start_s, end_s, label, score in rows:
        table.add_row(clock(start_s), clock(end_s), f"{score:.2f}", Text(label))
    terminal.console.print(table)
    if not rows:
        best = f"the best scores {watched.rows[0][3]:.2f}" if watched.rows else "there is none at all"
        terminal.say(f"nothing scores {given.min_score:g} or more; {best}; --min-score shows what scores less")


def clock(seconds: float) -> str:
    """Return a time as people write it: 75.3 is 1:15.3."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def _write(found: "Sequence[Watched]", given: argparse.Namespace) -> None:
    best = {watched.video_id: kept(watched.rows, given.top, given.min_score) for watched in found}
    if given.json:
        from harness.detection import document_of

        json.dump(document_of(best), sys.stdout, allow_nan=False)
        print()
    if given.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(("video", "start_s", "end_s", "label", "score"))
        writer.writerows(
            (name, f"{s:.3f}", f"{e:.3f}", label, f"{x:.4f}") for name in best for s, e, label, x in best[name]
        )
    if given.plot:
        from harness.evaluation.timeline import plot_detections

        for watched in found:
            stem = given.out / f"{watched.video_id}-actions"
            picture = plot_detections(stem, watched.path.name, best[watched.video_id], watched.duration_s)
            print(picture, file=sys.stderr if given.json or given.csv else sys.stdout)
