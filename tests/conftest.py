"""Shared fixtures: where the real data lies, and seeded randomness."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real annotations, predictions and videos; a user has none, so the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not there")
    return SHARED


@pytest.fixture
def one_thread() -> None:
    """Keep torch to one thread: results do not depend on the machine, and tests can run side by side."""
    import torch

    torch.set_num_threads(1)
