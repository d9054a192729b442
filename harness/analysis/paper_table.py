"""A study's results in the layout of the paper's table, the paper's numbers beside ours, other methods' marked.

    for table in study_tables("scale_frames", rows):     # rows of the trials table
        print(to_markdown(table))                        # or to_latex; write_tables writes both

On the paper's own data set, only trials that agree with everything the table keeps fixed stand beside its numbers. On
other videos (the synthetic ones) every setting stands beside the one whose place it takes (`paper.places`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.amounts import Unit, memory_unit
from harness.analysis.export import Cell, Column, Table
from harness.analysis.names import short_names, value_name
from harness.analysis.paper.law import LAW_STUDY
from harness.analysis.paper.law_table import law_table
from harness.analysis.paper.lookup import tables_of
from harness.analysis.paper.places import Places, places
from harness.analysis.paper.rows import DATA, Measure, PaperTable, Published, is_at, value_at
from harness.analysis.paper.zoo import ZOO
from harness.analysis.report.axes import hashable, is_size
from harness.analysis.summary import Group, summarise
from harness.units import GIB

Row = Mapping[str, Any]
Key = tuple[Any, ...]
"""Values of the paths that make the rows, then of the one that makes the groups of columns."""
HEADS: Mapping[Measure, str] = {"map": "mAP %", "memory": "", "params": "M trained"}


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What is to be laid out."""

    table: PaperTable
    papers: Mapping[Key, Published]
    ours: Mapping[Key, Group]
    stand_for: Mapping[Key, Key]
    """Our keys and the paper's whose place they take; the same where both are the same setting."""
    unit: Unit
    """Of our memory."""
    scaled: bool
    """Whether ours is another scale than the paper's."""


def study_tables(study: str, rows: Sequence[Row]) -> list[Table]:
    """Return the paper's tables that a study repeats, filled with its trials; of `scale_law`, the split of a budget."""
    if study == LAW_STUDY:
        return [law_table(rows)]
    tables, data = tables_of(study), {row[DATA] for row in rows}
    known = [table for table in (*tables, *ZOO) if table.study == study and table.setting.get(DATA) in data]
    first = {table.setting.get(DATA) for table in tables[:1]}
    elsewhere = [table for table in tables if table.setting.get(DATA) in first]
    contents = [_content(table, rows) for table in known or elsewhere]
    # A table in which no setting of ours has a place says nothing.
    placed = [content for content in contents if content.stand_for or not content.scaled]
    return [_laid_out(content, rows) for content in placed or contents]


def _laid_out(content: _Content, rows: Sequence[Row]) -> Table:
    table = content.table
    columns = tuple(_columns(content))
    lines = [_line(content, down) for down in _downs(content)]
    others = [_other(content, row, len(columns)) for row in table.others]
    return Table(
        name=f"paper-{table.number.lower().replace(' ', '-')}-{table.setting.get(DATA, '')}".rstrip("-"),
        title=table.heading,
        columns=columns,
        rows=(*others, *lines),
        note=_note(content, rows),
    )


def _content(table: PaperTable, rows: Sequence[Row]) -> _Content:
    scaled = all(row[DATA] != table.setting.get(DATA) for row in rows)
    chosen = list(rows) if scaled else [row for row in rows if is_at(row, table.setting)]
    paths = _paths(table)
    named = [{**row, **{path: hashable(value_at(row, path)) for path in paths}} for row in chosen]
    ours = {tuple(group.values.values()): group for group in summarise(named, paths)}
    papers = {tuple(value_at(row.at, path) for path in paths): row for row in table.rows}
    mapping = places(table, chosen) if scaled else None
    stand_for = {key: found for key in ours if (found := _place(key, paths, mapping)) is not None}
    unit = memory_unit(_peak(group) for group in ours.values()) if scaled else Unit("GiB", GIB)
    return _Content(table=table, papers=papers, ours=ours, stand_for=stand_for, unit=unit, scaled=scaled)


def _place(key: Key, paths: Sequence[str], mapping: Places | None) -> Key | None:
    if mapping is None:
        return key
    found = [mapping[path].get(value, _NOWHERE) for path, value in zip(paths, key, strict=True)]
    return None if _NOWHERE in found else tuple(found)


_NOWHERE = object()


def _paths(table: PaperTable) -> tuple[str, ...]:
    return (*table.down, *((table.across,) if table.across else ()))


def _downs(content: _Content) -> list[Key]:
    """Return the rows' values: the paper's in its order, then what only we have; with another scale only ours."""
    size = len(content.table.down)
    order = {key: number for number, key in enumerate(content.papers)}
    ours = sorted(content.ours, key=lambda key: order.get(content.stand_for.get(key, key), len(order)))
    keys = ours if content.scaled else [*content.papers, *ours]
    return list(dict.fromkeys(key[:size] for key in keys))


