"""Files that are there as a whole or not at all: written under another name, flushed to the disk, then renamed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a name beside `path` to write to; it becomes `path` when the block ends, and vanishes when it raises.

    Whoever looks at `path` sees the old file or the new one, after a power cut too. The folder is made if need be. The
    temporary name starts with a dot and ends in `.tmp`, so that no pattern for finished files matches it.

        with whole_file(folder / "facts.json") as temporary:
            temporary.write_text(json.dumps(facts))
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None:
            raise
        # A full disk is noticed by whoever writes, and he knows no name, or the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until the disk holds a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
