"""Our numbers beside the paper's, row by row of its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.export import Cell, Column, Table
from harness.analysis.names import short_names, value_name
from harness.analysis.paper import PUBLISHED, Published
from harness.analysis.report.axes import Row, is_size
from harness.analysis.report.gather import Report
from harness.analysis.summary import Group, summarise
from harness.units import GIB

PAPER_DATA = "thumos14"
SETTING: Mapping[str, Any] = {
    "data.name": PAPER_DATA,
    "model.backbone.name": "videomae-s",
    "model.tuning": "adapter",
    "model.adapter": "tia",
    "model.adapter.placement": "inside",
    "model.head.kind": "actionformer",
}
"""What the paper's tables keep where their rows say nothing else; another setting is not comparable."""


def paper_tables(report: Report) -> list[Table]:
    """Return one table for each table of the paper that asks what this study asks."""
    published = PUBLISHED.get(report.study, ())
    return [
        _table(name, [row for row in published if row.table == name], report)
        for name in dict.fromkeys(row.table for row in published)
    ]


def _table(name: str, published: Sequence[Published], report: Report) -> Table:
    paths = list(dict.fromkeys(path for row in published for path in row.at))
    heads = short_names(paths)
    columns = (
        *(
            Column(key=heads[path].replace(" ", "_"), head=heads[path], numeric=_numeric(path, published))
            for path in paths
        ),
        Column(key="paper", head="paper mAP %", numeric=True),
        Column(key="ours", head="our mAP %", numeric=True),
        Column(key="difference", head="difference", numeric=True),
        Column(key="paper_gib", head="paper GiB", numeric=True),
        Column(key="our_gib", head="our GiB", numeric=True),
    )
    rows = tuple(
        (*(_value(path, row.at.get(path)) for path in paths), *_numbers(row, _ours(row.at, report)))
        for row in published
    )
    return Table(
        name=f"paper-{name.lower().replace(' ', '-')}",
        title=f"The paper's {name}",
        columns=columns,
        rows=rows,
        note=_note(report),
    )


def _ours(at: Mapping[str, Any], report: Report) -> Group | None:
    rows = [row for row in report.rows if _is_at(row, {**SETTING, **at})]
    return summarise(rows, ())[0] if rows else None


def _is_at(row: Row, at: Mapping[str, Any]) -> bool:
    return all(row.get(path) == value for path, value in at.items())


def _numbers(row: Published, ours: Group | None) -> tuple[Cell, ...]:
    score = ours.map_avg if ours else None
    paper = row.map_avg
    points = 100 * score.mean - paper if score and paper is not None else None
    peak = ours.peak_bytes / GIB if ours and ours.peak_bytes else None
    return (
        _number(paper),
        Cell(score.in_percent(), 100 * score.mean) if score else Cell("not run"),
        Cell(f"{points:+.1f}", points) if points is not None else Cell(""),
        _number(row.memory_gib),
        _number(peak),
    )


def _number(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(f"{value:.1f}", value)


def _value(path: str, value: Any) -> Cell:
    return Cell(value_name(path, value), value if is_size(value) else None)


def _numeric(path: str, published: Sequence[Published]) -> bool:
    return all(is_size(row.at.get(path)) for row in published)


def _note(report: Report) -> str:
    data = sorted({row["data.name"] for row in report.rows if row["data.name"]})
    if data == [PAPER_DATA]:
        return "Ours: mean over seeds at the same setting; the paper trains one video per GPU"
    return (
        f"The rows here are from {', '.join(data) or 'unknown data'}, the paper's from {PAPER_DATA}: nothing to compare"
    )
