"""A query reads the tables and nothing else: no files, no network, no settings, and it leaves nothing behind."""

import contextlib
import socket
import threading

import duckdb
import pytest

from harness.tables import sql, write_row

SECRET = "hunter2"
READS = [
    "select * from '{csv}'",
    "select * from '{parquet}'",
    "select * from read_csv('{csv}')",
    "select * from read_csv_auto('{csv}')",
    "select * from sniff_csv('{csv}')",
    "select * from read_text('{csv}')",
    "select * from read_blob('{csv}')",
    "select * from read_json('{csv}')",
    "select * from read_parquet('{parquet}')",
    "select * from parquet_scan('{parquet}')",
    "select * from parquet_metadata('{parquet}')",
    "select * from parquet_schema('{parquet}')",
    "select * from query_table('{csv}')",
    "select * from query('from ''{csv}''')",
    "select * from trials where digest in (select content from read_text('{csv}'))",
    "with x as materialized (from read_text('{csv}')) select * from x",
    "select (select content from read_text('/proc/self/environ'))",
    "select * from glob('{folder}/*')",
    "select getenv('HOME')",
    "from results",
    "from make_row",
    "select * from duckdb_secrets()",
    "select * from which_secret('s3://bucket', 's3')",
]
WRITES = [
    "copy trials to '{out}'",
    "copy (select 1) to '{out}' (format parquet)",
    "explain analyze copy trials to '{out}'",
    "select * from query('copy (select 1) to ''{out}''')",
    "attach '{out}'",
    "attach '{out}' as x (type sqlite)",
    "export database '{out}'",
    "create table x as select 1",
    "create view x as select 1",
    "create or replace macro f() as 1",
    "create secret x (type s3, key_id 'a', secret 'b')",
    "drop view trials",
    "alter view trials rename to x",
    "insert into trials default values",
    "with x as (insert into trials default values returning *) from x",
    "update trials set digest = 'x'",
    "delete from trials",
    "truncate trials",
    "comment on view trials is 'x'",
    "begin",
    "checkpoint",
    "vacuum",
    "prepare x as select 1",
]
SETTINGS = [
    "set threads = 1",
    "set enable_external_access = true",
    "reset lock_configuration",
    "set temp_directory = '{folder}'",
    "pragma enable_profiling",
    "pragma profiling_output = '{out}'",
    "call enable_logging(storage = 'file', storage_path = '{folder}')",
    "select * from enable_logging(storage = 'file', storage_path = '{folder}')",
    "install httpfs",
    "load httpfs",
    "install x from '{folder}'",
    "load '{out}'",
    "use memory",
]
NETWORK = [
    "select * from 'http://{address}/x.csv'",
    "select * from read_csv('http://{address}/x.csv')",
    "select * from read_parquet('https://{address}/x.parquet')",
    "select * from read_text('s3://bucket/x?endpoint={address}')",
    "attach 'http://{address}/x.db'",
    "attach 'host=127.0.0.1' as x (type postgres)",
    "install httpfs from 'http://{address}'",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory, make_row):
    """A folder with results, a secret beside them, and a port that notes whoever knocks."""
    folder = tmp_path_factory.mktemp("world")
    write_row(folder / "results", make_row())
    (folder / "secret.csv").write_text(f"name,word\nme,{SECRET}\n")
    duckdb.sql(f"copy (select '{SECRET}' as word) to '{folder}/secret.parquet'")
    knocks = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def listen():
            while not done.is_set():
                try:
                    server.accept()[0].close()
                    knocks.append("knock")
                except TimeoutError:
                    continue

        listener = threading.Thread(target=listen)
        listener.start()
        names = {
            "folder": folder,
            "csv": folder / "secret.csv",
            "parquet": folder / "secret.parquet",
            "out": folder / "out",
            "address": f"127.0.0.1:{server.getsockname()[1]}",
        }
        yield names, knocks
        done.set()
        listener.join()


@pytest.mark.parametrize("query", [*READS, *WRITES, *SETTINGS, *NETWORK])
def test_nothing_else_can_be_read_written_set_or_called(world, query, monkeypatch):
    names, knocks = world
    monkeypatch.chdir(names["folder"])
    before = sorted(names["folder"].rglob("*"))
    with pytest.raises(ValueError, match=r"\S") as refusal:
        sql(query.format_map(names), names["folder"] / "results")
    assert "\n" not in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert sorted(names["folder"].rglob("*")) == before
    assert knocks == []


def table_functions():
    """Return the names of all table functions of this DuckDB that take a text first."""
    rows = duckdb.sql("""
        select distinct function_name, parameter_types[1] from duckdb_functions()
        where function_type in ('table', 'table_macro', 'pragma')
    """).fetchall()
    return sorted({name for name, kind in rows if kind in (None, "VARCHAR", "VARCHAR[]", "ANY")})


def test_no_table_function_reads_the_file_it_is_given(world):
    names, _ = world
    functions = table_functions()
    assert {"read_csv", "read_text", "glob", "parquet_metadata"} <= set(functions)
    for function in functions:
        shown = ""
        with contextlib.suppress(ValueError):
            shown = str(sql(f"select * from {function}('{names['csv']}')", names["folder"] / "nothing"))
        assert SECRET not in shown, function


def test_large_sorts_leave_no_files(world, monkeypatch):
    names, _ = world
    monkeypatch.chdir(names["folder"])
    before = sorted(names["folder"].rglob("*"))
    answer = sql("select count(*) n from (select range r from range(2000000) order by hash(r))", names["folder"])
    assert answer["n"].to_pylist() == [2_000_000]
    assert sorted(names["folder"].rglob("*")) == before
    # What does not fit into memory would be written there.
    assert sql("select current_setting('temp_directory') t", names["folder"])["t"].to_pylist() == [""]
