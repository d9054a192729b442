"""Probing files that nobody has vouched for, in helper processes that can be killed.

A helper is a plain Python process that imports decord (not torch) and answers one JSON line per path, so it starts
in a fraction of a second and is used for many files. When it is late or dies, it is killed and the next file gets
a new one; where decord crashed, PyAV gets its chance there. (`multiprocessing` would import the user's main script
again; a daemonic loader process may not use it.)
"""

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from harness.data.decode import READERS
from harness.data.decode_decord import load_decord
from harness.data.video import probe_here
from harness.data.video_info import ReaderName, UnreadableVideo, VideoInfo

PROBE_TIMEOUT_S = 60.0

START_TIMEOUT_S = 120.0
"""Longest start of a helper: importing from a cold network disk is slow, and no file's fault."""

MAX_HELPERS = 4

FILES_PER_HELPER = 16
"""A further helper must be worth its start, which takes as long as probing dozens of small files."""


def probe_video(path: Path | str, timeout_s: float = PROBE_TIMEOUT_S) -> VideoInfo:
    """Measure one file, whatever is in it.

    Raises:
        UnreadableVideo: the file cannot be used, or probing it crashed or took longer than `timeout_s`.
    """
    with _Helper() as helper:
        return _probe_with_any(helper, path, timeout_s)


def probe_videos(
    paths: Sequence[Path],
    timeout_s: float = PROBE_TIMEOUT_S,
    progress: Callable[[int, int], None] | None = None,
) -> list[VideoInfo | UnreadableVideo]:
    """Measure many files, a few at a time, in the order given; what cannot be read is returned, not raised.

    Args:
        paths: The files.
        timeout_s: Longest time for one file.
        progress: Called in this thread with (files done, files in all).
    """
    if not paths:
        return []
    count = min(MAX_HELPERS, os.cpu_count() or 1, math.ceil(len(paths) / FILES_PER_HELPER))
    with _helpers(count) as free, ThreadPoolExecutor(count) as threads:

        def probe(path: Path) -> VideoInfo | UnreadableVideo:
            helper = free.get()
            try:
                return _probe_with_any(helper, path, timeout_s)
            except UnreadableVideo as error:
                return error
            finally:
                free.put(helper)

        results = []
        for result in threads.map(probe, paths):
            results.append(result)
            if progress is not None:
                progress(len(results), len(paths))
        return results


def serve() -> None:
    """Answer one JSON line per path on standard input: the life of a helper process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Anything that C code prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    load_decord()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        try:
            question = json.loads(line)
            answer: dict[str, Any] = {"info": asdict(probe_here(question["path"], question["readers"]))}
        except UnreadableVideo as error:
            answer = {"reason": error.reason}
        except Exception as error:
            answer = {"reason": f"cannot be read: {type(error).__name__}"}
        print(json.dumps(answer), file=answers, flush=True)


def _probe_with_any(helper: "_Helper", path: Path | str, timeout_s: float) -> VideoInfo:
    """Probe with every reader in turn; a crash ends the helper, so the next reader starts in a new one."""
    try:
        return helper.probe(path, timeout_s)
    except UnreadableVideo as error:
        if not error.crashed:
            raise
        return helper.probe(path, timeout_s, READERS[1:])


def info_from_json(value: dict[str, Any]) -> VideoInfo:
    """Rebuild a VideoInfo from JSON."""
    times = value["timestamps_s"]
    return VideoInfo(**{**value, "timestamps_s": None if times is None else tuple(times)})


@contextmanager
def _helpers(count: int) -> Iterator[SimpleQueue["_Helper"]]:
    helpers = [_Helper() for _ in range(count)]
    free: SimpleQueue[_Helper] = SimpleQueue()
    for helper in helpers:
        free.put(helper)
    try:
        yield free
    finally:
        for helper in helpers:
            helper.stop()


class _Helper:
    """One helper process, started when first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def probe(self, path: Path | str, timeout_s: float, readers: Sequence[ReaderName] = READERS) -> VideoInfo:
        if self._process is not None and self._process.poll() is not None:
            # It was ended from outside between two files; the next file is not to blame.
            self.stop()
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            question = {"path": os.path.abspath(path), "readers": readers}
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            line = self._read_line(process, timeout_s)
        except BrokenPipeError:
            line = b""
        except BaseException:
            # An answer that is still under way would be taken for the next file's.
            self.stop()
            raise
        if line is None:
            self.stop()
            raise UnreadableVideo(f"probing it took longer than {timeout_s:g} s", passing=True)
        if not line.endswith(b"\n"):
            self.stop()
            raise UnreadableVideo("the decoder crashed on it", crashed=True)
        answer = json.loads(line)
        if "reason" in answer:
            raise UnreadableVideo(answer["reason"])
        return info_from_json(answer["info"])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        # The helper must find this package wherever this process found it, installed or not.
        package_root = str(Path(__file__).resolve().parents[2])
        code = f"import sys; sys.path.insert(0, {package_root!r}); from harness.data.probe import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,  # a terminal's Ctrl-C is for the study, which ends this process itself
        )
        if self._read_line(self._process, START_TIMEOUT_S) != b"ready\n":
            self.stop()
            raise RuntimeError(f"the process that probes videos did not start ({sys.executable} -c {code!r})")
        return self._process

    @staticmethod
    def _read_line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes | None:
        """Return a line, less than a line when the process has ended, or None when time is up."""
        assert process.stdout is not None
        descriptor, data, end = process.stdout.fileno(), b"", time.monotonic() + timeout_s
        while not data.endswith(b"\n"):
            # poll, because select fails on descriptors past 1023, which a Ray worker may reach.
            poll = select.poll()
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
            left_s = end - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                return None
            piece = os.read(descriptor, 65536)
            if not piece:
                return data
            data += piece
        return data
