"""`tadscale diagnose`: what a detector gets wrong, from a detection file and annotations."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.annotated import Sides, add_inputs, read_sides, read_thresholds, tasks_of
from harness.cli.options import UserError

if TYPE_CHECKING:
    from harness.evaluation.settings import Bins

DETAILS = """\
False positives: of each class the best 10 G detections, G being its number of actions. One that hits nothing is, by
its largest overlap with any action of the video: a double detection or a wrong label at the threshold or above, a
localisation error or a confusion at 0.1 or above (own label or another's), background below. The gain is mAP_N without
that kind. mAP_N normalises precision as if all classes had the mean number of actions.
Missed: actions that no detection hits at a normalised precision above 5 %.
Sensitivity: mAP_N of the actions of each bin. Bins are DETAD's on thumos14 and activitynet13; elsewhere five of about
equal size (or --bins). Coverage needs the durations of videos in the annotations. Equal scores rank as in `evaluate`.

--compat repeats what DETAD's own code does: all but the first detection of a video without actions are compared with
another video's actions; of actions with equal overlap the first in the file decides; a detection that hits an action
outside a bin at one threshold is left out at all; equal scores rank as in the file.

examples:
  tadscale diagnose --annotations detad_test.json --predictions result.json --on thumos14 --plot figures
  tadscale diagnose --annotations anet.json.gz --predictions result.json --on activitynet13 --json
  tadscale diagnose --annotations my.json --predictions result.json --bins length=2,5,10 --plot out --qualitative a b
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "diagnose",
        help="say what a detector gets wrong: kinds of errors, missed actions, sensitivity (DETAD)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Analyse the errors of a file of detections (DETAD, ECCV 2018).",
        epilog=DETAILS,
    )
    add_inputs(parser)
    parser.add_argument(
        "--bins",
        nargs="+",
        default=[],
        metavar="NAME=EDGES",
        help="upper edges of a characteristic's bins, as in length=3,6,12,18 (coverage, length, num-instances)",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the figures into this folder, as PNG and SVG")
    parser.add_argument(
        "--qualitative",
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="also draw these videos, with their best detections",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="detections that --qualitative draws (20)")
    parser.add_argument("--compat", action="store_true", help="with the errors of the original, see below")
    return parser


def run(given: argparse.Namespace) -> int:
    """Print the analysis as tables or JSON, and draw it."""
    from harness.evaluation import setting_of
    from harness.evaluation.detad import diagnose
    from harness.evaluation.measure import check_names

    setting = setting_of(given.on)
    if given.qualitative and given.plot is None:
        raise UserError("--qualitative needs --plot DIR, the folder for its pictures")
    if given.top < 1:
        raise UserError(f"--top is {given.top}, expected at least 1")
    tious = read_thresholds(given.tiou) if given.tiou else setting.diagnosis_tious or setting.tious
    task = tasks_of(given, setting)[-1]
    sides = read_sides(given, setting, task, {})
    check_names(sides.truth, sides.detections)
    bins = {**setting.bins, **_bins(given.bins)}
    diagnosis = diagnose(sides.truth, sides.detections, tious, bins, compat=given.compat)
    drawn = _draw(given, diagnosis, sides) if given.plot else []
    if given.json:
        print(json.dumps({**diagnosis.as_json(), "pictures": [str(path) for path in drawn]}, allow_nan=False))
        return 0
    from rich.console import Console

    from harness.evaluation.detad.tables import bin_table, false_positive_table, notes

    console = Console(highlight=False)
    console.print(false_positive_table(diagnosis))
    console.print(bin_table(diagnosis))
    for line in (*notes(diagnosis), *map(str, drawn)):
        console.print(line, markup=False, soft_wrap=True)
    return 0


def _draw(given: argparse.Namespace, diagnosis: Any, sides: Sides) -> list[Path]:
    from harness.evaluation.detad.figures import plot_diagnosis
    from harness.evaluation.timeline import plot_video

    names = [name if name in sides.truth.actions else name.removeprefix("v_") for name in given.qualitative]
    unknown = [name for name in names if name not in sides.truth.actions]
    if unknown:
        raise UserError(f"--qualitative is {unknown[0]}, which is no video of subset {sides.truth.subset}")
    drawn = plot_diagnosis(diagnosis, given.plot)
    for name in names:
        drawn.append(
            plot_video(
                given.plot
                / f"video_{''.join(letter if letter.isalnum() or letter in '-._' else '_' for letter in name)}",
                name,
                sides.truth.actions[name],
                sides.detections.get(name, []),
                duration_s=sides.truth.durations.get(name),
                top=given.top,
            )
        )
    return drawn


def _bins(texts: list[str]) -> "Mapping[str, Bins]":
    from harness.evaluation.settings import INFINITE, edges

    names = ("coverage", "length", "num-instances")
    bins = {}
    for text in texts:
        name, _, listed = text.partition("=")
        try:
            upper = [float(edge) for edge in listed.split(",")]
        except ValueError:
            upper = []
        rising = all(0 < low < high < INFINITE for low, high in zip([1e-300, *upper], upper, strict=False))
        if name not in names or not 1 <= len(upper) <= 4 or not rising:
            raise UserError(
                f"--bins is {text}, expected one of {', '.join(names)}, =, and one to four rising numbers above 0"
            )
        bins[name] = edges(*upper, INFINITE)
    return bins
