"""From a study or a setting to the paper's rows, and from the paper's rows to what our own analysis takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.paper.data_sets import OTHER_TABLES
from harness.analysis.paper.rows import PaperTable, Published, is_at
from harness.analysis.paper.thumos import THUMOS_TABLES
from harness.analysis.summary import Group, summarise
from harness.units import GIB

RERUN_SPREAD = 0.0025
"""Standard deviation of mAP (0 to 1): the author says that reruns stay within 0.5 points, taken as two of them."""

TABLES: tuple[PaperTable, ...] = tuple(
    sorted((*THUMOS_TABLES, *OTHER_TABLES), key=lambda table: int(table.number.split()[1]))
)
"""Every table of the paper that a study can repeat, in the paper's order (9 has settings, no results)."""

PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    study: tuple(row for table in TABLES if table.study == study for row in table.rows if row.map_avg is not None)
    for study in dict.fromkeys(table.study for table in TABLES)
}
"""The rows with a result, by the study that asks the same."""


def tables_of(study: str) -> tuple[PaperTable, ...]:
    """Return the paper's tables that a study repeats."""
    return tuple(table for table in TABLES if table.study == study)


def published(study: str, values: Mapping[str, Any]) -> Published | None:
    """Return the paper's row for a setting of a study, given by the study's axes, if it has one."""
    return next((row for row in PUBLISHED.get(study, ()) if is_at(values, row.at)), None)


def published_at(study: str, values: Mapping[str, Any]) -> Published | None:
    """Return the paper's row for a trial of a study, given by its flattened config or its row in the results.

    Beside the axes, what the table keeps fixed must agree: data set, backbone, adapter, frames and resolution.
    """
    for table in tables_of(study):
        if is_at(values, table.setting):
            for row in table.rows:
                if is_at(values, row.at):
                    return row
    return None


def paper_rows(rows: Sequence[Published]) -> list[dict[str, Any]]:
    """Return the paper's rows that have a result as rows of the trials table, one seed each."""
    return [
        {
            **row.at,
            "seed": 0,
            "state": "finished",
            "map_avg": row.map_avg / 100,
            "peak_bytes": None if row.memory_gib is None else round(row.memory_gib * GIB),
        }
        for row in rows
        if row.map_avg is not None
    ]


def paper_groups(rows: Sequence[Published]) -> tuple[Group, ...]:
    """Return the paper's rows as settings, so that curves and decisions take them as they take ours."""
    return summarise(paper_rows(rows), list(rows[0].at))
