"""The file of a single attempt: its quick copy says what its columns say, or does not count."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.tables import TRIALS, load, write_curves, write_row
from harness.tables.single import COPY_KEY, decode, encode_single


@pytest.fixture
def path(tmp_path, make_row):
    return write_row(tmp_path, make_row())


def no_parquet(*_, **__):
    raise AssertionError("the columns were decoded")


def test_a_fresh_file_is_read_without_decoding_its_columns(path, monkeypatch):
    data = pa.py_buffer(path.read_bytes())
    columns = pq.read_table(path)
    monkeypatch.setattr(pq, "ParquetFile", no_parquet)
    copy = decode(data)
    assert copy.column_names == columns.column_names
    for name in copy.column_names:
        assert copy[name].to_pylist() == columns[name].to_pylist(), name


def test_the_types_of_the_copy_are_the_schemas(path):
    copy = decode(pa.py_buffer(path.read_bytes()))
    assert copy.schema.metadata == {b"tadscale_schema": b"1"}
    assert [(field.name, field.type) for field in copy.schema] == [
        (name, TRIALS.field(name).type) for name in copy.column_names
    ]


@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False, "write_statistics": False}])
def test_a_value_that_was_changed_in_the_file_is_believed(path, options):
    table = pq.read_table(path)
    assert COPY_KEY in table.schema.metadata
    changed = table.set_column(table.column_names.index("map_avg"), "map_avg", pa.array([0.25]))
    pq.write_table(changed, path, **options)
    assert COPY_KEY in pq.read_metadata(path).metadata
    assert load(path.parent)["map_avg"].to_pylist() == [0.25]


@pytest.mark.parametrize("damage", [b"!" * 400, b"A" * 400, b"A"])
@pytest.mark.parametrize("place", [0, 8, 16, 300])
def test_a_damaged_copy_does_not_count(path, damage, place):
    before = load(path.parent)
    data = path.read_bytes()
    start = data.index(COPY_KEY) + len(COPY_KEY) + 4 + place
    path.write_bytes(data[:start] + damage + data[start + len(damage) :])
    assert load(path.parent).equals(before)


def test_files_of_many_rows_have_no_copy(tmp_path):
    path = write_curves(tmp_path, "d", 1, [{"epoch": 0, "step": 0, "loss": 1.0, "lr": 0.1}])
    assert COPY_KEY not in pq.read_metadata(path).metadata
    assert decode(pa.py_buffer(path.read_bytes())).num_rows == 2


def test_what_is_not_ours_has_no_copy_and_no_version():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}, metadata={"mine": "1"}), sink)
    assert decode(sink.getvalue()).schema.metadata is None


def test_encoding_is_the_same_each_time(make_row):
    table = pa.table({"x": [1], "y": ["a"]})
    assert encode_single(table) == encode_single(table)
