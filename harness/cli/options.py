"""The options every study has (design.md part 4); scripts depend on them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from harness.config import NAMED, parse_value
from harness.data.datasets import DATASETS, dataset_of
from harness.study import OBJECTIVES, Grid, Search, Study
from harness.tables.storage import place_of
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
    cache_size: int = DEFAULT_CACHE_BYTES
    """Bytes of the frame cache; 0: none."""
    overrides: tuple[tuple[str, str], ...]
    seeds: int | None
    memory_budget: int | None
    device: str | None
    workers: int
    slots: Literal["warm", "fresh"] | None
    search: Search
    """The study's own, with what the command line changes."""
    exclusive: bool
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
        cache_size=given.cache_size,
        overrides=tuple(_split(text) for text in given.set),
        seeds=given.seeds,
        memory_budget=given.memory_budget,
        device=given.device,
        workers=given.workers,
        slots=given.slots,
        search=_search(study.search, given),
        exclusive=given.exclusive,
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


def _search(search: Search, given: argparse.Namespace) -> Search:
    changes: dict[str, Any] = {"method": given.search} if given.search else {}
    changes |= {"scheduler": given.scheduler} if given.scheduler else {}
    for name, value in (("samples", given.samples), ("objectives", given.objective)):
        if value is not None and (given.search or search.method) == "grid":
            option = f"--{name.removesuffix('s') if name == 'objectives' else name}"
            raise UserError(
                f"{option} is given, but --search is grid, which runs every trial; expected random or optuna"
            )
        changes |= {} if value is None else {name: value}
    if (given.search or search.method) != "grid" and (given.seeds or 1) > 1:
        raise UserError(f"--seeds is {given.seeds}, but a search runs each point once; expected --search grid")
    return replace(search, **changes)


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
    how.add_argument(
        "--cache-size",
        type=_bytes_or_none,
        default=DEFAULT_CACHE_BYTES,
        metavar="SIZE",
        help="keep decoded frames on this machine's disk, at most this much, so that videos are decoded once "
        f"(default: {format_bytes(DEFAULT_CACHE_BYTES)}; 0: decode in every epoch)",
    )
    how.add_argument(
        "--exclusive",
        action="store_true",
        help="a card of its own for every trial (default: trials share cards by their predicted memory)",
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
        help="end trials early whose training loss lags behind that of others at the same epoch; "
        f"they become stopped_early rows without mAP (default: {study.search.scheduler})",
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


def _objectives(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(OBJECTIVES) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text} is not {' or '.join(OBJECTIVES)}, nor both with a comma")
    return names


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
