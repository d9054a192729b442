"""Which of the paper's settings a laptop's setting takes the place of: its second frame count is the paper's second.

On synthetic videos nothing can be compared with the paper in size, but directions can: does more of this help there,
and here? Values that both have are themselves; numbers and sizes of a family of backbones go by their rank.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from harness.analysis.paper.rows import PaperTable, value_at
from harness.analysis.report.axes import hashable, is_size

Places = Mapping[str, Mapping[Any, Any]]
"""Config path -> our value -> the paper's value whose place it takes."""


def places(table: PaperTable, rows: Sequence[Mapping[str, Any]]) -> Places:
    """Return whose place each of our values takes, for every path that a table lays out."""
    paths = (*table.down, *((table.across,) if table.across else ()))
    return {path: stand_ins(_ours(rows, path), [value_at(row.at, path) for row in table.rows]) for path in paths}


def stand_ins(ours: Sequence[Any], papers: Sequence[Any]) -> dict[Any, Any]:
    """Return our values with the paper's values whose place they take; what finds none is left out.

    Args:
        ours: Our values, the sizes of a family from small to large.
        papers: The paper's, likewise.
    """
    own, published = list(dict.fromkeys(ours)), list(dict.fromkeys(papers))
    if set(own) <= set(published):
        return {value: value for value in own}
    if all(map(is_size, [*own, *published])):
        return dict(zip(sorted(own), sorted(published), strict=False))
    families = {name: list(members) for name, members in groupby(sorted(published, key=_family), key=_family)}
    found: dict[Any, Any] = {}
    for name, members in groupby(sorted(own, key=_family), key=_family):
        found.update(zip(members, families.get(name, ()), strict=False))
    return found


def _ours(rows: Sequence[Mapping[str, Any]], path: str) -> list[Any]:
    """Return our values from the smallest network to the largest, those of one size by name."""
    values = {(row.get("params_total") or 0, hashable(value_at(row, path))) for row in rows}
    return [value for _, value in sorted(values, key=lambda sized: (sized[0], str(sized[1])))]


def _family(value: Any) -> str:
    return str(value).partition("-")[0]
