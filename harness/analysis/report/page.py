"""The page: one HTML file that needs no other, no server and no network.

summary, tables      plain HTML, readable without JavaScript; tables.js sorts, filters, copies them
figures              values, packed; figures.js draws them with plotly.js in the colours of the screen
learning curves      values, packed; learning.js draws those of the trials that the table shows
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from harness.analysis.export import Cell, Column, Table
from harness.analysis.report import figures
from harness.analysis.report.against_paper import paper_tables
from harness.analysis.report.answers import fits_table, steps_table
from harness.analysis.report.classes import classes_table
from harness.analysis.report.figures import Figure
from harness.analysis.report.gather import Report
from harness.analysis.report.html import Html, tag
from harness.analysis.report.plotly_js import packed_json, plotly_js
from harness.analysis.report.provenance import provenance_table
from harness.analysis.report.tables import failures_table, settings_table, trials_table
from harness.analysis.report.words import sentences

SCRIPTS = ("tables.js", "figures.js", "learning.js", "page.js")
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Nothing is loaded from anywhere."""
LONG = 48
"""Characters from which a cell's text is broken into lines."""
ROWS_AT_ONCE = {"steps": 15}
MOST_AT_ONCE = 40
"""Rows that a long table shows before one asks for all."""


def render(report: Report, *, refresh_seconds: int | None = None) -> str:
    """Return the page; with `refresh_seconds` it loads itself anew that often."""
    drawn = [figure for figure in (draw(report) for draw in _FIGURES) if figure]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        *([tag("meta", http_equiv="refresh", content=str(refresh_seconds))] if refresh_seconds else []),
        tag("title", f"{report.title}: report"),
        tag("style", Html(_asset("report.css"))),
        Html("<noscript><style>tr[hidden]{display:table-row}.tools,.plot{display:none}</style></noscript>"),
    )
    body = tag(
        "body",
        tag("main", _header(report, refresh_seconds), *_sections(report, drawn)),
        tag("script", Html(plotly_js()), type="text/plain", id="plotly-js"),
        tag("script", Html(packed_json(_document(report, drawn))), type="text/plain", id="report-data"),
        *(tag("script", Html(_asset(name))) for name in SCRIPTS),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def all_tables(report: Report) -> list[Table]:
    """Return every table of the page, in its order."""
    optional = [fits_table(report), steps_table(report), failures_table(report), classes_table(report)]
    shown = [settings_table(report), *paper_tables(report), trials_table(report)]
    return [*shown, *(table for table in optional if table), provenance_table(report)]


_FIGURES = (
    figures.bubbles,
    figures.curves,
    figures.law_of_operations,
    figures.law_of_memory,
    figures.front,
    figures.predictions,
    figures.deviations,
)


def _header(report: Report, refresh_seconds: int | None) -> Html:
    written = f"written {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    live = f"; loads itself anew every {refresh_seconds} s while the study runs" if refresh_seconds else ""
    name = f"study {report.study}, " if report.title != report.study else ""
    return tag("header", tag("h1", report.title), tag("p", f"{name}{written}{live}", class_="muted"))


def _sections(report: Report, drawn: Sequence[Figure]) -> list[Html]:
    figure = {each.name: _figure(each) for each in drawn}
    table = {each.name: _table_section(each) for each in all_tables(report)}
    summary = tag("ul", *(tag("li", text) for text in sentences(report)))
    memory = [figure[name] for name in ("predictions", "deviations") if name in figure]
    ordered = [
        _section("summary", "Summary", summary),
        figure.get("bubbles"),
        table["settings"],
        figure.get("curves"),
        table.get("fits"),
        figure.get("law-operations"),
        figure.get("law-memory"),
        figure.get("pareto"),
        table.get("steps"),
        *(section for name, section in table.items() if name.startswith("paper-")),
        tag("div", *memory, class_="pair") if memory else None,
        table["trials"],
        _learning() if report.curves else None,
        table.get("classes"),
        table.get("failures"),
        table["provenance"],
    ]
    return [section for section in ordered if section]


def _section(name: str, title: str, *children: Html) -> Html:
    return tag("section", tag("h2", title), *children, id=name)


def _figure(figure: Figure) -> Html:
    plot = tag("div", class_="plot", data_figure=figure.name, role="img", aria_label=figure.title)
    return _section(f"figure-{figure.name}", figure.title, plot, tag("p", figure.caption, class_="caption"))


def _learning() -> Html:
    chosen = tag("label", "measure ", tag("select", id="learning-measure"), class_="tools")
    plot = tag("div", class_="plot", id="learning", role="img", aria_label="Learning curves")
    caption = (
        "The trials that stand first in the table above, as it is sorted and filtered; trials of one setting share a "
        "colour."
    )
    return _section("figure-learning", "Learning curves", chosen, plot, tag("p", caption, class_="caption"))


def _table_section(table: Table) -> Html:
    tools = tag(
        "div",
        *([_filter(table)] if len(table.rows) > 5 and table.name != "provenance" else []),
        tag("span", class_="count"),
        *(tag("button", f"copy {form}", type="button", data_copy=form) for form in ("Markdown", "LaTeX")),
        class_="tools",
    )
    heads = [
        tag(
            "th",
            tag("button", column.head, type="button"),
            scope="col",
            class_="number" if column.numeric else None,
            data_key=column.key,
            data_head=column.head,
        )
        for column in table.columns
    ]
    ids = table.ids or (None,) * len(table.rows)
    at_once = ROWS_AT_ONCE.get(table.name, MOST_AT_ONCE)
    rows = [
        _row(table.columns, row, name, hidden=index >= at_once)
        for index, (row, name) in enumerate(zip(table.rows, ids, strict=True))
    ]
    body = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        data_table=table.name,
        data_rows=str(at_once),
        data_title=table.title,
    )
    return _section(
        f"table-{table.name}",
        table.title,
        tools,
        tag("div", body, class_="wide"),
        *([tag("p", f"{table.note}.", class_="caption", data_note=table.note)] if table.note else []),
    )


def _filter(table: Table) -> Html:
    has_map = any(column.key == "map" for column in table.columns)
    example = "filter: words, or map>30" if has_map else "filter: words"
    return tag("input", type="search", placeholder=example, aria_label=f"filter {table.title}")


def _row(columns: Sequence[Column], row: Sequence[Cell], identity: str | None, *, hidden: bool) -> Html:
    cells = [
        tag(
            "td",
            tag("strong", cell.text) if cell.best else cell.text,
            class_="number" if column.numeric else "long" if len(cell.text) > LONG else None,
            data_v=_sorted_by(cell),
        )
        for column, cell in zip(columns, row, strict=True)
    ]
    return tag("tr", *cells, data_id=identity, hidden=hidden)


def _sorted_by(cell: Cell) -> str | None:
    """Return the number that a cell is sorted by, None where its text is that number or there is none."""
    if not isinstance(cell.value, int | float) or cell.text.replace(",", "") == str(cell.value):
        return None
    return f"{cell.value:.9g}"


def _document(report: Report, drawn: Sequence[Figure]) -> dict[str, object]:
    names = {row["digest"]: row["trial"] for row in report.rows}
    return {
        "figures": {figure.name: {"data": figure.traces, "layout": figure.layout} for figure in drawn},
        "learning": [
            {"id": digest, "trial": names[digest], "setting": report.setting_of[digest], "curves": curve}
            for digest, curve in report.curves.items()
        ],
    }


@cache
def _asset(name: str) -> str:
    return (resources.files("harness.analysis.report") / "assets" / name).read_text(encoding="utf-8")
