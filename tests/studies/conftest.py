"""Torch in one thread: the machine is shared."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Leave the other cores to others."""
    torch.set_num_threads(1)
