"""A results row as a trial writes it, and a local server that speaks S3."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from harness.config import TrialConfig, digest, flatten, with_values
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig

START = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def make_row() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a row; keywords change the row, `config` changes its config."""

    def make(config: dict[str, Any] | None = None, attempt: int = 1, **changes: Any) -> dict[str, Any]:
        base = TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], adapter=AdapterConfig()))
        changed = with_values(base, config or {})
        return {
            "study": "scale_frames",
            "trial": "frames 768",
            "digest": digest(changed),
            "attempt": attempt,
            "state": "finished",
            "map_avg": 0.5,
            "map_at": {"0.5": 0.6, "0.7": 0.4},
            "ap": {"left": 0.5, "right": 0.5},
            "peak_bytes": 123_456_789_012,
            "memory_source": "cpu_tracker",
            "versions": {"python": "3.11.7"},
            "argv": ["scale_frames.py", "--quick"],
            "started_utc": START + timedelta(hours=attempt),
            "ended_utc": START + timedelta(hours=attempt, minutes=5),
            **flatten(changed),
            **changes,
        }

    return make


@pytest.fixture
def run_writers() -> Callable[..., list[subprocess.Popen[bytes]]]:
    """Return a function that starts processes which each write some attempts of a trial of their own."""

    def run(folder: str, row: dict[str, Any], processes: int, attempts: int) -> list[subprocess.Popen[bytes]]:
        import pickle

        return [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, pickle.dumps((folder, row, f"{number:016x}", attempts)).hex()], cwd=ROOT
            )
            for number in range(processes)
        ]

    return run


WRITER = """
import pickle, sys
from harness.tables import write_curves, write_row
folder, row, digest, attempts = pickle.loads(bytes.fromhex(sys.argv[1]))
for attempt in range(attempts):
    write_row(folder, {**row, "digest": digest, "attempt": attempt})
    write_curves(folder, digest, attempt, [{"epoch": 0, "step": step, "loss": 1.0} for step in range(3)])
"""


@dataclass(frozen=True)
class S3Server:
    """A server on this machine and the requests that it was sent."""

    address: str
    log: Path

    def uri(self, path: str) -> str:
        return f"s3://{path}?endpoint_override={self.address}&scheme=http"

    def requests(self, word: str) -> list[str]:
        """Return the requests so far that contain a word, as `PUT /bucket/key`."""
        lines = [line.partition('"')[2] for line in self.log.read_text().splitlines() if word in line]
        return [
            line.partition(" HTTP")[0].rpartition("m")[2] if "\x1b" in line else line.partition(" HTTP")[0]
            for line in lines
        ]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start moto's S3 server, with the bucket `bucket`."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip(
            "there is no S3 server to test against: uv run --with 'moto[s3,server]' pytest tests/harness/tables"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "requests.log"
    before = dict(os.environ)
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_EC2_METADATA_DISABLED="true")
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=sink, stderr=sink
        )
    try:
        server = S3Server(f"127.0.0.1:{port}", log)
        _wait_for(port, process)
        filesystem, _ = fs.FileSystem.from_uri(f"{server.uri('bucket')}&allow_bucket_creation=true")
        filesystem.create_dir("bucket")
        yield server
    finally:
        process.kill()
        process.wait()
        os.environ.clear()
        os.environ.update(before)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the S3 server ended"
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the S3 server did not start")
