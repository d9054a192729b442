"""The file of a single attempt: a Parquet file of one row that is quick to read.

Decoding 130 Parquet columns of one value each takes 1.2 ms, nearly all of it set-up. So the footer also holds the row
as one compressed Arrow message, which takes a fifth of that. It counts only while the columns are, byte for byte,
those that it was made from: whoever rewrites the file with a value changed is believed, not the copy.

    columns | footer: ... tadscale_row -> CHECKSUM SIZE MESSAGE. ...
"""

import base64
import io
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

from harness.tables.schema import VERSION_KEY, VERSIONED

COPY_KEY = b"tadscale_row"
START, END = b"tadscale:", b"."
"""Around the copy, so that it is found without decoding the footer; base64 has neither sign."""
CODEC = "zstd"
LARGEST = 1 << 24
"""More bytes than any row has; a damaged copy must not ask for gigabytes."""
_DIGITS = 8


def encode_single(table: pa.Table) -> bytes:
    """Return the bytes of a file with these rows, and a copy of the row where it is a single one.

    A row gains nothing from compression, dictionaries, statistics or Arrow's own schema beside Parquet's; with them its
    file takes three times as long to read.
    """
    sink = io.BytesIO()
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False, "store_schema": False}
    with pq.ParquetWriter(sink, table.schema, **plain) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(VERSIONED)
        if len(table) == 1:
            writer.add_key_value_metadata({COPY_KEY: _copy(table, sink.getvalue())})
    return sink.getvalue()


def decode(data: pa.Buffer, *, use_threads: bool = False) -> pa.Table:
    """Return the table of a Parquet file, from the copy where there is one that holds.

    Of the file's own metadata only the schema version is kept.
    """
    message = _message(data)
    if message is not None:
        with pa.ipc.open_stream(message) as reader:
            return reader.read_all()
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        stored = file.metadata.metadata or {}
        version = {VERSION_KEY: stored[VERSION_KEY]} if VERSION_KEY in stored else None
        return file.read(use_threads=use_threads).replace_schema_metadata(version)


def _copy(table: pa.Table, columns: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(VERSIONED)) as writer:
        writer.write_table(table)
    message = sink.getvalue()
    head = f"{_checksum(columns, message):0{_DIGITS}x}{message.size:0{_DIGITS}x}"
    return START + head.encode() + base64.b64encode(pa.compress(message, codec=CODEC)) + END


def _message(data: pa.Buffer) -> pa.Buffer | None:
    """Return the message of the copy in a file, or None when there is none, or it is damaged or of other columns."""
    # A Parquet file ends in its footer, the footer's length, and four bytes of signature.
    footer_bytes = int.from_bytes(data.slice(max(0, data.size - 8), 4).to_pybytes(), "little")
    columns_bytes = max(0, data.size - 8 - footer_bytes)
    _, start, rest = data.slice(columns_bytes).to_pybytes().partition(START)
    if not start:
        return None
    copy, _, _ = rest.partition(END)
    try:
        checksum, size = int(copy[:_DIGITS], 16), min(int(copy[_DIGITS : 2 * _DIGITS], 16), LARGEST)
        message = pa.decompress(base64.b64decode(copy[2 * _DIGITS :], validate=True), size, codec=CODEC)
    except (pa.ArrowException, OSError, ValueError):
        return None
    return message if _checksum(data.slice(0, columns_bytes), message) == checksum else None


def _checksum(columns: pa.Buffer | bytes, message: pa.Buffer) -> int:
    return zlib.crc32(message, zlib.crc32(columns))
