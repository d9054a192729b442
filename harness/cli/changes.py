"""What differs between a study's runs in one results folder: an edited study file, another `--set`, other data.

Nothing is ever mixed up by it: checkpoints and rows are told by what they are of, not by names. But people should know.
"""

import json
from pathlib import Path
from typing import Any

from harness.atomic import whole_file
from harness.cli.plan import Plan
from harness.config import flatten

FILE = "study.json"
MOST_NAMED = 4


def changes_since_last(plan: Plan) -> list[str]:
    """Return a line for each thing that the last run of this study had otherwise, and remember this one."""
    file = plan.folder / FILE
    now = _facts(plan)
    before = _read(file)
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(now, indent=1))
    if before is None or before == now:
        return []
    lines = [f"the study changed since its last run: {line}" for line in _differences(before, now)]
    earlier = before.get("title", now["title"])
    if earlier != now["title"]:
        lines.insert(0, f"another study called {plan.study.name} was run here: {earlier}; both keep their rows in its "
                        "tables, another --results keeps them apart")  # fmt: skip
    if plan.options.search.method != "grid":
        return lines  # which trials there are is drawn
    old, new = set(before["trials"]), set(now["trials"])
    if old - new:
        lines.append(f"{len(old - new)} trials of the last run are no part of it now; their rows stay in the tables")
    if new - old:
        lines.append(f"{len(new - old)} trials are new, {len(new & old)} are the same and keep their rows")
    return lines


def _facts(plan: Plan) -> dict[str, Any]:
    varied = {*plan.grid.paths, "seed"}
    base = {path: value for path, value in flatten(plan.grid.base).items() if path not in varied}
    points = [plan.grid.describe(trial.config) for trial in plan.trials]
    axes = {path: list(dict.fromkeys(str(point[path]) for point in points)) for path in (*plan.grid.paths, "seed")}
    facts = {
        "title": plan.study.title,
        "preset": plan.options.preset,
        "axes": axes,
        "base": base,
        "trials": [trial.digest for trial in plan.trials],
    }
    return json.loads(json.dumps(facts, default=str))


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text())
        return found if {"axes", "base", "trials"} <= found.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    lines = []
    for path in dict.fromkeys([*before["axes"], *now["axes"]]):
        was, is_now = before["axes"].get(path), now["axes"].get(path)
        if was != is_now:
            lines.append(f"{path} was {_said(was)} and is {_said(is_now)}")
    fixed = [
        f"{path} was {before['base'][path]} and is {now['base'][path]}"
        for path in now["base"]
        if path in before["base"] and before["base"][path] != now["base"][path]
    ]
    more = [f"and {len(fixed) - MOST_NAMED} more settings"] if len(fixed) > MOST_NAMED else []
    return [*lines, *fixed[:MOST_NAMED], *more]


def _said(values: list[str] | None) -> str:
    return "fixed" if values is None else ", ".join(values)
