"""`tadscale check --on NAME`: what a data set's folder holds, for people and for programs, and the exit code."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import UserError
from harness.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from harness.data.checks import Finding, FolderCheck, SourceCheck
    from harness.data.spec import DatasetSpec

FEW_CLASSES = 30
"""So many classes are listed one by one."""
SOME_CLASSES = 5
"""Of more, so many of the most and of the least frequent."""
STYLES = {"stops": "bold red", "matters": "yellow", "harmless": "dim"}


def check_data(
    name: str, root: Path | None, annotations: Path | None, *, every_class: bool, as_json: bool, quiet: bool
) -> int:
    """Check a folder and say what was found; return 0, or 1 where something matters.

    Raises:
        UserError: a study would refuse the folder.
        ValueError: there is nothing to check.
    """
    from harness.data.checks import check_folder
    from harness.data.datasets import dataset_of

    spec = dataset_of(name)
    place = root or (annotations if annotations and annotations.is_dir() else (annotations or Path()).parent)
    terminal = Terminal(json=as_json, quiet=quiet)
    with terminal.stage("measuring videos") as progress:
        found = check_folder(place, spec, progress, annotations=annotations)
    if as_json:
        print(json.dumps(_plain(found), indent=1))
    else:
        _show(found, spec, place, terminal, every_class=every_class)
    if found.problem:
        raise UserError(f"a study on {spec.name} would refuse {place}: {found.problem}")
    return 1 if any(finding.weight == "matters" for finding in found.findings) else 0


def _plain(found: "FolderCheck") -> object:
    weights = {finding.weight for finding in found.findings}
    usable = {"usable": not found.problem, "matters": "matters" in weights}
    return json.loads(json.dumps({**usable, **asdict(found)}, default=str))


def _show(found: "FolderCheck", spec: "DatasetSpec", place: Path, terminal: Terminal, *, every_class: bool) -> None:
    from rich.text import Text

    console = terminal.console
    console.print(Text(f"{spec.title} in {place}", style="bold"))
    console.print(_sources(found.sources))
    for source in found.sources:
        if source.problem:
            console.print(Text(f"{source.name}: {source.problem}", style=STYLES["stops"]))
        for kind, count in source.left_out.items():
            terminal.note(f"{source.name}: {count:,} x {kind}, passed over")
    shown = next((source for source in found.sources if source.name == found.chosen), found.sources[0])
    if shown.classes:
        console.print(_classes(shown, every_class=every_class))
    if found.videos is not None:
        console.print(_videos(found))
    elif found.chosen:
        terminal.say(f"there are no video files in {place}: only the annotations were checked")
    if found.blocked:
        terminal.note(f"{found.blocked} videos are on a block list and left out")
    findings = found.findings if found.chosen else shown.findings
    if findings:
        console.print(_findings(findings))
    if spec.note:
        terminal.note(spec.note)
    if not found.problem:
        matters = sum(finding.weight == "matters" for finding in findings)
        terminal.say(f"a study can run on it; {_things(matters)} above" if matters else "a study can run on it")


def _things(count: int) -> str:
    return "one thing matters" if count == 1 else f"{count} things matter"


def _sources(sources: "Sequence[SourceCheck]") -> "RenderableType":
    rows = []
    for source in sources:
        name, form = source.name, source.form
        for subset, counts in source.subsets.items():
            unscored = f" + {counts.unscored} Ambiguous" if counts.unscored else ""
            numbers = (counts.videos, counts.with_actions, counts.actions, counts.classes)
            videos, with_actions, actions, classes = (f"{number:,}" for number in numbers)
            rows.append((name, form, subset, videos, with_actions, actions + unscored, classes))
            name = form = ""
    return _table(("annotations", "form", "subset", "videos", "with actions", "actions", "classes"), rows, numbers=4)


def _classes(source: "SourceCheck", *, every_class: bool) -> "RenderableType":
    subsets = list(source.subsets)
    totals = {
        label: [counts.by_class.get(label, 0) for counts in source.subsets.values()]
        for label in dict.fromkeys([*source.classes, *(x for c in source.subsets.values() for x in c.by_class)])
    }
    labels = list(totals)
    head = f"actions of {source.name}"
    if len(labels) > FEW_CLASSES and not every_class:
        labels = sorted(labels, key=lambda label: -sum(totals[label]))
        labels = [*labels[:SOME_CLASSES], *labels[-SOME_CLASSES:]]
        head = f"{head}\n{SOME_CLASSES} most and {SOME_CLASSES} least frequent classes of {len(totals)}; --every-class"
    rows = [(label, *(f"{number:,}" for number in totals[label])) for label in labels]
    return _table((head, *subsets), rows, numbers=len(subsets))


def _videos(found: "FolderCheck") -> "RenderableType":
    assert found.videos is not None
    rows = [
        (subset, *(f"{number:,}" for number in (counts.annotated, counts.found, counts.missing, counts.unreadable)))
        for subset, counts in found.videos.subsets.items()
    ]
    return _table(("videos", "annotated", "found", "missing", "unreadable"), rows, numbers=4)


def _findings(findings: "Sequence[Finding]") -> "RenderableType":
    rows = [
        (item.weight, f"{item.count:,}", item.kind, item.consequence, "; ".join(item.examples)) for item in findings
    ]
    table = _table(("weight", "count", "what", "what it leads to", "such as"), rows, numbers=0)
    for row, item in zip(table.rows, findings, strict=True):
        row.style = STYLES[item.weight]
    return table


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> "Table":
    """Return a table whose last `numbers` columns are numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index >= len(head) - numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
