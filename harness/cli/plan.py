"""From options to a plan: which trials there are, on which data and weights, and what is known of each.

study + options --grid--> trials --data, weights--> identities in the configs --rows on disk--> states
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.best_value import MARK, with_best
from harness.cli.cache import cache_dir
from harness.cli.dataset import on_dataset
from harness.cli.offline import on_features
from harness.cli.options import Options, UserError, below, override_grid
from harness.cli.pretrained import pretrained_files, with_identities
from harness.cli.terminal import Terminal
from harness.config import TrialConfig, with_values
from harness.data.datasets import DATASETS
from harness.memory.devices import Device, find_device
from harness.orchestrate.fidelity import ladder
from harness.study import DONE, Grid, Study, Trial
from harness.tables.query import latest, load
from harness.tables.storage import place_of
from models.digest import weights_digest

if TYPE_CHECKING:
    from harness.data.index import Dataset
    from harness.data.synthetic import SyntheticSpec


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the trials read."""

    dataset: Path
    """Index of the data set."""
    weights: Mapping[str, Path | None]
    """Pretrained file per backbone name."""
    notes: tuple[str, ...]
    """What the reader of the results should know: repairs, quarantined videos."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything decided before the first trial starts."""

    study: Study
    options: Options
    grid: Grid
    trials: tuple[Trial, ...]
    device: Device
    sources: Sources | None
    """None in a dry run."""

    @property
    def folder(self) -> Path:
        """The study's folder on this machine: checkpoints, plots, and the tables unless they go elsewhere."""
        return self.options.results / self.study.name

    @property
    def tables(self) -> Path | str:
        """Where the study's tables are: its folder, or a URI below `--storage`."""
        return below(self.options.storage, self.study.name) if self.options.storage else self.folder

    def name(self, trial: Trial) -> str:
        """Return a trial's name for people: its axis values and seed, and its digest where another has the same."""
        name = self._plain_name(trial)
        return f"{name} ({trial.digest[:6]})" if name in self._shared_names else name

    @cached_property
    def _shared_names(self) -> frozenset[str]:
        # Values that are whole branches are shown by their kind: two heads of one kind look the same.
        counts = Counter(map(self._plain_name, self.trials))
        return frozenset(name for name, count in counts.items() if count > 1)

    def _plain_name(self, trial: Trial) -> str:
        return ", ".join(
            f"{path.rsplit('.', 1)[-1]} {value}" for path, value in self.grid.describe(trial.config).items()
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the latest row of every trial of this plan that has one, by digest."""
        if not place_of(self.tables).is_folder:
            return {}
        wanted = {trial.digest for trial in self.trials}
        table = latest(load(self.tables))
        return {row["digest"]: row for row in table.to_pylist() if row["digest"] in wanted}

    @property
    def budget_bytes(self) -> int:
        """Memory that a trial may need."""
        return min(self.options.memory_budget or self.device.usable_bytes, self.device.usable_bytes)

    def missing(self, rows: Mapping[str, Mapping[str, Any]]) -> tuple[Trial, ...]:
        """Return the trials that are still to be run; what was too large is, once the budget allows it."""
        return tuple(trial for trial in self.trials if not self._done(rows.get(trial.digest)))

    def _done(self, row: Mapping[str, Any] | None) -> bool:
        if row is not None and row["state"] == "too_large":
            return row["predicted_peak_bytes"] > self.budget_bytes
        return row is not None and row["state"] in DONE


def make_plan(study: Study, options: Options, terminal: Terminal, *, prepare: bool) -> Plan:
    """Build the plan; with `prepare`, make or check the data and weights first.

    Raises:
        ValueError: the options, the data or the weights do not fit; the message says what was expected.
    """
    if options.preset not in study.presets:
        raise UserError(f"--preset is {options.preset}, but {study.name} has {', '.join(study.presets)}")
    variant = "opentad" if options.preset == "opentad" else "paper"
    scored = options.class_scores is not None
    grid = on_dataset(study.presets[options.preset], DATASETS[options.on], variant, external=scored)
    grid = on_features(grid, options.features)
    grid = _overridden(grid, options, study.presets[options.preset].base.data.name, terminal)
    device = find_device(options.device)
    open_data = _synthetic if options.on == "synthetic" else _given
    grid, sources = open_data(grid, options, options.results / study.name, terminal, prepare)
    return Plan(study=study, options=options, grid=grid, trials=grid.trials(), device=device, sources=sources)


def _overridden(grid: Grid, options: Options, own: str, terminal: Terminal) -> Grid:
    """Apply `--set` and `--seeds`; values that do not fit together fail here, before any data is made."""
    try:
        given = {path: text for path, text in options.overrides if text.startswith(MARK)}
        grid = override_grid(grid, [item for item in options.overrides if item[0] not in given], options.seeds)
        for path, text in given.items():
            grid, lines = _with_best(grid, options, path, text.removeprefix(MARK))
            for line in lines:
                terminal.note(line)
        if options.search.fidelity is not None:
            grid = ladder(grid, options.search.fidelity)
        grid.trials()
    except ValueError as error:
        if "synthetic" in (own, options.on) or own == options.on:
            raise
        hint = f"the study is written for {own}, --set PATH=V changes its values for {options.on}"
        raise UserError(f"{error}; {hint}") from None
    return grid


def _with_best(grid: Grid, options: Options, path: str, study: str) -> tuple[Grid, list[str]]:
    tables = below(options.storage, study) if options.storage else options.results / study
    return with_best(grid, path, study, tables, options.on)


def _synthetic(
    grid: Grid, options: Options, folder: Path, terminal: Terminal, prepare: bool
) -> tuple[Grid, Sources | None]:
    from harness.data.motion import CLASSES
    from harness.data.synthetic import ensure_synthetic

    spec = _spec(options)
    grid = _with(grid, {"data.fingerprint": spec.digest, "data.num_classes": len(CLASSES)})
    grid = with_identities(grid, options)
    if not prepare:
        return grid, None
    root = options.data_root or cache_dir() / "synthetic"
    with terminal.stage("synthetic videos") as progress:
        videos = ensure_synthetic(root, spec, progress)
    dataset, index = _open("synthetic", videos, grid.base, folder, terminal, options.features)
    return grid, Sources(dataset=index, weights=pretrained_files(grid, options, terminal), notes=_notes(dataset))


def _given(
    grid: Grid, options: Options, folder: Path, terminal: Terminal, prepare: bool
) -> tuple[Grid, Sources | None]:
    if not options.data_root:
        return with_identities(grid, options), None
    dataset, index = _open(options.on, options.data_root, grid.base, folder, terminal, options.features)
    grid = _with(grid, {"data.fingerprint": dataset.fingerprint, "data.num_classes": len(dataset.classes)})
    grid = with_identities(grid, options)
    if options.class_scores is not None:
        grid = _with_class_scores(grid, options.class_scores, dataset)
    if not prepare:
        return grid, None
    return grid, Sources(dataset=index, weights=pretrained_files(grid, options, terminal), notes=_notes(dataset))


def _open(
    name: str, root: Path, base: TrialConfig, folder: Path, terminal: Terminal, features: Path | None
) -> "tuple[Dataset, Path]":
    """Check every annotation and video (or file of features) once; return the data set and the workers' index of it."""
    from harness.data.given_features import GivenFeatures
    from harness.data.index import prepare_dataset, save_index
    from harness.data.offline import prepare_offline

    which: dict[str, Any] = {
        "train_subset": base.data.train_subset,
        "test_subset": base.data.test_subset,
        "blocked": base.data.blocked,
        "max_unreadable": base.data.max_unreadable,
    }
    if features is not None:
        given = GivenFeatures.open(features, base.model.backbone.channels)
        dataset = prepare_offline(name, root, given, base.data.window, **which)
    else:
        with terminal.stage("checking videos") as progress:
            dataset = prepare_dataset(name, root, cache_dir() / "indices", progress, **which)
    index = folder / f"dataset-{dataset.fingerprint[:16]}.json"
    save_index(dataset, index)
    return dataset, index


def _with_class_scores(grid: Grid, path: Path, dataset: "Dataset") -> Grid:
    """Put the identity of the class scores into the configs; refuse a file that lacks a test video or a class."""
    from harness.training.infer import check_class_scores

    if not path.is_file():
        raise UserError(f"--class-scores is {path}, expected a file")
    grid = _with(grid, {"detection.external_fingerprint": weights_digest(path)})
    check_class_scores(grid.base, path, dataset)
    return grid


def _notes(dataset: "Dataset") -> tuple[str, ...]:
    """Return what a reader of the results should know of the data: classes, flaws mended, videos left out."""
    spec, found = DATASETS[dataset.name], len(dataset.classes)
    others = [f"{found} classes, but {spec.title} is published with {spec.data.num_classes}: not comparable"]
    mended = [f"annotations: {count} x {rule}" for rule, count in dataset.repairs.items() if count]
    left_out = [f"{bad.video_id} is left out: {bad.reason}" for bad in dataset.quarantined]
    return (*(others if spec.published and found != spec.data.num_classes else ()), *mended, *left_out)


def _with(grid: Grid, values: Mapping[str, Any]) -> Grid:
    return replace(grid, base=with_values(grid.base, values))


def _spec(options: Options) -> "SyntheticSpec":
    from harness.data.synthetic import FULL, QUICK

    return QUICK if options.preset == "quick" else FULL


def provenance(argv: Sequence[str]) -> dict[str, Any]:
    """Return what the driver alone knows about where a row comes from."""
    root = Path(__file__).resolve().parents[2]
    commit = _git(root, "rev-parse", "HEAD")
    return {
        "git_commit": commit,
        "git_dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no")) if commit else None,
        "argv": [Path(sys.argv[0]).name, *argv],
    }


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        return None
    answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
