"""A results row as a trial writes it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.config import TrialConfig, digest, flatten, with_values
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
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
            "versions": {"python": "3.11.7"},
            "argv": ["scale_frames.py", "--quick"],
            "started_utc": START + timedelta(hours=attempt),
            "ended_utc": START + timedelta(hours=attempt, minutes=5),
            **flatten(changed),
            **changes,
        }

    return make
