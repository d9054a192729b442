"""An answer as text or bytes: for people, for spreadsheets and programs, for papers."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Format = Literal["table", "csv", "json", "parquet", "markdown", "latex"]
SUFFIXES: Mapping[str, Format] = {
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".md": "markdown",
    ".tex": "latex",
}
"""The format that a file's ending asks for."""
LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
CONTROL = dict.fromkeys((*range(32), 127))
"""Signs that command a terminal instead of being seen."""
MARKDOWN = str.maketrans({"|": r"\|", "\\": r"\\", "<": "&lt;", "&": "&amp;"})


def render(table: pa.Table, form: Format, *, width: int | None = None) -> bytes:
    """Return the table in a format, UTF-8 where it is text.

    In csv and json numbers have all their digits, and lists and maps are JSON; csv leaves nulls empty. In table,
    markdown and latex numbers have six digits and stand on the right. LaTeX needs the package booktabs. `width` is
    that of the terminal for `table`; without it no line is cut.
    """
    match form:
        case "parquet":
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            return sink.getvalue().to_pybytes()
        case "csv":
            text = _csv(table)
        case "json":
            text = json.dumps(_objects(table), indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n"
        case "markdown":
            text = _markdown(table)
        case "latex":
            text = _latex(table)
        case "table":
            text = _terminal(table, width)
    return text.encode()


def _objects(table: pa.Table) -> list[dict[str, Any]]:
    return [dict(zip(table.column_names, row, strict=True)) for row in _rows(table)]


def _csv(table: pa.Table) -> str:
    lines = [_csv_line(table.column_names)]
    for row in _rows(table):
        nested = (json.dumps(value, default=str) if isinstance(value, list | dict) else value for value in row)
        lines.append(_csv_line("true" if value is True else "false" if value is False else value for value in nested))
    return "".join(lines)


def _csv_line(values: Iterable[Any]) -> str:
    text = io.StringIO()
    # A lone carriage return is quoted only where it is part of the line's end.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _markdown(table: pa.Table) -> str:
    rules = ["---:" if _is_number(kind) else "---" for kind in table.schema.types]
    lines = [[name.translate(MARKDOWN) for name in table.column_names], rules, *_spoken_rows(table, MARKDOWN)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(table: pa.Table) -> str:
    alignment = "".join("r" if _is_number(kind) else "l" for kind in table.schema.types)
    head = " & ".join(name.translate(LATEX) for name in table.column_names)
    body = [f"{' & '.join(row)} \\\\" for row in _spoken_rows(table, LATEX)]
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", rf"{head} \\", r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def _terminal(table: pa.Table, width: int | None) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table()
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        shown.add_column(Text(name), justify="right" if _is_number(kind) else "left")
    for row in _spoken_rows(table, {}):
        shown.add_row(*(Text(value) for value in row))
    text = io.StringIO()
    measure = Console(file=io.StringIO(), width=10**6)
    console = Console(file=text, width=width or measure.measure(shown).maximum, color_system=None)
    console.print(shown)
    return text.getvalue()


def _spoken_rows(table: pa.Table, escapes: Mapping[int, str]) -> Iterator[list[str]]:
    for row in _rows(table):
        yield [" ".join(_spoken(value).split()).translate(CONTROL).translate(escapes) for value in row]


def _spoken(value: Any) -> str:
    """Return a value as a person reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case dict():
            return ", ".join(f"{key}: {_spoken(item)}" for key, item in value.items())
        case list():
            return ", ".join(map(_spoken, value))
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows: maps as dictionaries, whole numbers of any width as such, what is not a number as None."""
    columns = [
        [_plain(value, kind) for value in column.to_pylist()]
        for column, kind in zip(table.columns, table.schema.types, strict=True)
    ]
    return zip(*columns, strict=True) if columns else iter(())


def _plain(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {str(key): _plain(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    if pa.types.is_floating(kind):
        return value if math.isfinite(value) else None
    if pa.types.is_decimal(kind):
        # DuckDB adds up whole numbers as such of 128 bits, which arrive as decimals.
        return int(value) if kind.scale == 0 else float(value)
    return value


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
