"""Errors become a state and one line."""

import pytest

from harness.orchestrate.failures import HOST_MEMORY, KILLED, classify, classify_exception, one_line

DEATH = (
    "A worker health check failed.\nThe actor died unexpectedly before finishing this task.\nThe actor is dead because "
    "its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a "
    "connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer "
    "due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV "
    "or another unexpected error."
)


class OutOfMemoryError(RuntimeError):
    """Named as torch names it; the code under test may not import torch."""


@pytest.mark.parametrize(
    ("text", "state", "reason"),
    [
        (DEATH, "failed", KILLED),
        (f"{DEATH}\nTask was killed due to the node running low on memory.", "out_of_memory", HOST_MEMORY),
        ("Traceback ...\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory",
         "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("Traceback ...\n  line 3\nValueError: bad luck\n", "failed", "ValueError: bad luck"),
        ("", "failed", "no reason was given"),
    ],
)  # fmt: skip
def test_error_text_becomes_state_and_reason(text: str, state: str, reason: str) -> None:
    assert classify(text) == (state, reason)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"), "out_of_memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (ValueError("a file named MemoryError.txt is missing"), "failed"),
        (FloatingPointError("the loss is not a number in epoch 2"), "failed"),
    ],
)
def test_exceptions_are_told_apart_by_type(error: Exception, state: str) -> None:
    found, reason = classify_exception(error)
    assert found == state
    assert reason.startswith(type(error).__name__)
    assert "\n" not in reason


def test_a_reason_is_one_line_of_bounded_length() -> None:
    assert one_line("a\n  b") == "a b"
    assert len(one_line("x" * 1000)) == 300
