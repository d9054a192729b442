"""The options every study has (design.md part 4); scripts depend on them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from harness.config import NAMED, parse_value
from harness.data.datasets import DATASETS, dataset_of
from harness.study import Grid, Study
from harness.tables.storage import place_of
from harness.units import parse_bytes


class UserError(ValueError):
    """A mistake of the user's; its one sentence is all that is printed."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is a `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint as one sentence."""
        raise UserError(message)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said, read and checked."""

    on: str
    preset: str
    data_root: Path | None
    weights: Path | None
    features: Path | None = None
    """Folder of offline features."""
    class_scores: Path | None = None
    """File of an external classifier."""
    overrides: tuple[tuple[str, str], ...]
    seeds: int | None
    memory_budget: int | None
    device: str | None
    workers: int
    slots: Literal["warm", "fresh"] | None
    max_concurrent: int | None
    address: str | None
    results: Path
    """Folder on this machine: checkpoints, plots, and the tables unless `storage` is given."""
    storage: str | None
    """URI of another store that keeps the tables."""
    dry_run: bool
    status: bool
    fresh: bool
    json: bool
    quiet: bool


def read_options(study: Study, argv: Sequence[str]) -> Options:
    """Parse a study's arguments.

    Raises:
        UserError: an unknown option or an impossible value.
    """
    parser = _parser(study)
    given = parser.parse_args(argv)
    quick_wanted = given.quick or given.preset == "quick"
    if given.quick and given.preset not in (None, "tiny", "quick"):
        raise UserError(f"--quick is the short form of --preset tiny and does not go with --preset {given.preset}")
    if given.on != "synthetic" and given.data_root is None and not given.dry_run:
        raise UserError(f"--on {given.on} needs --data-root DIR, the folder that holds the videos and annotations.json")
    if given.device not in (None, "cpu", "cuda") and not given.dry_run:
        raise UserError(f"--device is {given.device}, expected cpu or cuda; a card's name goes with --dry-run")
    results, storage = _places(given.results, given.storage)
    return Options(
        on=given.on,
        preset="quick" if quick_wanted else given.preset or default_preset(given.on, given.weights),
        data_root=given.data_root,
        weights=given.weights,
        features=given.features,
        class_scores=given.class_scores,
        overrides=tuple(_split(text) for text in given.set),
        seeds=given.seeds,
        memory_budget=given.memory_budget,
        device=given.device,
        workers=given.workers,
        slots=given.slots,
        max_concurrent=given.max_concurrent,
        address=given.address,
        results=results,
        storage=storage,
        dry_run=given.dry_run,
        status=given.status,
        fresh=given.fresh,
        json=given.json,
        quiet=given.quiet,
    )


def below(uri: str, name: str) -> str:
    """Return the URI of something below another one, whose options (after `?`) stay at the end."""
    place, mark, settings = uri.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{settings}"


def _places(results: str | None, storage: str | None) -> tuple[Path, str | None]:
    """Return the folder on this machine, and the URI for the tables if they go elsewhere.

    A `--storage` without a scheme is a shared folder: then everything goes there, checkpoints too.
    """
    if results is not None and storage is not None and "://" not in storage:
        raise UserError(f"--storage is the folder {storage} and --results is {results}, expected one of them or a URI")
    if results is not None and "://" in results:
        if storage is not None:
            raise UserError(f"--results is {results} and --storage is {storage}, expected one URI")
        results, storage = None, results
    if storage is not None and "://" not in storage:
        results, storage = storage, None
    if storage is not None:
        place_of(storage)  # a scheme that nobody knows is said before anything is made
    return Path(results or "results"), storage


def default_preset(on: str, weights: Path | None) -> str:
    """Return the preset of a data set: `tiny` on synthetic, else `paper`.

    One's own videos without `--weights` get `tiny` too: its backbone is the only one that needs no download.
    """
    if on == "synthetic" or (on == "custom" and weights is None):
        return "tiny"
    return "paper"


def override_grid(grid: Grid, overrides: Sequence[tuple[str, str]], seeds: int | None) -> Grid:
    """Apply `--set PATH=V[,V...]` and `--seeds N`.

    Raises:
        ValueError: an unknown path, or a value that does not fit.
    """
    values: dict[str, list[Any]] = {}
    for path, text in overrides:
        values[path] = [parse_value(_with_branches(grid, values), path, part) for part in text.split(",")]
    changed = grid.with_overrides(values)
    return Grid(base=changed.base, axes=changed.axes, seeds=tuple(range(seeds)) if seeds else changed.seeds)


def _with_branches(grid: Grid, values: Mapping[str, list[Any]]) -> Any:
    """Return a config in which earlier `--set`s of whole branches hold, so that fields below them can be set."""
    from harness.config import with_values

    branches = {path: options[0] for path, options in values.items() if path in NAMED}
    try:
        return with_values(grid.base, branches)
    except ValueError:
        return grid.base  # the branch only fits together with a later --set; the grid itself is checked at the end


def _split(text: str) -> tuple[str, str]:
    path, sign, value = text.partition("=")
    if not sign or not path or not value:
        raise UserError(f"--set is {text}, expected PATH=VALUE[,VALUE...]")
    return path, value


def _parser(study: Study) -> Parser:
    parser = Parser(prog=f"studies/{study.name}.py", description=study.title, allow_abbrev=False)
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--on",
        type=_dataset,
        default="synthetic",
        metavar="NAME",
        help=f"data set: {', '.join(DATASETS)} (default: synthetic, made here)",
    )
    what.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder with videos, annotations.json, classes.txt; for synthetic: where it is written",
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
        help="override a config path or vary it, e.g. --set model.adapter.kernel=3,7; a + joins the values of a list",
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
    how.add_argument("--max-concurrent", type=_count, metavar="N", help="at most this many trials at a time")
    how.add_argument(
        "--address", metavar="ADDRESS", help="join this Ray cluster (default: RAY_ADDRESS, else a local one)"
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
        help="where all machines of a cluster reach the tables: a shared folder, which then holds the checkpoints too, "
        "or s3://bucket/prefix",
    )
    where.add_argument(
        "--dry-run", action="store_true", help="list the trials with predicted memory; runs nothing, needs no data"
    )
    where.add_argument("--status", action="store_true", help="say what has become of every trial; runs nothing")
    where.add_argument("--fresh", action="store_true", help="set earlier results aside and run every trial again")
    where.add_argument(
        "--json", action="store_true", help="machine-readable result on stdout, everything else on stderr"
    )
    where.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _dataset(text: str) -> str:
    try:
        return dataset_of(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
