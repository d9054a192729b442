"""What `evaluate` and `diagnose` share: options that name annotations and detections, and reading them."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError

if TYPE_CHECKING:
    from harness.detection import Rows
    from harness.evaluation import GroundTruth, Setting
    from harness.evaluation.settings import Task

DATASETS = (
    "thumos14, activitynet13, epic100, epic100-verb, epic100-noun, ego4d-mq, multithumos, charades, hacs, fineaction"
)


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The two sides of an evaluation."""

    truth: "GroundTruth"
    detections: "dict[str, Rows]"


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what is read."""
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="FILE",
        help="ActivityNet schema (JSON, also .gz), THUMOS14's folder of text files, or EPIC-KITCHENS-100's CSV",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        required=True,
        metavar="FILE",
        help="detections, ActivityNet's result schema (also .gz)",
    )
    parser.add_argument(
        "--on", default="custom", metavar="NAME", help=f"data set: custom (default), synthetic, {DATASETS}"
    )
    parser.add_argument("--subset", metavar="NAME", help="subset of the annotations (default: the data set's)")
    parser.add_argument("--task", choices=("verb", "noun", "action"), help="of EPIC-Kitchens (default: all of them)")
    parser.add_argument(
        "--tiou",
        nargs="+",
        metavar="T",
        help="thresholds: 0.3 0.5, or first:last:step as in 0.5:0.95:0.05 (default: the data set's)",
    )
    parser.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="videos to leave out of both files: names, or a .txt with one a line, or a .json with a list",
    )
    parser.add_argument("--json", action="store_true", help="the result for programs, on standard output")


def read_thresholds(texts: Sequence[str]) -> tuple[float, ...]:
    """Return thresholds from what follows `--tiou`.

    Raises:
        UserError: a text is no number or no range.
    """
    from harness.evaluation.settings import steps

    thresholds: list[float] = []
    for text in (part for given in texts for part in given.split(",") if part):
        try:
            values = [float(value) for value in text.split(":")]
        except ValueError:
            values = []
        if (
            not all(0 < value <= 1 for value in values)
            or len(values) not in (1, 3)
            or values[0] > values[len(values) // 2]
        ):
            raise UserError(f"--tiou is {text}, expected a number above 0 and at most 1, or first:last:step")
        thresholds += values if len(values) == 1 else steps(*values)
    return tuple(thresholds)


def tasks_of(given: argparse.Namespace, setting: "Setting") -> "tuple[Task, ...]":
    """Return what is evaluated: labels, or EPIC-Kitchens' verbs, nouns and actions."""
    if given.task is None:
        return setting.tasks
    if given.task not in setting.tasks:
        raise UserError(f"--task is {given.task}, which {setting.name} does not have; expected it with --on epic100")
    return (given.task,)


def read_sides(given: argparse.Namespace, setting: "Setting", task: "Task", documents: dict[Path, Any]) -> Sides:
    """Read annotations and detections; `documents` keeps what was parsed, for the next task."""
    from harness.detection import detections_of

    left_out = _video_names(given.leave_out)
    truth = _read_truth(given, setting, task, documents)
    detections = detections_of(_document(given.predictions, documents), str(given.predictions), task)
    if setting.without_v:
        detections = _without_v(detections, given.predictions)
        left_out = {name.removeprefix("v_") for name in left_out}
    strangers = sorted(name for name in left_out if name not in truth.actions and name not in detections)
    if strangers:
        raise UserError(f"--leave-out names {strangers[0]}, which is neither annotated nor predicted")
    return Sides(
        truth=truth.without(left_out),
        detections={name: rows for name, rows in detections.items() if name not in left_out},
    )


def _read_truth(
    given: argparse.Namespace, setting: "Setting", task: "Task", documents: dict[Path, Any]
) -> "GroundTruth":
    from harness.evaluation import ground_truth_of
    from harness.evaluation.sources import read_epic_csv, read_thumos14_folder

    path: Path = given.annotations
    other_form = path.is_dir() or path.name.removesuffix(".gz").endswith(".csv")
    if other_form and given.subset is not None:
        raise UserError(f"--subset is {given.subset}, but {path} holds one subset only; expected no --subset")
    if path.is_dir():
        return read_thumos14_folder(path)
    if other_form:
        if task == "label":
            raise UserError(f"--annotations is {path}, a CSV of EPIC-Kitchens; expected --on epic100 with it")
        return read_epic_csv(path, task)
    return ground_truth_of(
        _document(path, documents),
        str(path),
        subsets=setting.subsets if given.subset is None else (given.subset,),
        task=task,
        without_v=setting.without_v,
    )


def _document(path: Path, documents: dict[Path, Any]) -> Any:
    from harness.detection import read_document

    if path not in documents:
        documents[path] = read_document(path)
    return documents[path]


def _without_v(detections: "dict[str, Rows]", path: Path) -> "dict[str, Rows]":
    bare = {name.removeprefix("v_"): rows for name, rows in detections.items()}
    if len(bare) < len(detections):
        twice = next(name for name in detections if f"v_{name}" in detections)
        raise UserError(f"{path} has video {twice} twice, with and without v_; expected it once")
    return bare


def _video_names(given: Sequence[str]) -> set[str]:
    from harness.detection import read_document

    names: set[str] = set()
    for name in given:
        path = Path(name)
        if path.suffix == ".json":
            listed = read_document(path)
            if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
                raise UserError(f"--leave-out is {path}, expected a JSON list of video names")
            names.update(listed)
        elif path.suffix == ".txt":
            names.update(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        else:
            names.add(name)
    return names
