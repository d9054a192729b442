"""`tadscale evaluate`: mAP and recall of a detection file against annotations."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness.cli.annotated import add_inputs, read_sides, read_thresholds, tasks_of
from harness.cli.options import UserError

if TYPE_CHECKING:
    from harness.evaluation import Measured

EXAMPLES = """\
protocols
  activitynet  detections choose their actions best score first, at IoU >= threshold; interpolated AP; ActivityNet's
               toolkit. All annotated actions count, flawed ones too.
  opentad      the same without actions that end before they start or repeat another within 1 ms (OpenTAD, ActionFormer)
  thumos14     the challenge's toolkit: actions choose, IoU > threshold, AP without interpolation, Ambiguous stretches
               are not scored
equal scores
  values       the smaller video id, then the earlier start, then the earlier end goes first: the order of the files
               changes nothing (default)
  file         in the order of the file, as the public evaluators would with a stable sort
  With thumos14 the same choice says in which order actions choose: by time, or as in the file.
A detection of a class that no action has is ignored; one in a video outside the subset counts as wrong, as does one
that ends before it starts. The mean is over the classes that have an action.

examples:
  tadscale evaluate --annotations thumos14.json --predictions result_detection.json --on thumos14
  tadscale evaluate --annotations anet.json.gz --predictions result.json.gz --on activitynet13 --protocol opentad --json
  tadscale evaluate --annotations EPIC_100_validation.csv --predictions action.json --on epic100
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "evaluate",
        help="score detections against annotations: mAP and recall",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Score a file of detections against annotations.",
        epilog=EXAMPLES,
    )
    add_inputs(parser)
    parser.add_argument(
        "--protocol",
        choices=("activitynet", "opentad", "thumos14"),
        default="activitynet",
        help="see below (default: activitynet)",
    )
    parser.add_argument("--ties", choices=("values", "file"), default="values", help="see below (default: values)")
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="map, recall (at kx: by the k x n best detections where a video has n actions of a class), "
        "proposals (AR@AN); default: map, for ego4d-mq with recall",
    )
    return parser


def run(given: argparse.Namespace) -> int:
    """Print the measures as tables or JSON."""
    from harness.evaluation import measure, setting_of
    from harness.evaluation.settings import Metric

    setting = setting_of(given.on)
    metrics = given.metrics or setting.metrics
    for name in metrics:
        if name not in get_args(Metric):
            raise UserError(f"--metrics is {name}, expected some of {', '.join(get_args(Metric))}")
    tious = read_thresholds(given.tiou) if given.tiou else setting.tious
    documents: dict[Path, Any] = {}
    measured: dict[str, Measured] = {}
    for task in tasks_of(given, setting):
        sides = read_sides(given, setting, task, documents)
        measured[task] = measure(
            sides.truth, sides.detections, tious, protocol=given.protocol, ties=given.ties, metrics=metrics
        )
    if given.json:
        print(json.dumps(_document(measured), allow_nan=False))
    else:
        _show(measured, given.predictions)
    return 0


def _document(measured: "dict[str, Measured]") -> dict[str, Any]:
    """Return one document; where there are several tasks that of the last, actions, with the others under `tasks`."""
    documents = {task: result.as_json() for task, result in measured.items()}
    last = list(documents.values())[-1]
    return last if len(documents) == 1 else {**last, "tasks": documents}


def _show(measured: "dict[str, Measured]", predictions: Path) -> None:
    from rich.console import Console

    from harness.evaluation.tables import map_table, notes

    console = Console(highlight=False)
    for task, result in measured.items():
        title = predictions.name if task == "label" else f"{predictions.name}, {task}s"
        console.print(map_table(result, title))
        for line in notes(result):
            console.print(line, markup=False, soft_wrap=True)
