"""What a study says when it has run: tables on the terminal, curves in words, pictures."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.analysis.console import trial_table
from harness.analysis.export import to_markdown, write_tables
from harness.analysis.fits import PowerLaw, Refused, fit_linear_memory, fit_lines
from harness.analysis.names import short_name
from harness.analysis.paper.law import LAW_STUDY, Law, fit_law
from harness.analysis.paper_table import study_tables
from harness.analysis.summary import Comparison, Group, compare, extremes, summarise, varying
from harness.cli.plan import Plan
from harness.cli.terminal import Terminal
from harness.tables.storage import place_of
from harness.units import format_seconds

COLUMNS = {
    "model.backbone": "model.backbone.name",
    "model.head": "model.head.kind",
    "model.representation": "model.representation.kind",
}
"""Where a whole branch is an axis, the column that names it."""
CURVE_PICTURE = "map_over_x.png"
ROW_KEYS = (
    *("digest", "trial", "attempt", "seed", "state", "error", "map_avg", "map_at"),
    *("peak_bytes", "predicted_peak_bytes", "memory_source", "step_seconds", "total_seconds"),
    *("params_total", "params_trainable"),
)
"""Columns of a row that `--json` prints, besides the axes."""


def column(path: str) -> str:
    """Return the results column that tells the values of an axis apart."""
    return COLUMNS.get(path, path)


def show_summary(plan: Plan, rows: Mapping[str, Mapping[str, Any]], terminal: Terminal, *, seconds: float) -> None:
    """End a study: the table, the curves in words, where pictures and tables are, and a query to try."""
    ordered = [rows[trial.digest] for trial in plan.trials if trial.digest in rows]
    drawn = [column(path) for path in (plan.study.x, plan.study.by) if path]
    axes = varying(ordered, map(column, plan.grid.paths), kept=drawn)
    groups = summarise(ordered, axes)
    fits = fit_lines(groups, column(plan.study.x))
    comparison = _largest_against_smallest(groups, ordered)
    pictures = _pictures(plan, ordered, groups, fits) if any(group.map_avg for group in groups) else []
    report = _report(plan) if pictures else None
    query = _query(plan)
    if plan.options.json:
        document = _document(plan, ordered, groups, fits, comparison, pictures, report, query, seconds)
        print(json.dumps(document, indent=1, default=str))
        return
    papers = study_tables(plan.study.name, ordered)
    terminal.console.print(trial_table(groups, title=plan.study.title))
    for sentence in _sentences(plan, ordered, fits, comparison):
        terminal.say(sentence)
    for table in papers:
        terminal.say(to_markdown(table))
    for path in write_tables(papers, plan.folder / "tables") if papers else ():
        terminal.say(f"table:   {path}")
    for path in pictures:
        terminal.say(f"picture: {path}")
    if report:
        terminal.say(f"report:  {report}")
    terminal.say(f"tables:  {place_of(plan.tables)}/*.parquet (columns: results/README.md)")
    for row in ordered:
        if row["state"] in ("failed", "out_of_memory", "too_large"):
            terminal.say(f"{row['state'].replace('_', ' ')}: {row['trial']}: {row['error']}")
    terminal.say(f"took {format_seconds(seconds)}; try: {query}")


def _largest_against_smallest(groups: tuple[Group, ...], rows: list[Mapping[str, Any]]) -> Comparison | None:
    ends = extremes(groups)
    return compare(rows, *ends) if ends else None


def _sentences(
    plan: Plan, rows: list[Mapping[str, Any]], fits: Mapping[str, PowerLaw | Refused], comparison: Comparison | None
) -> list[str]:
    sentences = _of_curves(fits)
    if comparison:
        sentences.append(comparison.in_words())
    off = [
        abs(row["predicted_peak_bytes"] / row["peak_bytes"] - 1)
        for row in rows
        if row["peak_bytes"] and row["predicted_peak_bytes"]
    ]
    if off:
        sentences.append(f"memory was predicted within {100 * max(off):.2f} % on all {len(off)} trials")
    memory = _memory_law(plan, rows)
    return [*sentences, *([memory] if memory else [])]


def _of_curves(fits: Mapping[str, PowerLaw | Refused]) -> list[str]:
    """Return each curve in words; where there is none for one reason, that reason once and what to look at."""
    reasons = {fit.reason if isinstance(fit, Refused) else None for fit in fits.values()}
    if len(reasons) == 1 and None not in reasons:
        return [f"{reasons.pop()}; the means are in {CURVE_PICTURE}"]
    return [f"{line}: {fit.in_words()}" if line else fit.in_words() for line, fit in fits.items()]


def _memory_law(plan: Plan, rows: list[Mapping[str, Any]]) -> str | None:
    """Return how memory grows with the number of pixels in a window, where only frames and resolution vary."""
    frames, resolution = "data.window.frames", "data.window.resolution"
    if not set(map(column, plan.grid.paths)) <= {frames, resolution}:
        return None
    measured = [row for row in rows if row["peak_bytes"]]
    pixels = [row[frames] * row[resolution] ** 2 / 1e6 for row in measured]
    if len(set(pixels)) < 3:
        return None
    return fit_linear_memory(pixels, [row["peak_bytes"] for row in measured], x_name="million pixels").in_words()


def _pictures(
    plan: Plan, rows: list[Mapping[str, Any]], groups: tuple[Group, ...], fits: Mapping[str, PowerLaw | Refused]
) -> list[Path]:
    from harness.analysis.plots import plot_bubbles, plot_curve

    folder, title = plan.folder / "plots", plan.study.title
    folder.mkdir(parents=True, exist_ok=True)
    curve = plot_curve(groups, folder / CURVE_PICTURE, x=column(plan.study.x), fits=fits, title=title)
    colour_by = column(plan.study.by or plan.study.x)
    bubbles = plot_bubbles(groups, folder / "memory_map_parameters.png", colour_by=colour_by, title=title)
    return [curve, bubbles, *_law_picture(plan, rows)]


def _law_picture(plan: Plan, rows: list[Mapping[str, Any]]) -> list[Path]:
    """Draw what a budget is best spent on, for the study that asks it and where its trials tell."""
    if plan.study.name != LAW_STUDY:
        return []
    from harness.analysis.plots.law import plot_law

    law = fit_law(rows)
    return [plot_law(rows, plan.folder / "plots" / "law.png")] if isinstance(law, Law) and law.paths else []


def _report(plan: Plan) -> Path:
    from harness.analysis.report import write_report
    from harness.analysis.report.write import REPORT_NAME

    study = plan.study
    by = column(study.by) if study.by else None
    (page,) = write_report(plan.tables, plan.folder / REPORT_NAME, title=study.title, x=column(study.x), by=by)
    return page


def _query(plan: Plan) -> str:
    names = {column(path): short_name(column(path)).replace(" ", "_") for path in plan.grid.paths}
    selected = ", ".join(f'"{path}" as {name}' for path, name in names.items())
    order = ", ".join(names.values())
    sql = (
        f"select {selected}, round(100 * avg(map_avg), 1) as map, round(max(peak_bytes) / 2**20, 1) as peak_mib "
        f"from best group by {order} order by map desc"
    )
    return f"uv run tadscale query {shlex.quote(sql)} --results {shlex.quote(str(plan.tables))}"


def _document(
    plan: Plan,
    rows: list[Mapping[str, Any]],
    groups: tuple[Group, ...],
    fits: Mapping[str, PowerLaw | Refused],
    comparison: Comparison | None,
    pictures: list[Path],
    report: Path | None,
    query: str,
    seconds: float,
) -> dict[str, Any]:
    trials = []
    for row in rows:
        values = {name: row[name] for name in ROW_KEYS}
        values["map_at"] = dict(row["map_at"]) if row["map_at"] else None
        trials.append({**values, **{column(path): row[column(path)] for path in plan.grid.paths}})
    return {
        "study": plan.study.name,
        "preset": plan.options.preset,
        "results": str(place_of(plan.tables)),
        "seconds": seconds,
        "trials": trials,
        "settings": [_setting(group) for group in groups],
        "fits": [_fit_document(line, fit) for line, fit in fits.items()],
        "largest_against_smallest": comparison.in_words() if comparison else None,
        "notes": list(plan.sources.notes) if plan.sources else [],
        "pictures": list(map(str, pictures)),
        "report": str(report) if report else None,
        "query": query,
    }


def _setting(group: Group) -> dict[str, Any]:
    return {
        **group.values,
        "map_mean": group.map_avg.mean if group.map_avg else None,
        "map_spread": group.map_avg.spread if group.map_avg else None,
        "spread_kind": group.map_avg.kind if group.map_avg else None,
        "seeds": list(group.seeds),
        "peak_bytes": group.peak_bytes,
        "predicted_peak_bytes": group.predicted_peak_bytes,
        "total_seconds": group.total_seconds,
        "states": group.states,
    }


def _fit_document(line: str, fit: PowerLaw | Refused) -> dict[str, Any]:
    if isinstance(fit, Refused):
        return {"line": line, "refused": fit.reason}
    return {
        "line": line,
        "form": fit.form,
        "b": fit.b,
        "c": fit.c,
        "floor": fit.floor,
        "c_interval": fit.c_interval,
        "interval_refused": fit.interval_refused,
        "num_points": fit.num_points,
        "num_distinct": fit.num_distinct,
        "rmse_log": fit.rmse_log,
        "in_words": fit.in_words(),
    }
