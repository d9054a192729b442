"""Answers as text: read back where a format can be read, looked at where it is for people."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tables.formats import SUFFIXES, render

TABLE = pa.table(
    {
        "name": ["plain", 'a "b", | c\n<script>', None],
        "data.window.frames": pa.array([768, None, 3], pa.int64()),
        "map": [0.123456789012345, float("nan"), 1e-9],
        "sum": pa.array([Decimal(2**70), None, Decimal(1)], pa.decimal128(38, 0)),
        "done": [True, False, None],
        "tious": pa.array([[0.3, 0.5], [], None], pa.list_(pa.float64())),
        "map_at": pa.array([[("0.5", 0.25)], [], None], pa.map_(pa.string(), pa.float64())),
        "ended_utc": pa.array([datetime(2026, 1, 2, 3, 4, 5, 678, UTC)] * 3, pa.timestamp("us", "UTC")),
    }
)


def test_json_keeps_every_value():
    first, second, third = json.loads(render(TABLE, "json"))
    assert first == {
        "name": "plain",
        "data.window.frames": 768,
        "map": 0.123456789012345,
        "sum": 2**70,
        "done": True,
        "tious": [0.3, 0.5],
        "map_at": {"0.5": 0.25},
        "ended_utc": "2026-01-02 03:04:05.000678+00:00",
    }
    assert second["map"] is None
    assert second["name"] == 'a "b", | c\n<script>'
    assert third["tious"] is None


def test_csv_is_read_back_by_the_usual_readers():
    head, *rows = csv.reader(io.StringIO(render(TABLE, "csv").decode()))
    assert head == TABLE.column_names
    assert rows[0][:5] == ["plain", "768", "0.123456789012345", str(2**70), "true"]
    assert json.loads(rows[0][5]) == [0.3, 0.5]
    assert json.loads(rows[0][6]) == {"0.5": 0.25}
    assert rows[1][:4] == ['a "b", | c\n<script>', "", "", ""]


def test_parquet_is_the_table():
    table = TABLE.drop_columns("map")  # its NaN is not equal to itself
    assert pq.read_table(pa.BufferReader(render(table, "parquet"))).equals(table)


def test_markdown_has_one_line_per_row_and_as_many_cells_as_columns():
    lines = render(TABLE, "markdown").decode().splitlines()
    assert len(lines) == 2 + TABLE.num_rows
    assert lines[1] == "| --- | ---: | ---: | ---: | --- | --- | --- | --- |"
    for line in lines:
        assert len(line.replace(r"\|", "").split("|")) == TABLE.num_columns + 2
    assert r'a "b", \| c &lt;script>' in lines[3]
    assert lines[2].startswith("| plain | 768 | 0.123457 |")


def test_latex_is_booktabs_with_numbers_on_the_right():
    lines = render(TABLE, "latex").decode().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrllll}"
    assert [lines[1], lines[3], lines[-2], lines[-1]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    assert lines[2].startswith(r"name & data.window.frames & map & sum & done & tious & map\_at & ended\_utc \\")
    assert lines[4].startswith("plain & 768 & 0.123457 &")
    assert all(line.count("&") == TABLE.num_columns - 1 for line in lines[4:-2])


@pytest.mark.parametrize("sign", list("&%$#_{}~^\\<>|"))
def test_latex_signs_are_escaped(sign):
    row = render(pa.table({"a": [sign]}), "latex").decode().splitlines()[4]
    text = row.removesuffix(r" \\")
    names = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum"}
    names |= {"<": "textless", ">": "textgreater", "|": "textbar"}
    assert text == (rf"\{names[sign]}{{}}" if sign in names else rf"\{sign}")


def test_the_table_for_the_terminal_shows_everything_unless_it_must_fit():
    text = render(TABLE, "table").decode()
    assert "plain" in text
    assert "0.3, 0.5" in text
    assert "0.5: 0.25" in text
    assert "2026-01-02 03:04:05" in text
    assert "…" not in text
    assert max(map(len, render(TABLE, "table", width=60).decode().splitlines())) <= 60


def test_markup_in_values_is_shown_as_it_is():
    assert "[red]x[/red]" in render(pa.table({"a": ["[red]x[/red]"]}), "table").decode()


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_values_cannot_command_the_terminal(form):
    assert "\x1b" not in render(pa.table({"a": ["\x1b[2Jgone\x07"]}), form).decode()


@pytest.mark.parametrize("form", sorted(set(SUFFIXES.values())))
def test_no_rows_and_no_columns_are_no_error(form):
    assert render(TABLE.slice(0, 0), form)
    if form != "latex":
        assert isinstance(render(pa.table({}), form), bytes)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)), max_size=4))
def test_numbers_and_text_come_back_from_json_and_csv(rows):
    table = pa.table({"x": [row[0] for row in rows], "t": [row[1] for row in rows]}, schema=SCHEMA)
    assert [(row["x"], row["t"]) for row in json.loads(render(table, "json"))] == rows
    back = list(csv.reader(io.StringIO(render(table, "csv").decode(), newline="")))[1:]
    assert [float(x) for x, _ in back] == [x for x, _ in rows]


SCHEMA = pa.schema({"x": pa.float64(), "t": pa.string()})
