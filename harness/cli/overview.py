"""What is known of a study's trials before they are run, and while they are: `--dry-run` and `--status`."""

import json
import string
from collections.abc import Mapping
from typing import Any

from harness.analysis.amounts import count_text
from harness.analysis.names import short_name, value_name
from harness.analysis.paper import published_at
from harness.cli.effort import effort
from harness.cli.plan import Plan
from harness.cli.terminal import Terminal
from harness.config import flatten
from harness.memory.devices import MATRIX_SHARE
from harness.memory.plan import engine_in_words
from harness.units import counted, format_bytes

OPERATIONS = "op\na step"


def show_plan(plan: Plan, predicted: Mapping[str, Any], terminal: Terminal, *, status: bool) -> None:
    """List the trials with what is known of each: state, predicted memory, whether it fits, the paper's number."""
    rows = plan.rows()
    entries = [_entry(plan, trial, predicted.get(trial.digest), rows.get(trial.digest)) for trial in plan.trials]
    if plan.options.json:
        document = {
            "study": plan.study.name,
            "preset": plan.options.preset,
            "device": plan.device.name,
            "budget_bytes": plan.budget_bytes,
            "trials": entries,
        }
        print(json.dumps(document, indent=1, default=str))
        return
    terminal.console.print(_plan_table(plan, entries, status=status))
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["state"]] = counts.get(entry["state"], 0) + 1
    terminal.say(f"{len(entries)} trials: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    if status:
        for entry in entries:
            if entry["error"]:
                terminal.say(f"{entry['state'].replace('_', ' ')}: {entry['trial']}: {entry['error']}")
        return
    sizes = {(entry["params_total"], entry["params_trainable"]) for entry in entries}
    if len(sizes) == 1:
        total, trainable = sizes.pop()
        terminal.say(f"{total / 1e6:.2f} M parameters, {trainable / 1e6:.2f} M of them trainable")
    for policy, letter in _policies(entries).items():
        terminal.say(f"engine {letter}: {policy}")
    budget = format_bytes(plan.budget_bytes)
    batches = sorted({trial.config.training.batch_size // plan.options.workers for trial in plan.trials})
    per_worker = " or ".join(map(str, batches)) + (" videos" if batches != [1] else " video")
    terminal.say(f"memory is that of one training step of {per_worker} per worker; {plan.device.name} has {budget}")
    hours = [entry["predicted_hours"] for entry in entries if entry["predicted_hours"] is not None]
    if hours:
        cards = counted(plan.options.workers, "card")
        terminal.say(
            f"hours are those of all training steps on {plan.device.name}, {_hours(sum(hours))} in all on {cards}, at "
            f"{100 * MATRIX_SHARE:.0f} % of its matrix rate (assumed); decoding and tests come on top"
        )
    if any("paper_gib" in entry for entry in entries) and batches != [1]:
        terminal.say("the paper trains one video per GPU; so do as many --workers as training.batch_size")


def _policies(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Return a letter for every engine policy, in the order of the trials."""
    policies = dict.fromkeys(entry["policy"] for entry in entries if "policy" in entry)
    return {policy: string.ascii_lowercase[number] for number, policy in enumerate(policies)}


def _entry(plan: Plan, trial: Any, choice: Any, row: Mapping[str, Any] | None) -> dict[str, Any]:
    values = plan.grid.describe(trial.config)
    paper = published_at(plan.study.name, flatten(trial.config))
    entry: dict[str, Any] = {
        "digest": trial.digest,
        "trial": plan.name(trial),
        **values,
        "state": row["state"] if row else "planned",
        "map_avg": row["map_avg"] if row else None,
        "peak_bytes": row["peak_bytes"] if row else None,
        "error": row["error"] if row else None,
        "attempts": row["attempt"] if row else 0,
        "seconds": row["total_seconds"] if row else None,
    }
    if choice is not None:
        entry |= {
            "predicted_peak_bytes": choice.peak_bytes,
            "fits": choice.fits,
            "params_total": choice.params_total,
            "params_trainable": choice.params_trainable,
            "breakdown": choice.breakdown,
            "policy": engine_in_words(choice.engine),
        }
        takes = effort(trial.config, choice, plan.device)
        entry |= {
            "flops": takes.flops_per_step,
            "steps": takes.steps,
            "predicted_step_seconds": takes.step_seconds,
            "predicted_hours": takes.hours,
        }
    if paper is not None:
        entry |= {"paper_map": paper.map_avg, "paper_gib": paper.memory_gib, "paper_table": paper.table}
    return entry


def _plan_table(plan: Plan, entries: list[dict[str, Any]], *, status: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=plan.study.title, title_justify="left")
    paths = (*plan.grid.paths, *(["seed"] if len({entry["seed"] for entry in entries}) > 1 else []))
    has_paper = any("paper_gib" in entry for entry in entries) and not status
    heads = ["state", "mAP %", "peak", "tries", "seconds"] if status else _heads(entries)
    for head in (*map(short_name, paths), *heads, *(["paper\nmAP %", "paper\nGiB"] if has_paper else [])):
        table.add_column(head, justify="right", no_wrap=True)
    letters = _policies(entries)
    for entry in entries:
        cells = [value_name(path, entry[path]) for path in paths]
        if status:
            score = "" if entry["map_avg"] is None else f"{100 * entry['map_avg']:.1f}"
            peak = "" if entry["peak_bytes"] is None else format_bytes(entry["peak_bytes"])
            seconds = "" if entry["seconds"] is None else f"{entry['seconds']:.1f}"
            cells += [entry["state"].replace("_", " "), score, peak, str(entry["attempts"]), seconds]
        else:
            known = {
                "predicted\npeak": format_bytes(entry["predicted_peak_bytes"]),
                "engine": letters[entry["policy"]],
                "fits": "yes" if entry["fits"] else "no",
                OPERATIONS: count_text(entry["flops"]),
                "hours": _hours(entry["predicted_hours"]),
                "state": entry["state"].replace("_", " "),
            }
            cells += [known[head] for head in heads]
        if has_paper:
            cells += ["" if entry.get(key) is None else str(entry[key]) for key in ("paper_map", "paper_gib")]
        table.add_row(*map(Text, cells))
    return table


def _heads(entries: list[dict[str, Any]]) -> list[str]:
    """Return the columns that say something here: a laptop's speed is unknown, and a new study has no rows."""
    heads = ["predicted\npeak", "engine", "fits", OPERATIONS]
    heads += ["hours"] if any(entry["predicted_hours"] is not None for entry in entries) else []
    return heads + (["state"] if any(entry["state"] != "planned" for entry in entries) else [])


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
