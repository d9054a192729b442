"""From a plan to rows: every listed trial that lacks one, or the points that a search draws.

trial + prediction + row --> answered (done, or too large) or a job --Ray--> row, and a point in the Optuna file
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cli.looking import where_to_look
from harness.cli.options import UserError
from harness.cli.plan import Plan, cache_dir
from harness.cli.terminal import Terminal
from harness.study import Trial
from harness.units import counted, format_bytes

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run leaves behind."""

    plan: Plan
    """With the trials that a search drew, if it was one."""
    rows: Mapping[str, Row]
    stopped: bool
    """Whether Ctrl-C ended it."""
    wanted: int
    """Trials that were asked for."""


def run_grid(plan: Plan, columns: Mapping[str, Any], terminal: Terminal) -> Ran:
    """Run the listed trials that have no row that counts."""
    from harness.orchestrate.history import History
    from harness.orchestrate.run import run_trials
    from harness.orchestrate.space import Space
    from harness.trial import TrialJob

    rows = plan.rows()
    missing = plan.missing(rows)
    space = Space(plan.grid, plan.options.search)
    points = {trial.digest: params for params, trial in space.listed()}
    history = History(plan.folder, space)

    noting = True

    def note(row: Row) -> None:
        nonlocal noting
        try:
            if noting:
                history.note(points[row["digest"]], row, budget_bytes=plan.budget_bytes)
        except OSError as failure:
            # The rows are in the tables. The file may end in half a line now, which the next start cuts off.
            noting = False
            terminal.note(f"the Optuna file is left as it is until the next start: {failure}")

    stopped = False
    if missing:
        done = len(plan.trials) - len(missing)
        terminal.note(f"{counted(len(plan.trials), 'trial')}, {done} done before, {len(missing)} to run")
        predicted = predict(plan, missing, terminal)
        maker = JobMaker(plan, columns, terminal)
        made = [maker.make(trial, predicted[trial.digest], rows.get(trial.digest)) for trial in missing]
        # Nothing long is left for the end; but every point is seen with one seed before any with two.
        work = {digest: found.flops for digest, found in predicted.items()}
        jobs = sorted(
            (job for job in made if isinstance(job, TrialJob)),
            key=lambda job: (job.config.seed, -work[job.digest] * job.config.training.epochs),
        )
        if jobs:
            say_where_to_look(plan, terminal)
            stopped = run_trials(
                jobs,
                options=maker.how,
                done_before=len(plan.trials) - len(jobs),
                telling=replace(telling(plan, terminal), on_row=note),
            )
        rows = plan.rows()
    else:
        terminal.note(f"all {len(plan.trials)} trials are done; --fresh runs them again")
    for row in rows.values():
        note(row)
    return Ran(plan=plan, rows=rows, stopped=stopped, wanted=len(plan.trials))


def run_search(plan: Plan, columns: Mapping[str, Any], terminal: Terminal) -> Ran:
    """Draw points and run them until there are as many as were asked for."""
    from harness.orchestrate.history import History
    from harness.orchestrate.run import run_points
    from harness.orchestrate.space import Space

    search = plan.options.search
    history = History(plan.folder, Space(plan.grid, search))
    told, stopped = len(history.told), False
    if told < search.samples:
        axes = ", ".join(history.space.distributions)
        terminal.note(f"{search.method} search over {axes}: {told} of {search.samples} points done before")
        say_where_to_look(plan, terminal)
        stopped = run_points(
            history,
            considering(plan, columns, terminal),
            options=JobMaker(plan, columns, terminal).how,
            budget_bytes=plan.budget_bytes,
            telling=telling(plan, terminal),
        )
    else:
        terminal.note(f"all {search.samples} points are done; --samples N draws more, --fresh begins anew")
    plan = drawn(plan)
    return Ran(plan=plan, rows=plan.rows(), stopped=stopped, wanted=search.samples)


def telling(plan: Plan, terminal: Terminal) -> Any:
    """Return where a study on Ray says what happens."""
    from harness.orchestrate.telling import Telling

    return Telling(
        folder=plan.folder.resolve(), console=terminal.console, quiet=terminal.quiet, describe=plan.grid.describe
    )


def say_where_to_look(plan: Plan, terminal: Terminal) -> None:
    """Note what shows the study from another terminal."""
    for line in where_to_look(plan.folder):
        terminal.note(line)


def drawn(plan: Plan) -> Plan:
    """Return the plan with the trials that its search has drawn so far; a grid's are all there from the start."""
    from harness.orchestrate.history import FILE, History
    from harness.orchestrate.space import Space

    if plan.options.search.fidelity is not None:
        from harness.cli.halving import climbed

        return climbed(plan).plan
    if plan.options.search.method == "grid" or not (plan.folder / FILE).is_file():
        return plan
    space = Space(plan.grid, plan.options.search)
    trials = {
        trial.digest: trial for point in History(plan.folder, space).told for trial in trials_at(space, point.params)
    }
    return replace(plan, trials=tuple(trials.values()))


def trials_at(space: Any, params: Mapping[str, Any]) -> list[Trial]:
    """Return the trial at a point that was drawn, or none if its values do not fit each other."""
    try:
        return [space.trial(params)]
    except ValueError:
        return []  # the point was drawn and refused: its values do not fit each other


