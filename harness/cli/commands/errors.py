"""`tadscale errors`: what the arms of a study get wrong, side by side, from the detections that its trials left."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.cli.options import UserError

if TYPE_CHECKING:
    from harness.data.index import Dataset
    from harness.detection.files import Rows
    from harness.evaluation.detad import Diagnosis
    from harness.evaluation.ground_truth import GroundTruth

DETAILS = """\
The analysis is that of `tadscale diagnose` (DETAD), once for each finished trial of the study; lines are means over
seeds. It needs the study's folder on this machine, with the detections under work/.

examples:
  tadscale errors results/analyse_errors --plot figures
  tadscale errors results/compare_adapters --by model.adapter --json
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "errors",
        help="compare what the arms of a study get wrong (DETAD)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Analyse the errors of a study's trials and set its arms side by side.",
        epilog=DETAILS,
    )
    parser.add_argument("folder", type=Path, help="the study's folder, results/NAME")
    parser.add_argument(
        "--by", default="model.tuning", metavar="PATH", help="config path that tells the arms apart (model.tuning)"
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the figures of each arm's first seed there")
    parser.add_argument("--videos", type=int, default=2, metavar="N", help="test videos that --plot draws too (2)")
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    return parser


class _Trial(NamedTuple):
    """A finished trial and its analysis."""

    arm: str
    seed: int
    truth: "GroundTruth"
    detections: "dict[str, Rows]"
    diagnosis: "Diagnosis"


def run(given: argparse.Namespace) -> int:
    """Print the comparison as a table or JSON, write it beside the study's rows, and draw it."""
    from harness.analysis.export import to_markdown, write_tables
    from harness.analysis.paper.errors import error_table

    if given.videos < 0:
        raise UserError(f"--videos is {given.videos}, expected at least 0")
    arms: dict[str, list[_Trial]] = {}
    for trial in sorted(_trials(given.folder, given.by), key=lambda trial: (trial.arm, trial.seed)):
        arms.setdefault(trial.arm, []).append(trial)
    analyses = {arm: [trial.diagnosis for trial in trials] for arm, trials in arms.items()}
    table = error_table(analyses, title=f"Errors of {given.folder.name}")
    files = write_tables([table], given.folder / "tables")
    if given.plot:
        for trials in arms.values():
            files += _draw(trials[0], given.plot / trials[0].arm, given.videos)
    if given.json:
        document = {arm: {trial.seed: trial.diagnosis.as_json() for trial in trials} for arm, trials in arms.items()}
        print(json.dumps({"arms": document, "files": list(map(str, files))}, allow_nan=False))
        return 0
    print(to_markdown(table))
    for path in files:
        print(path)
    return 0


def _trials(folder: Path, by: str) -> Iterator[_Trial]:
    """Yield every finished trial of a study, analysed.

    Raises:
        UserError: the study has no finished trials on this machine, or no such path.
    """
    from harness.analysis.names import value_name
    from harness.detection import read_detections
    from harness.evaluation import setting_of
    from harness.evaluation.detad import diagnose
    from harness.tables import best, load

    rows = best(load(folder)).to_pylist()
    if not rows:
        raise UserError(f"{folder} holds no finished trials, expected those of a study")
    if by not in rows[0]:
        raise UserError(f"--by is {by}, which is no config path of the rows of {folder}")
    dataset = _dataset(folder)
    for row in rows:
        found = folder / "work" / row["digest"] / "detections.json"
        if not found.is_file():
            raise UserError(f"{found} is missing, expected the detections of a finished trial on this machine")
        setting = setting_of(row["data.name"])
        truth, detections = _truth(dataset, row["data.test_subset"]), read_detections(found)
        diagnosis = diagnose(truth, detections, setting.diagnosis_tious or setting.tious, setting.bins)
        arm = value_name(by, row[by])
        yield _Trial(arm=arm, seed=row["seed"], truth=truth, detections=detections, diagnosis=diagnosis)


def _dataset(folder: Path) -> "Dataset":
    from harness.data.index import load_index

    indices = sorted(folder.glob("dataset-*.json"))
    if len(indices) != 1:
        raise UserError(f"{folder} has {len(indices)} files dataset-*.json, expected the one that its trials read")
    return load_index(indices[0])


def _truth(dataset: "Dataset", subset: str) -> "GroundTruth":
    from harness.evaluation.ground_truth import GroundTruth

    videos = dataset.subset(subset)
    return GroundTruth(
        subset=subset,
        actions={
            video.video_id: [(action.start_s, action.end_s, action.label) for action in video.actions]
            for video in videos
        },
        durations={video.video_id: video.info.duration_s for video in videos},
    )


def _draw(trial: _Trial, folder: Path, videos: int) -> list[Path]:
    """Draw DETAD's figures of a trial, and its best detections in some videos (the paper's Figures 4, 6 and 7)."""
    from harness.evaluation.detad.figures import plot_diagnosis
    from harness.evaluation.timeline import plot_video

    drawn = plot_diagnosis(trial.diagnosis, folder)
    truth = trial.truth
    for video in sorted(truth.actions)[:videos]:
        found = trial.detections.get(video, [])
        stem = folder / f"video_{video}"
        drawn.append(plot_video(stem, video, truth.actions[video], found, duration_s=truth.durations.get(video)))
    return drawn
