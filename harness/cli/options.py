"""The options every study has (design.md part 4); scripts depend on them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.cli.arguments import DEFAULT_CACHE_BYTES, Parser, UserError, study_parser
from harness.config import NAMED, parse_value
from harness.data.guard import BATCH_TIMEOUT_S
from harness.study import Fidelity, Grid, Search, Study


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
    batch_timeout: float = BATCH_TIMEOUT_S
    """Seconds without a batch, or a sign of one, after which a trial has failed."""
    overrides: tuple[tuple[str, str], ...]
    seeds: int | None
    memory_budget: int | None
    device: str | None
    workers: int
    slots: Literal["warm", "fresh"] | None
    search: Search
    """The study's own, with what the command line changes."""
    validate_every: int = 0
    """Score the test subset after every n-th epoch; 0: at the end only."""
    exclusive: bool | None
    """None: what the study says."""
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
    price: float | None = None
    """Of all machines for an hour."""


def read_options(study: Study, argv: Sequence[str]) -> Options:
    """Parse a study's arguments.

    Raises:
        UserError: an unknown option or an impossible value.
    """
    parser: Parser = study_parser(study)
    given = parser.parse_args(argv)
    quick_wanted = given.quick or given.preset == "quick"
    if given.quick and given.preset not in (None, "tiny", "quick"):
        raise UserError(f"--quick is the short form of --preset tiny and does not go with --preset {given.preset}")
    on = given.on or _own_dataset(study, given.preset)
    if on != "synthetic" and given.data_root is None and not given.dry_run:
        raise UserError(f"--on {on} needs --data-root DIR, the folder that holds the videos and annotations.json")
    if given.device not in (None, "cpu", "cuda") and not given.dry_run:
        raise UserError(f"--device is {given.device}, expected cpu or cuda; a card's name goes with --dry-run")
    results, storage = _places(given.results, given.storage)
    search = _search(study.search, given)
    return Options(
        on=on,
        preset="quick" if quick_wanted else given.preset or default_preset(on, given.weights),
        data_root=given.data_root,
        weights=given.weights,
        features=given.features,
        class_scores=given.class_scores,
        cache_size=given.cache_size,
        batch_timeout=given.batch_timeout,
        overrides=tuple(split_setting(text) for text in given.set),
        seeds=given.seeds,
        memory_budget=given.memory_budget,
        device=given.device,
        workers=given.workers,
        slots=given.slots,
        search=search,
        validate_every=given.validate_every or int(search.scheduler != "none" and search.scheduler_metric == "map"),
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
        price=given.price_per_hour,
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
        from harness.tables.storage import place_of

        place_of(storage)  # a scheme that nobody knows is said before anything is made
    return Path(results or "results"), storage


def _search(search: Search, given: argparse.Namespace) -> Search:
    changes: dict[str, Any] = {"method": given.search} if given.search else {}
    changes |= {"scheduler": given.scheduler} if given.scheduler else {}
    changes |= {"scheduler_metric": given.scheduler_metric} if given.scheduler_metric else {}
    if given.scheduler_metric and (given.scheduler or search.scheduler) == "none":
        raise UserError(
            f"--scheduler-metric is {given.scheduler_metric}, but nobody ends trials early; expected --scheduler asha "
            "or median"
        )
    for name, value in (("samples", given.samples), ("objectives", given.objective)):
        if value is not None and (given.search or search.method) == "grid":
            option = f"--{name.removesuffix('s') if name == 'objectives' else name}"
            raise UserError(
                f"{option} is given, but --search is grid, which runs every trial; expected random or optuna"
            )
        changes |= {} if value is None else {name: value}
    if (given.search or search.method) != "grid" and (given.seeds or 1) > 1:
        raise UserError(f"--seeds is {given.seeds}, but a search runs each point once; expected --search grid")
    return replace(search, **changes, fidelity=_fidelity(search, given))


def _fidelity(search: Search, given: argparse.Namespace) -> Fidelity | None:
    fidelity: Fidelity | None = given.fidelity or search.fidelity
    if fidelity is None:
        if given.eta is not None:
            raise UserError(f"--eta is {given.eta}, but there is no ladder; expected --fidelity PATH=V,V[,V...]")
        return None
    if (given.seeds or 1) > 1:
        raise UserError(f"--seeds is {given.seeds}, but --fidelity runs each point once per value; expected one seed")
    if fidelity.path in {path for path, _ in map(split_setting, given.set)}:
        raise UserError(f"{fidelity.path} is given with --fidelity and with --set, expected one of them")
    return fidelity if given.eta is None else replace(fidelity, eta=given.eta)


def _own_dataset(study: Study, preset: str | None) -> str:
    """Return the data set that a preset is written for; without one, what a laptop makes."""
    return study.presets[preset].base.data.name if preset and preset in study.presets else "synthetic"


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


def split_setting(text: str) -> tuple[str, str]:
    """Return path and value of a `--set`.

    Raises:
        UserError: there is no path or no value.
    """
    path, sign, value = text.partition("=")
    if not sign or not path or not value:
        raise UserError(f"--set is {text}, expected PATH=VALUE[,VALUE...]")
    return path, value
