"""What a reproduction adds to single studies: trials that another study ran already, and one page about all of them."""

import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic import whole_file

if TYPE_CHECKING:
    from harness.cli.options import Options
    from harness.study import Study

REPORT_NAME = "reproduction.md"
ERRORS_STUDY = "analyse_errors"
"""Whose trials are analysed after it."""


def adopt(study: "Study", options: "Options") -> int:
    """Copy finished rows of a study's trials from other studies' folders into its own; return how many.

    A trial is its config and seed, whichever study asked for it. A copied row keeps where it comes from (command line,
    commit, times); its detections come along, so that its errors can be analysed.
    """
    from harness.cli.plan import make_plan
    from harness.cli.terminal import Terminal
    from harness.tables import write_row

    if options.storage:
        return 0
    try:
        plan = make_plan(study, options, Terminal(json=False, quiet=True), prepare=False)
    except (ValueError, OSError):
        # Whatever is wrong, the study itself says it.
        return 0
    missing = {trial.digest: plan.name(trial) for trial in plan.missing(plan.rows())}
    adopted = 0
    for folder in sorted(path for path in options.results.glob("*") if path.is_dir() and path != plan.folder):
        for row in _finished(folder, missing):
            detections = Path("work") / row["digest"] / "detections.json"
            if (folder / detections).is_file():
                (plan.folder / detections).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / detections, plan.folder / detections)
            write_row(plan.folder, {**row, "study": study.name, "trial": missing.pop(row["digest"]), "attempt": 1})
            adopted += 1
    return adopted


def analyse_errors(folder: Path) -> None:
    """Set the errors of a study's arms side by side and draw them, as `tadscale errors` does."""
    from harness.cli.commands import errors

    try:
        errors.run(Namespace(folder=folder, by="model.tuning", plot=folder / "plots", videos=2, json=False))
    except ValueError as mistake:
        # Rows that came from elsewhere can lack their detections; the other studies do not need them.
        print(f"the errors of {folder.name} were not analysed: {mistake}", file=sys.stderr)


def write_reproduction(studies: Sequence["Study"], results: Path) -> Path:
    """Write one page about every study that has results: conclusions, the paper's tables, figures, reports."""
    from harness.analysis.export import to_markdown, write_tables
    from harness.analysis.paper.claims import claims_table
    from harness.analysis.paper_table import study_tables
    from harness.tables import latest, load

    rows_of: dict[str, list[dict[str, Any]]] = {}
    sections: list[str] = []
    for study in {study.name: study for study in studies}.values():
        folder = results / study.name
        if not any(folder.glob("*.parquet")):
            continue
        rows = rows_of[study.name] = latest(load(folder)).to_pylist()
        tables = study_tables(study.name, rows)
        write_tables(tables, folder / "tables")
        pictures = sorted((folder / "plots").glob("map_over_x.png"))
        errors = [folder / "tables" / "errors.md"] if study.name == ERRORS_STUDY else []
        sections += [
            f"## {study.title}",
            _links(study.name, folder, rows),
            *(to_markdown(table) for table in tables),
            *(path.read_text(encoding="utf-8") for path in errors if path.is_file()),
            *(f"![{study.title}]({path.relative_to(results)})" for path in pictures),
        ]
    head = ["# Every study", to_markdown(claims_table(rows_of))]
    with whole_file(results / REPORT_NAME) as temporary:
        temporary.write_text("\n\n".join([*head, *sections]) + "\n", encoding="utf-8")
    return results / REPORT_NAME


def _finished(folder: Path, wanted: dict[str, str]) -> list[dict[str, Any]]:
    from harness.tables import best, load

    if not wanted or not any(folder.glob("*.parquet")):
        return []
    rows = best(load(folder)).to_pylist()
    maps = ("map_at", "ap", "versions")
    return [
        {**row, **{name: dict(row[name]) for name in maps if row.get(name)}} for row in rows if row["digest"] in wanted
    ]


def _links(name: str, folder: Path, rows: Sequence[dict[str, Any]]) -> str:
    states: dict[str, int] = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    ends = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
    report = f"; [report]({name}/report.html)" if (folder / "report.html").is_file() else ""
    return f"{len(rows)} trials: {ends}{report}"
