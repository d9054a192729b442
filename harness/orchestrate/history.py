"""A study's Optuna file: every point with its end, whoever chose it, so that optuna-dashboard shows everything.

The rows of the results tables are the truth. This file adds what they lack: which points a search has drawn, in which
order, and what it was told of them.

    finished                         its values
    too_large, out_of_memory         pruned, with a violated constraint: infeasible, which is not a bad score
    stopped_early                    pruned; a search for mAP alone has its mAP, or its losses (negated), by epoch
    failed                           failed, and another point is drawn for it
    interrupted                      nothing: it stays under way, and the next start draws it first
"""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.orchestrate.space import Space
from harness.study import OBJECTIVES, Search

FILE = "optuna.log"
"""In the study's folder; `optuna-dashboard results/<study>/optuna.log`."""
FITS = "fits"
"""Name of the constraint: at most 0 where the trial fits into memory."""
DIRECTIONS = {"map_avg": StudyDirection.MAXIMIZE, "peak_bytes": StudyDirection.MINIMIZE}
INFEASIBLE = frozenset({"too_large", "out_of_memory"})
UNSCORED = INFEASIBLE | {"stopped_early"}
TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


class History:
    """The points of one space in the study's Optuna file."""

    def __init__(self, folder: Path, space: Space, *, rung: str = "") -> None:
        """Open the file, or begin it; its folder is the study's, whose lock the driver holds.

        `rung` is that of a ladder which the space is, in words.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        file = str(folder / FILE)
        _drop_torn_line(folder / FILE)
        search = space.search
        self.space = space
        self._objectives = OBJECTIVES if search.method == "grid" else search.objectives
        self._distributions = space.distributions
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(file, lock_obj=JournalFileOpenLock(file))),
            study_name=f"{folder.name} {space.name}" + (f" {rung}" if rung else ""),
            directions=[DIRECTIONS[name] for name in self._objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # called experimental
            self._study.set_metric_names(list(self._objectives))
        # A start that goes on must not draw the first points once more.
        self._study.sampler = _sampler(search, seed=space.grid.seeds[0] + len(self._study.trials))
        ended = self._study.get_trials(deepcopy=False, states=(*TOLD, TrialState.FAIL))
        self._noted = {(trial.user_attrs.get("digest"), trial.user_attrs.get("state")) for trial in ended}

    @property
    def told(self) -> list[FrozenTrial]:
        """Points whose end is known, in the order in which they were drawn."""
        return self._study.get_trials(deepcopy=False, states=TOLD)

    @property
    def num_drawn(self) -> int:
        """Points that were drawn and have not failed."""
        return len(self._study.get_trials(deepcopy=False, states=(*TOLD, TrialState.RUNNING)))

    def resume(self) -> None:
        """Put the points that an earlier driver left under way before all new ones."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def draw(self) -> optuna.Trial:
        """Return the next point."""
        return self._study.ask(self._distributions)

    def watch(self, point: optuna.Trial, epoch: int, value: float) -> None:
        """Note how good a point is so far, more being better; Optuna takes that for a single objective only."""
        if len(self._objectives) == 1 and math.isfinite(value):
            point.report(value, epoch)

    def tell(self, point: optuna.Trial, row: Mapping[str, Any], *, budget_bytes: int | None = None) -> None:
        """Say what became of a point, by the core columns of its row."""
        if row["state"] == "interrupted":
            return
        for name, value in _attributes(row).items():
            point.set_user_attr(name, value)
        point.set_constraint(FITS, violation(row, budget_bytes))
        state, values = self._end(row)
        self._study.tell(point, values, state=state)
        self._noted.add((row["digest"], row["state"]))

    def note(self, params: Mapping[str, Any], row: Mapping[str, Any], *, budget_bytes: int | None = None) -> None:
        """Add a point that no search has drawn, once its end is known; the same end of the same trial only once."""
        if (row["digest"], row["state"]) in self._noted or row["state"] == "interrupted":
            return
        state, values = self._end(row)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values,
                params=dict(params),
                distributions=self._distributions,
                user_attrs=_attributes(row),
                constraints={FITS: violation(row, budget_bytes)},
            )
        )
        self._noted.add((row["digest"], row["state"]))

    def _end(self, row: Mapping[str, Any]) -> tuple[TrialState, list[float] | None]:
        values = [row.get(name) for name in self._objectives]
        if row["state"] == "finished" and None not in values:
            return TrialState.COMPLETE, [float(value) for value in values if value is not None]
        return (TrialState.PRUNED if row["state"] in UNSCORED else TrialState.FAIL), None


def _drop_torn_line(file: Path) -> None:
    """Cut off a last line that a full disk or a kill left unfinished; appended to, Optuna could read it never again."""
    if not file.is_file():
        return
    with file.open("r+b") as log:
        content = log.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            log.truncate(whole)


def violation(row: Mapping[str, Any], budget_bytes: int | None) -> float:
    """Return by what share a trial does not fit into memory; at most 0 where it does."""
    if row["state"] not in INFEASIBLE:
        return 0.0
    predicted = row.get("predicted_peak_bytes") or 0
    # A trial that ran out of memory was predicted to fit; by how much it does not is not known.
    return max(predicted / budget_bytes - 1 if budget_bytes else 0.0, 0.01)


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        *("digest", "trial", "state", "error", "map_avg", "peak_bytes", "predicted_peak_bytes"),
        *("promoted_from", "promoted_with"),
    )
    return {name: row[name] for name in names if row.get(name) is not None}


def _sampler(search: Search, *, seed: int) -> BaseSampler:
    if search.method == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar is called experimental
        # Points under way count as bad, so that trials that run side by side are not all the same.
        return TPESampler(seed=seed, constant_liar=True, n_startup_trials=max(4, search.samples // 4))
