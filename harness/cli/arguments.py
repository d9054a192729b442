"""The command line of a study: what can be given, and what each value looks like."""

import argparse
import math
from pathlib import Path
from typing import NoReturn

from harness.data.datasets import DATASETS, dataset_of
from harness.data.guard import BATCH_TIMEOUT_S
from harness.study import OBJECTIVES, Fidelity, Study
from harness.units import GIB, format_bytes, parse_bytes

DEFAULT_CACHE_BYTES = 16 * GIB
"""An hour and more of 30 frames per second, at the size that 160 x 160 windows are read in."""


class UserError(ValueError):
    """A mistake of the user's; its one sentence is all that is printed."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is a `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint as one sentence."""
        raise UserError(message)


def study_parser(study: Study) -> Parser:
    """Return the parser of a study's options (design.md part 4)."""
    parser = Parser(prog=f"studies/{study.name}.py", description=study.title, allow_abbrev=False)
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--on",
        type=_dataset,
        metavar="NAME",
        help=f"data set: {', '.join(DATASETS)} (default: that of the --preset, else synthetic, made here)",
    )
    what.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder with videos and annotations in any published form (tadscale check --on NAME says what it finds); "
        "for synthetic: where it is written",
    )
    what.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="pretrained backbone: a file, or a folder with NAME.pth (videomae-s.pth ...)",
    )
    what.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="offline features, one .npy, .npz or .pt per video (see tadscale extract --help); needs no video files",
    )
    what.add_argument(
        "--class-scores",
        type=Path,
        metavar="FILE",
        help="what an external classifier says of each test video; detection.external says how it is used",
    )
    what.add_argument(
        "--preset",
        choices=tuple(study.presets),
        help="default: tiny on synthetic, and on custom without --weights; else paper",
    )
    what.add_argument("--quick", action="store_true", help="the shortest form of tiny: under two minutes on two cores")
    what.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=V[,V...]",
        help="override a config path or vary it, e.g. --set model.adapter.kernel=3,7; a + joins the values of a list; "
        "best:STUDY is what another study found best, for each backbone, "
        "e.g. training.adapter_lr=best:tune_learning_rate",
    )
    what.add_argument("--seeds", type=_count, metavar="N", help="run seeds 0 .. N-1")
    how = parser.add_argument_group("how it runs")
    how.add_argument(
        "--device",
        metavar="NAME",
        help="cpu, cuda, or with --dry-run a card's name such as rtx4090-24gb (default: what this machine has)",
    )
    how.add_argument(
        "--memory-budget",
        type=_bytes,
        metavar="SIZE",
        help="trials predicted to need more are not run but recorded as too_large, e.g. 24GiB",
    )
    how.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="Ray Train workers per trial (data parallel; default 1)"
    )
    how.add_argument(
        "--slots",
        choices=("warm", "fresh"),
        help="warm: workers live on and take trial after trial (default on CPU); "
        "fresh: new workers per trial (default on GPU)",
    )
    how.add_argument(
        "--cache-size",
        type=_bytes_or_none,
        default=DEFAULT_CACHE_BYTES,
        metavar="SIZE",
        help="keep decoded frames on this machine's disk, at most this much, so that videos are decoded once "
        f"(default: {format_bytes(DEFAULT_CACHE_BYTES)}; 0: decode in every epoch)",
    )
    how.add_argument(
        "--batch-timeout",
        type=_count,
        default=BATCH_TIMEOUT_S,
        metavar="SECONDS",
        help="a trial whose loader gives no batch and no sign of life for this long ends as failed, with the name of "
        f"the video that hangs (default: {BATCH_TIMEOUT_S:g})",
    )
    how.add_argument(
        "--exclusive",
        action=argparse.BooleanOptionalAction,
        help="a card of its own for every trial, or not (default: where memory is what the study measures; in other "
        "studies trials share cards by their predicted memory)",
    )
    how.add_argument("--max-concurrent", type=_count, metavar="N", help="at most this many trials at a time")
    how.add_argument(
        "--address", metavar="ADDRESS", help="join this Ray cluster (default: RAY_ADDRESS, else a local one)"
    )
    search = parser.add_argument_group("which trials are run")
    search.add_argument(
        "--search",
        choices=("grid", "random", "optuna"),
        help="grid: every combination; random: points drawn evenly; optuna: TPE, which learns from the points so far "
        f"(default: {study.search.method})",
    )
    search.add_argument(
        "--samples", type=_count, metavar="N", help=f"points of a search in all (default: {study.search.samples})"
    )
    search.add_argument(
        "--objective",
        type=_objectives,
        metavar="NAME[,NAME]",
        help="what a search aims at: map_avg, or map_avg,peak_bytes for the front between the two "
        f"(default: {','.join(study.search.objectives)})",
    )
    search.add_argument(
        "--scheduler",
        choices=("none", "asha", "median"),
        help="end trials early that lag behind others at the same epoch; they become stopped_early rows "
        f"(default: {study.search.scheduler})",
    )
    search.add_argument(
        "--scheduler-metric",
        choices=("map", "loss"),
        help="what a scheduler compares: mAP on the test subset, which costs a test per epoch, or the training loss, "
        f"which means something else for another head (default: {study.search.scheduler_metric})",
    )
    search.add_argument(
        "--validate-every",
        type=_count,
        metavar="N",
        help="score the test subset after every N-th epoch with the averaged weights: mAP in the curves, no change in "
        "any result (default: 1 for a scheduler that compares mAP, else only at the end)",
    )
    search.add_argument(
        "--fidelity",
        type=_fidelity,
        metavar="PATH=V,V[,V...]",
        help="successive halving over rising values of a setting: every point is run at the first, the best at the "
        "next, and so on, e.g. data.window.frames=64,128 or training.epochs=3,12 (the cosine and the warm-up keep "
        "their share of the epochs); a grid runs its first seed only",
    )
    search.add_argument(
        "--eta",
        type=_count,
        metavar="N",
        help="of N points, one climbs from a value of --fidelity to the next (default: 3)",
    )
    where = parser.add_argument_group("what comes out")
    where.add_argument(
        "--results",
        metavar="DIR",
        help="folder of the results tables, or a URI such as s3://bucket/prefix (default: results)",
    )
    where.add_argument(
        "--storage",
        metavar="URI",
        help="where all machines of a cluster reach the results: a shared folder, or s3://bucket/prefix, to which "
        "tables and, after every epoch, checkpoints go",
    )
    where.add_argument(
        "--dry-run",
        action="store_true",
        help="list the trials with predicted memory, operations, and hours on a card; runs nothing, needs no data",
    )
    where.add_argument("--status", action="store_true", help="say what has become of every trial; runs nothing")
    where.add_argument("--fresh", action="store_true", help="set earlier results aside and run every trial again")
    where.add_argument(
        "--json", action="store_true", help="machine-readable result on stdout, everything else on stderr"
    )
    where.add_argument("--quiet", action="store_true", help="no progress display")
    where.add_argument(
        "--price-per-hour",
        type=price_per_hour,
        metavar="X",
        help="price of all machines for an hour, in any currency; the display shows what the study costs",
    )
    return parser


def price_per_hour(text: str) -> float:
    """Read a price.

    Raises:
        argparse.ArgumentTypeError: it is no number above 0.
    """
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a price above 0, such as 2.5")
    return price


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _objectives(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(OBJECTIVES) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text} is not {' or '.join(OBJECTIVES)}, nor both with a comma")
    return names


def _fidelity(text: str) -> Fidelity:
    path, sign, values = text.partition("=")
    try:
        if not (path and sign):
            raise ValueError(f"{text} is not PATH=V,V[,V...]")
        return Fidelity(path=path, values=tuple(map(_number, values.split(","))))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text} is not a number") from None


def _dataset(text: str) -> str:
    try:
        return dataset_of(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bytes_or_none(text: str) -> int:
    return 0 if text == "0" else _bytes(text)


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
