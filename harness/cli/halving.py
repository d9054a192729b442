"""A study on a ladder (`--fidelity`): every point cheaply, the best ones dearly.

options + grid -> rungs -> (rows -> who has climbed so far) -> trials on Ray -> rows, and points in the Optuna file
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.cli.plan import Plan
from harness.cli.running import JobMaker, Ran, considering, predict, say_where_to_look, telling, trials_at
from harness.cli.terminal import Terminal
from harness.orchestrate.fidelity import rung_sizes, rungs
from harness.study import Fidelity, Trial
from harness.tables.query import latest, load
from harness.tables.storage import place_of
from harness.units import counted

if TYPE_CHECKING:
    from harness.orchestrate.history import History
    from harness.orchestrate.space import Space

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """How far a ladder has been climbed, by the tables."""

    plan: Plan
    """With the trials of the rungs that have begun."""
    rungs: tuple[tuple[Trial, ...], ...]
    """These trials, rung by rung."""
    complete: bool
    rows: Mapping[str, Row]


def run_halving(plan: Plan, columns: Mapping[str, Any], terminal: Terminal) -> Ran:
    """Run the rungs of the ladder, each once the one below has ended."""
    from harness.orchestrate.halving import Halving
    from harness.orchestrate.listed import ListedSource
    from harness.orchestrate.points import PointSource
    from harness.orchestrate.run import run_source

    search, fidelity = plan.options.search, _fidelity(plan)
    spaces = _spaces(plan)
    histories = _histories(plan, spaces)
    before = climbed(plan)
    terminal.note(in_words(plan))
    stopped = False
    if before.complete:
        terminal.note(f"all rungs are done, {counted(len(before.plan.trials), 'trial')}; --fresh runs them again")
    else:
        say_where_to_look(plan, terminal)
        points = _num_points(plan, spaces)
        if search.method == "grid":
            # Their predictions are made at once and found again when their turn comes.
            predict(plan, [trial for _, trial in spaces[0].listed()], terminal)

        def note(rung: int, params: Mapping[str, Any], row: Row) -> None:
            histories[rung].note(params, row, budget_bytes=plan.budget_bytes)

        def source(decide: Any) -> Halving:
            first = (
                ListedSource(spaces[0].listed(), decide, lambda params, row: note(0, params, row))
                if search.method == "grid"
                else PointSource(histories[0], decide, budget_bytes=plan.budget_bytes)
            )
            return Halving(spaces, first, decide, eta=fidelity.eta, note=note)

        stopped = run_source(
            source,
            considering(plan, columns, terminal),
            options=JobMaker(plan, columns, terminal).how,
            total=sum(rung_sizes(points, len(spaces), fidelity.eta)),
            done_before=len(before.plan.trials) - len(before.plan.missing(before.rows)),
            epochs=max(space.grid.base.training.epochs for space in spaces),
            telling=telling(plan, terminal),
        )
    after = climbed(plan)
    for line in _what_climbed(after, fidelity):
        terminal.note(line)
    return Ran(plan=after.plan, rows=after.rows, stopped=stopped and not after.complete, wanted=len(after.plan.trials))


def in_words(plan: Plan) -> str:
    """Return what the ladder does, in one line."""
    fidelity = _fidelity(plan)
    sizes = rung_sizes(_num_points(plan, _spaces(plan)), len(fidelity.values), fidelity.eta)
    steps = [f"{size} at {value:g}" for size, value in zip(sizes, fidelity.values, strict=True)]
    return (
        f"successive halving over {fidelity.path}: at most {', then the best '.join(steps)} "
        f"(one in {fidelity.eta} climbs, by mAP)"
    )


def climbed(plan: Plan) -> Climbed:
    """Return which rungs have begun and with which trials, as the rows say; nothing is run or written."""
    from harness.orchestrate.halving import Halving
    from harness.orchestrate.history import FILE
    from harness.orchestrate.jobs import Job
    from harness.orchestrate.listed import ListedSource
    from harness.orchestrate.sources import LATER

    search, spaces, rows = plan.options.search, _spaces(plan), _rows(plan)
    points, all_drawn = list(spaces[0].listed()), True
    if search.method != "grid":
        told = _histories(plan, spaces)[0].told if (plan.folder / FILE).is_file() else []
        points = [(point.params, trial) for point in told for trial in trials_at(spaces[0], point.params)]
        all_drawn = len(told) >= search.samples

    def consider(trial: Trial) -> Any:
        row = rows.get(trial.digest)
        if row is None or replace(plan, trials=(trial,)).missing({trial.digest: row}):
            return Job(digest=trial.digest, name="", payload={})
        return row

    first = ListedSource(points, consider, lambda params, row: None)
    ladder = Halving(spaces, first, consider, eta=_fidelity(plan).eta, note=lambda rung, params, row: None)
    while all_drawn and ladder.next() not in (None, LATER):
        pass
    trials = [trial for rung in ladder.trials for trial in rung]
    return Climbed(
        plan=replace(plan, trials=tuple(trials)),
        rungs=ladder.trials,
        complete=ladder.complete,
        rows={trial.digest: rows[trial.digest] for trial in trials if trial.digest in rows},
    )


def _what_climbed(found: Climbed, fidelity: Fidelity) -> list[str]:
    """Return a line per rung that has ended trials: how many there are, and the best."""
    lines = []
    for value, trials in zip(fidelity.values, found.rungs, strict=False):
        scores = [
            (found.rows[trial.digest]["map_avg"], trial)
            for trial in trials
            if trial.digest in found.rows and found.rows[trial.digest]["state"] == "finished"
        ]
        if scores:
            score, best = max(scores, key=lambda scored: scored[0])
            lines.append(
                f"{fidelity.path} {value:g}: {counted(len(trials), 'trial')}, the best has {100 * score:.1f} % mAP "
                f"({found.plan.name(best)})"
            )
    return lines


def _fidelity(plan: Plan) -> Fidelity:
    fidelity = plan.options.search.fidelity
    assert fidelity is not None
    return fidelity


def _spaces(plan: Plan) -> "list[Space]":
    from harness.orchestrate.space import Space

    search, path = plan.options.search, _fidelity(plan).path
    search = replace(search, ranges={axis: bounds for axis, bounds in search.ranges.items() if axis != path})
    return [Space(rung, search) for rung in rungs(plan.grid)]


def _histories(plan: Plan, spaces: "Sequence[Space]") -> "list[History]":
    from harness.orchestrate.history import History

    fidelity = _fidelity(plan)
    names = [f"{fidelity.path}={value:g}" for value in fidelity.values]
    return [History(plan.folder, space, rung=name) for space, name in zip(spaces, names, strict=True)]


def _num_points(plan: Plan, spaces: "Sequence[Space]") -> int:
    search = plan.options.search
    return search.samples if search.method != "grid" else sum(1 for _ in spaces[0].listed())


def _rows(plan: Plan) -> dict[str, Row]:
    """Return the latest row of every trial of the study: a search may have drawn some that the grid does not list."""
    if not place_of(plan.tables).is_folder:
        return {}
    return {row["digest"]: row for row in latest(load(plan.tables)).to_pylist()}