def _acrosses(content: _Content) -> list[Key]:
    """Return what tells the groups of columns apart: one value each, or nothing where there is one group."""
    size = len(content.table.down)
    keys = content.ours if content.scaled else {**content.papers, **content.ours}
    return sorted(dict.fromkeys(key[size:] for key in keys), key=lambda key: [(is_size(v), v) for v in key if v])


def _columns(content: _Content) -> Iterator[Column]:
    table = content.table
    for path, name in short_names(table.down).items():
        yield Column(key=name.replace(" ", "_"), head=name, numeric=all(map(is_size, _values(content, path))))
    for across in _acrosses(content):
        said = "".join(f"{_named(content, table.across or '', value).text} " for value in across)
        for measure in table.measures:
            for whose in ("paper", "ours"):
                unit = "GiB" if whose == "paper" else content.unit.name
                head = f"{said}{HEADS[measure] or unit} {whose}"
                key = "_".join((*map(str, across), measure, whose))
                yield Column(key=key, head=head, numeric=True)


def _values(content: _Content, path: str) -> list[Any]:
    place = content.table.down.index(path)
    return [key[place] for key in (*content.papers, *content.ours)]


def _line(content: _Content, down: Key) -> tuple[Cell, ...]:
    cells = [_named(content, path, value) for path, value in zip(content.table.down, down, strict=True)]
    for across in _acrosses(content):
        ours = content.ours.get((*down, *across))
        paper = content.papers.get(content.stand_for.get((*down, *across), (*down, *across)))
        for measure in content.table.measures:
            cells += [_published(paper, measure), _measured(ours, measure, content.unit)]
    return tuple(cells)


def _named(content: _Content, path: str, value: Any) -> Cell:
    """Return a value in words, and with another scale the paper's value whose place it takes."""
    text, number = value_name(path, value), value if is_size(value) else None
    if content.scaled:
        place = _paths(content.table).index(path)
        meant = {found[place] for key, found in content.stand_for.items() if key[place] == value}
        if meant and value not in meant:
            text = f"{text} (for {value_name(path, min(meant, key=str))})"
    return Cell(text, number)


def _published(row: Published | None, measure: Measure) -> Cell:
    if row is None:
        return Cell("")
    value = row.value(measure)
    if value is None and measure == "map" and row.map_at:
        # The thresholds that could be had stand in for the average.
        return Cell(", ".join(f"{at:.1f} at {tiou}" for tiou, at in row.map_at.items()))
    if value is None:
        return Cell("out of memory" if row.out_of_memory and measure != "params" else "")
    return Cell(f"{value:.1f}" if measure != "map" or value == round(value, 1) else f"{value:.2f}", value)


def _measured(group: Group | None, measure: Measure, unit: Unit) -> Cell:
    if group is None:
        return Cell("not run" if measure == "map" else "")
    if measure == "map":
        score = group.map_avg
        return Cell(score.in_percent(), 100 * score.mean) if score else Cell(", ".join(sorted(group.states)))
    if measure == "params":
        trained = group.params_trainable
        return Cell("") if trained is None else Cell(f"{trained / 1e6:.1f}", trained / 1e6)
    guess = "" if group.peak_bytes else " predicted"
    peak = _peak(group)
    return Cell("") if peak is None else Cell(f"{unit.text(peak)}{guess}", unit.of(peak))


def _peak(group: Group) -> int | None:
    return group.peak_bytes or group.predicted_peak_bytes


def _other(content: _Content, row: Published, width: int) -> tuple[Cell, ...]:
    """Return another method's line: its name and, in the first group of columns, what it published."""
    lead = len(content.table.down)
    cells = [Cell(f"{row.method}, published"), *([Cell("")] * (lead - 1))]
    for measure in content.table.measures:
        cells += [_published(row, measure), Cell("")]
    return tuple([*cells, *([Cell("")] * (width - len(cells)))][:width])


def _note(content: _Content, rows: Sequence[Row]) -> str:
    table = content.table
    data = ", ".join(sorted({row[DATA] for row in rows if row[DATA]})) or "unknown data"
    if content.scaled:
        ours = (
            f"Ours are from {data}, the paper's from {table.setting.get(DATA)}: every setting stands beside the one "
            "whose place it takes, and only directions can be compared, not sizes"
        )
    else:
        ours = "Ours: mean over seeds at the same setting"
        ours += "" if table.number == "zoo" else "; the paper trains one video per GPU"
    notes = [ours, *_sources(table)]
    if "params" in table.measures:
        notes.append("the paper counts adapters only, ours everything that is trained")
    if table.absent:
        notes.append(f"not found in what is public: {table.absent}")
    return "; ".join(notes)


def _sources(table: PaperTable) -> list[str]:
    noted = [row.note for row in table.rows if row.note and row.map_avg is not None]
    others = [f"other methods {note}" for note in dict.fromkeys(row.note for row in table.others)]
    return [*dict.fromkeys(noted), *others]
