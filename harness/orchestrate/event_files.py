"""TensorBoard's event files: records that are appended one at a time, and read back.

A record is its length, a checksum of that, the bytes of an `Event`, and their checksum. `tensorboardX` (which Ray Tune
brings) knows how an `Event` is built; its writer is not used, because that is a thread, and one that meets a full disk
keeps whoever closes it waiting for ever.
"""

import importlib
import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PATTERN = "events.out.tfevents.*"
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_number = itertools.count()


class EventFile:
    """A new event file in a folder; it is made with the first event, and every event reaches it at once."""

    def __init__(self, folder: Path) -> None:
        """Know the folder. Earlier files in it stay: the last record of one whose writer was killed may be cut off."""
        self._folder = folder
        self._path: Path | None = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one point of several curves."""
        made = message("summary")
        points = [made.Summary.Value(tag=tag, simple_value=number) for tag, number in values.items()]
        self.summary(made.Summary(value=points), step)

    def summary(self, summary: Any, step: int = 0) -> None:
        """Write a summary.

        Raises:
            OSError: the disk is full, the folder is read-only...
        """
        self._write(wall_time=time.time(), step=step, summary=summary)

    def _write(self, **event: Any) -> None:
        records = _record(**event)
        if self._path is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_number)}"
            self._path = self._folder / PATTERN.replace("*", name)
            records = _record(wall_time=time.time(), file_version="brain.Event:2") + records
        # Opened for each record: a hundred trials hold no hundred files open, and a killed study loses nothing.
        with self._path.open("ab") as file:
            file.write(records)


def read_scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield tag, step and value of every point in the folder's event files, oldest file first."""
    for path in sorted(folder.glob(PATTERN)):
        for event in read_events(path):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def read_events(path: Path) -> Iterator[Any]:
    """Yield the events of a file up to its end, or to a record that is cut off or damaged."""
    from tensorboardX.record_writer import masked_crc32c

    event = message("event").Event
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            size, checksum = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != checksum:
                return
            data, tail = file.read(size), file.read(_CHECKSUM.size)
            if len(tail) < _CHECKSUM.size or masked_crc32c(data) != _CHECKSUM.unpack(tail)[0]:
                return
            yield event.FromString(data)


def message(name: str) -> Any:
    """Return tensorboardX's module of a kind of message; no checker knows their names.

    Imported late: the other commands of a study need none of it.
    """
    return importlib.import_module(f"tensorboardX.proto.{name}_pb2")


def _record(**event: Any) -> bytes:
    from tensorboardX.record_writer import masked_crc32c

    data = message("event").Event(**event).SerializeToString()
    size = struct.pack("<Q", len(data))
    return size + _CHECKSUM.pack(masked_crc32c(size)) + data + _CHECKSUM.pack(masked_crc32c(data))
