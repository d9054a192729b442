"""Where tables lie: a folder of this machine or a prefix of an object store, behind the few operations they need.

A file is there as a whole or not at all. On a local file system it is written under another name, flushed and renamed;
on an object store it is a single put, which is all or nothing by itself; elsewhere it is written and renamed.
"""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import fs

from harness.atomic import whole_file

SUFFIX = ".parquet"
OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
"""File systems in which a put replaces the whole object at once."""
REMOTE_THREADS = 32
"""Requests under way at a time where each waits for a network."""
DELETE_THREADS = 16
"""Files that are deleted at a time; each waits, for a network or for the disk's journal."""


class TableUnwritable(OSError):
    """The results folder cannot be written to; the message is one sentence for the user."""


@dataclass(frozen=True)
class Place:
    """A folder or file on a file system. Tables can be kept on any that pyarrow or fsspec knows."""

    filesystem: fs.FileSystem
    path: str
    prefix: str = ""
    """What stands before the path where people see it, such as `s3://`."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """Whether it is a plain folder of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def shown(self) -> Path | str:
        """The place as its owner would write it: a local path, or a URI without the store's options."""
        return Path(self.path) if self.is_local else f"{self.prefix}{self.path}"

    @property
    def is_folder(self) -> bool:
        """Whether there is a folder, or on an object store anything below the prefix."""
        return self.filesystem.get_file_info(self.path).type == fs.FileType.Directory

    def child(self, *names: str) -> "Place":
        """Return a place below this one."""
        return replace(self, path="/".join((self.path.rstrip("/"), *names)))

    def __str__(self) -> str:
        return str(self.shown)


Location = Path | str | Place
"""A folder of tables: a path, a URI such as `s3://bucket/prefix`, or a `Place` on any other file system."""


class Found(NamedTuple):
    """A file in a listing."""

    place: Place
    folders: tuple[str, ...]
    """Names of the folders between the listed one and the file."""
    size: int


def place_of(location: Location) -> Place:
    """Return the place that a path or URI names.

    Options of an S3 store can stand in the URI: `s3://bucket/prefix?region=eu-west-1`, or for another store than
    Amazon's `?endpoint_override=HOST:PORT&scheme=https`. Credentials come from the usual environment or files.

    Raises:
        ValueError: the URI cannot be understood, or its file system is not known.
    """
    if isinstance(location, Place):
        return location
    if isinstance(location, str) and "://" in location:
        return _place_of_uri(location)
    scheme, colon, _ = str(location).partition(":/")
    if colon and len(scheme) > 1 and scheme.isalnum():
        raise ValueError(f"{location} was a URI before it became a path, which has one slash less; expected it as text")
    return Place(fs.LocalFileSystem(), str(location))


@cache
def _place_of_uri(uri: str) -> Place:
    scheme = uri.partition("://")[0]
    if scheme == "s3":
        # Files are opened when they are written, so that a table costs one request and not three.
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{uri.partition('?')[0]} is not a place that can be opened: {reason}") from error
    return Place(filesystem, path, f"{scheme}://")


def list_tables(folder: Place) -> list[Found]:
    """Return the table files in a folder and below, by path; a folder that does not exist has none."""
    selector = fs.FileSelector(folder.path, recursive=True, allow_not_found=True)
    start = len(folder.path.rstrip("/")) + 1
    return sorted(
        (
            Found(replace(folder, path=info.path), tuple(info.path[start:].split("/")[:-1]), info.size)
            for info in folder.filesystem.get_file_info(selector)
            if info.path.endswith(SUFFIX) and info.is_file
        ),
        key=lambda found: found.place.path,
    )


def read_bytes(file: Place) -> pa.Buffer:
    """Return what a file holds.

    Raises:
        FileNotFoundError: it is gone.
    """
    with file.filesystem.open_input_stream(file.path) as stream:
        return stream.read_buffer()


def write_bytes(file: Place, data: pa.Buffer | bytes) -> None:
    """Write a file so that no reader ever sees part of it.

    Raises:
        TableUnwritable: it cannot be written; nothing is left behind.
    """
    with _explained(file):
        if file.is_local:
            with whole_file(file.path) as temporary:
                temporary.write_bytes(data)
        elif _base(file.filesystem).type_name in OBJECT_STORES:
            with file.filesystem.open_output_stream(file.path) as stream:
                stream.write(data)
        else:
            _write_and_rename(file, data)


def delete(files: Sequence[Place]) -> None:
    """Delete files; those that are gone already are no error."""
    with ThreadPoolExecutor(DELETE_THREADS) as pool:
        list(pool.map(_delete, files))


def check_writable(folder: Location) -> None:
    """Write to a folder, made if need be, so that a study fails before its first trial and not after it.

    Raises:
        TableUnwritable: with one sentence that names the folder and the reason.
    """
    probe = place_of(folder).child(f"writable-{uuid.uuid4().hex}.probe")
    write_bytes(probe, b"\0" * 4096)
    with _explained(probe):
        _delete(probe)


def _write_and_rename(file: Place, data: pa.Buffer | bytes) -> None:
    folder, _, name = file.path.rpartition("/")
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}.tmp"
    file.filesystem.create_dir(folder, recursive=True)
    try:
        with file.filesystem.open_output_stream(temporary) as stream:
            stream.write(data)
        file.filesystem.move(temporary, file.path)
    except BaseException:
        _delete(replace(file, path=temporary))
        raise


def _delete(file: Place) -> None:
    try:
        file.filesystem.delete_file(file.path)
    except FileNotFoundError:
        return


def _base(filesystem: fs.FileSystem) -> fs.FileSystem:
    """Return the file system below the views of its subfolders."""
    while isinstance(filesystem, fs.SubTreeFileSystem):
        filesystem = filesystem.base_fs
    return filesystem


@contextmanager
def _explained(file: Place) -> Iterator[None]:
    """Turn an OSError into one sentence about the file's folder."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or next(iter(str(error).splitlines()), type(error).__name__)
        folder = str(file).rpartition("/")[0]
        raise TableUnwritable(f"results cannot be written to {folder}: {reason}") from error
