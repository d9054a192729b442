r"""Tables as values, and their text for papers and notes: Markdown and LaTeX (booktabs).

What a cell says and what it is sorted by are kept apart, so that `33.6 ± 2.6` sorts as 33.6. The report's script writes
the same texts from the page; a browser test holds the two equal.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.tables import formats


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table for people."""

    key: str
    """One word, for filters."""
    head: str
    """Title, with the unit."""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """What stands in a cell."""

    text: str
    value: float | None = None
    """The number that it is sorted by, where it is one."""
    best: bool = False
    """Whether it stands out as the best of its column."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for people."""

    name: str
    """Identifier and file name."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """What the reader has to know: what ± is, which trials are meant."""
    ids: tuple[str, ...] = ()
    """Identity of each row where it has one: the digest of a trial."""

    def without_empty_columns(self) -> "Table":
        """Return the table without the columns in which nothing is said."""
        said = [index for index in range(len(self.columns)) if any(row[index].text for row in self.rows)]
        return replace(
            self,
            columns=tuple(self.columns[index] for index in said),
            rows=tuple(tuple(row[index] for index in said) for row in self.rows),
        )


LATEX: Mapping[str, str] = {
    **{chr(code): text for code, text in formats.LATEX.items()},
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "²": r"$^2$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "…": r"\dots{}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "†": r"\textdagger{}",
    "→": r"$\rightarrow$",
}
"""Characters that LaTeX reads as something else or that its standard fonts lack."""
MARKDOWN: Mapping[str, str] = {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "*": "\\*", "_": "\\_", "`": "\\`"}

LONG, COLUMN, PAGE = 48, 54, 110
"""Letters from which a text is broken into lines, and that fit across a column and a page of ten-point type."""

Form = Literal["md", "tex"]


def to_markdown(table: Table) -> str:
    """Return the table as Markdown: title, pipes, note."""
    marks = ["---:" if column.numeric else ":---" for column in table.columns]
    heads = [_escaped(column.head, MARKDOWN) for column in table.columns]
    rows = [[_marked(cell, MARKDOWN, "**{}**") for cell in row] for row in table.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]
    parts = [f"**{_escaped(table.title, MARKDOWN)}**", "\n".join(lines)]
    return "\n\n".join([*parts, *([_escaped(table.note, MARKDOWN)] if table.note else [])]) + "\n"


def to_latex(table: Table) -> str:
    r"""Return the table as a LaTeX float; it needs `\usepackage{booktabs,graphicx}`.

    A table too wide for a column goes across the page, one too wide for the page is scaled to it, and long texts are
    broken into lines.
    """
    widths = [
        max(len(text) for text in (column.head, *(row[index].text for row in table.rows)))
        for index, column in enumerate(table.columns)
    ]
    width = sum(min(letters, LONG) + 2 for letters in widths)
    across, scaled = "*" if width > COLUMN else "", width > PAGE
    layout = "".join(
        "r" if column.numeric else "l" if letters <= LONG else "p{24em}"
        for column, letters in zip(table.columns, widths, strict=True)
    )
    heads = " & ".join(_escaped(column.head, LATEX) for column in table.columns)
    rows = [" & ".join(_marked(cell, LATEX, "\\textbf{{{}}}") for cell in row) for row in table.rows]
    caption = _escaped(". ".join(text.rstrip(".") for text in (table.title, table.note) if text), LATEX)
    return "\n".join(
        [
            rf"\begin{{table{across}}}",
            r"\centering",
            rf"\caption{{{caption}.}}",
            rf"\label{{tab:{re.sub(r'[^a-z0-9]+', '-', table.name.lower())}}}",
            *([r"\resizebox{\textwidth}{!}{%"] if scaled else []),
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            rf"{heads} \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}" + ("}" if scaled else ""),
            rf"\end{{table{across}}}",
            "",
        ]
    )


WRITERS: Mapping[Form, Callable[[Table], str]] = {"md": to_markdown, "tex": to_latex}


def write_tables(tables: list[Table], folder: Path) -> list[Path]:
    """Write every table in both forms, `NAME.md` and `NAME.tex`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        for ending, text in WRITERS.items():
            path = folder / f"{table.name}.{ending}"
            path.write_text(text(table), encoding="utf-8")
            written.append(path)
    return written


def _marked(cell: Cell, signs: Mapping[str, str], bold: str) -> str:
    text = _escaped(cell.text, signs)
    return bold.format(text) if cell.best and text else text


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in " ".join(text.split()))