def considering(plan: Plan, columns: Mapping[str, Any], terminal: Terminal) -> Callable[[Trial], Any]:
    """Return what decides about a drawn trial; it is called in Tune's thread, one trial at a time."""
    maker = JobMaker(plan, columns, terminal)

    def consider(trial: Trial) -> Any:
        one = replace(plan, trials=(trial,))
        rows = one.rows()
        row = rows.get(trial.digest)
        if row is not None and not one.missing(rows):
            return row
        (prediction,) = predict(one, (trial,), Terminal(json=plan.options.json, quiet=True)).values()
        return maker.make(trial, prediction, row)

    return consider


def predict(plan: Plan, trials: Sequence[Trial], terminal: Terminal) -> dict[str, Any]:
    """Return each trial's engine policy with its predicted memory, by digest."""
    from harness.memory.plan import plan_all

    with terminal.stage("predicting memory") as progress:
        choices = plan_all(
            [trial.config for trial in trials],
            plan.budget_bytes,
            cache_dir() / "predictions",
            progress,
            workers=plan.options.workers,
            device=plan.device,
        )
    return {trial.digest: choice for trial, choice in zip(trials, choices, strict=True)}


def margin(plan: Plan, *, gpu: bool) -> float:
    """Return the factor on predicted bytes that the study's finished trials teach."""
    from harness.orchestrate.margin import learnt_margin

    measured = "peak_reserved_bytes" if gpu else "peak_bytes"
    rows = [row for row in plan.rows().values() if row["state"] == "finished"]
    return learnt_margin([(row["predicted_peak_bytes"] or 0, row[measured]) for row in rows if row[measured]])


class JobMaker:
    """Turns trials into jobs; what cannot fit gets its row at once."""

    def __init__(self, plan: Plan, columns: Mapping[str, Any], terminal: Terminal) -> None:
        """Know the plan, and the columns that the driver alone knows."""
        self._plan = plan
        self._columns = columns
        self._terminal = terminal
        self._gpu = plan.device.name != "cpu"
        if plan.options.exclusive and not self._gpu:
            raise UserError("--exclusive is given, but the trials run on the cpu; expected --device cuda")
        wanted = plan.study.measures == "memory" if plan.options.exclusive is None else plan.options.exclusive
        # On a CPU there is no card to be had; there a trial's memory is counted in its own process.
        self._exclusive = wanted and self._gpu
        self._margin = margin(plan, gpu=self._gpu)

    @property
    def how(self) -> Any:
        """How the trials run."""
        from harness.orchestrate.run import SweepOptions

        options = self._plan.options
        return SweepOptions(
            slots=options.slots or ("fresh" if self._gpu else "warm"),
            workers=options.workers,
            gpus_per_worker=1.0 if self._gpu else 0.0,
            max_concurrent=options.max_concurrent,
            address=options.address or os.environ.get("RAY_ADDRESS"),
            scheduler=options.search.scheduler,
            metric=options.search.scheduler_metric if options.validate_every else "loss",
            margin=self._margin,
            exclusive=self._exclusive,
            shared_folder=options.storage is None,
            inputs=self.inputs,
            price=options.price,
        )

    def inputs(self) -> list[Path]:
        """Return files that every machine must have: what any trial of the grid may read, and some of the videos."""
        from harness.data.index import load_index

        options, sources = self._plan.options, self._plan.sources
        assert sources is not None
        files = [*sources.weights.values(), options.features, options.class_scores]
        files += [sources.dataset] if options.storage is None else []
        videos = load_index(sources.dataset).videos if options.features is None else ()
        files += [videos[round(at * (len(videos) - 1))].path for at in (0, 0.5, 1)] if videos else []
        return sorted({path.resolve() for path in files if path is not None})

    def make(self, trial: Trial, prediction: Any, row: Row | None) -> Any:
        """Return the trial's job, or the row that says that it is too large."""
        from harness.trial import ended_without_row

        job = self._job(trial, prediction, row)
        if prediction.fits:
            return job
        budget = format_bytes(self._plan.budget_bytes)
        reason = f"predicted to need {format_bytes(prediction.peak_bytes)}, more than {budget}"
        self._terminal.note(f"{job.name}: too large, {reason}")
        return ended_without_row(job, "too_large", reason)

    def _job(self, trial: Trial, prediction: Any, row: Row | None) -> Any:
        from harness.trial import TrialJob

        plan, options, sources = self._plan, self._plan.options, self._plan.sources
        assert sources is not None
        weights = sources.weights[trial.config.model.backbone.name]
        return TrialJob(
            study=plan.study.name,
            name=plan.name(trial),
            config=trial.config,
            attempt=1 + (row["attempt"] if row else 0),
            results=plan.folder.resolve(),
            dataset=sources.dataset.resolve(),
            weights=weights.resolve() if weights else None,
            device="cuda" if self._gpu else "cpu",
            threads=1,
            data_workers=4 if self._gpu else 0,
            predicted_peak_bytes=prediction.peak_bytes,
            predicted_host_bytes=prediction.host_bytes,
            engine=prediction.engine,
            slot=self.how.slots,
            cache_bytes=options.cache_size,
            validate_every=options.validate_every,
            batch_timeout_s=options.batch_timeout,
            features=options.features.resolve() if options.features else None,
            class_scores=options.class_scores.resolve() if options.class_scores else None,
            provenance={**self._columns, "flops": float(prediction.flops) or None},
            tables=plan.tables if isinstance(plan.tables, str) else None,
        )
