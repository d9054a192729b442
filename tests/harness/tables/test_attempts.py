"""Which row counts for an attempt and a trial: against the obvious loops, on any order and any division into files."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tables import CURVES, TRIALS, best, latest
from harness.tables.gather import Gathered
from harness.tables.query import one_file_per_attempt, one_row_per_attempt

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["s", "t"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3),
        st.sampled_from(["finished", "failed", None]),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=12,
)


def table_of(rows):
    names = ("study", "digest", "attempt", "state")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    columns["ended_utc"] = [None if row[4] is None else START + timedelta(hours=row[4]) for row in rows]
    columns["trial"] = [str(number) for number in range(len(rows))]
    return pa.table(
        [pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(rows), field.type)
         for field in TRIALS],
        schema=TRIALS,
    )  # fmt: skip


def numbers(table):
    return [int(name) for name in table["trial"].to_pylist()]


@settings(deadline=None)
@given(ROWS)
def test_an_attempts_finished_row_counts_else_the_later_one(rows):
    order = sorted(range(len(rows)), key=lambda n: (rows[n][4] is None, rows[n][4] or 0, rows[n][1], rows[n][2]))
    chosen = {}
    for number in order:
        known = chosen.get(rows[number][:3])
        if known is None or rows[known][3] != "finished" or rows[number][3] == "finished":
            chosen[rows[number][:3]] = number
    assert numbers(one_row_per_attempt(table_of(rows))) == [n for n in order if n in chosen.values()]


@settings(deadline=None)
@given(ROWS)
def test_latest_and_best_are_the_highest_attempts(rows):
    for select, state in ((latest, None), (best, "finished")):
        chosen = {}
        for number, row in enumerate(rows):
            if state in (None, row[3]) and row[2] >= chosen.get(row[:2], (0, 0))[0]:
                chosen[row[:2]] = (row[2], number)
        assert numbers(select(table_of(rows))) == sorted(number for _, number in chosen.values())


FILES = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2)), max_size=6), max_size=4)


@settings(deadline=None)
@given(FILES)
def test_an_attempts_curves_come_from_the_file_that_has_most(files):
    rows = [(digest, attempt, number) for number, file in enumerate(files) for digest, attempt in file]
    values = {
        "digest": [r[0] for r in rows],
        "attempt": [r[1] for r in rows],
        "value": [float(n) for n in range(len(rows))],
    }
    table = pa.table(
        [pa.array(values[field.name], field.type) if field.name in values else pa.nulls(len(rows), field.type)
         for field in CURVES],
        schema=CURVES,
    )  # fmt: skip
    file_of_row = np.array([row[2] for row in rows], dtype=np.int64)
    kept = one_file_per_attempt(Gathered(table, file_of_row, (), (), ()))["value"].to_pylist()
    expected = []
    for key in {row[:2] for row in rows}:
        holders = {number: sum(row == (*key, number) for row in rows) for number in range(len(files))}
        most = max(holders.values())
        candidates = [
            [n for n, row in enumerate(rows) if row == (*key, file)] for file in holders if holders[file] == most
        ]
        (mine,) = ([n for n in kept if rows[int(n)][:2] == key],)
        assert mine in candidates
        expected.extend(mine)
    assert sorted(expected) == kept


def test_no_rows_have_no_latest():
    empty = table_of([])
    assert latest(empty).num_rows == best(empty).num_rows == one_row_per_attempt(empty).num_rows == 0
