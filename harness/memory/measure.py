"""Measured peak memory of training steps, on CUDA and on the CPU in the same sense.

Both count what tensors occupy at the worst moment of a step: weights, optimiser state, average, inputs,
activations and gradients. CUDA: the allocator's own maximum over the whole training. CPU: an own tracker over
the first steps (it slows a step; after the second, when the optimiser state exists, every step is alike).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.memory.tracker import LiveBytes, tensors_of

TRACKED_STEPS = 2
"""The second step is the first with optimiser state in place; later ones repeat it."""


class CpuMeter:
    """Peak live tensor bytes of the first steps."""

    source = "cpu_tracker"

    def __init__(self) -> None:
        """Start with nothing measured."""
        self.peak_bytes: int | None = None
        self.reserved_bytes: int | None = None
        self._steps = 0

    @contextmanager
    def step(self, *holders: Any) -> Iterator[None]:
        """Track one training step, if it is among the first."""
        if self._steps >= TRACKED_STEPS:
            yield
            return
        self._steps += 1
        tracker = LiveBytes()
        tracker.hold("held", (tensor for holder in holders for tensor in tensors_of(holder)))
        tracker.peak_bytes = max(tracker.peak_bytes, tracker.live_bytes)
        with tracker:
            yield
        self.peak_bytes = max(self.peak_bytes or 0, tracker.peak_bytes)


class CudaMeter:
    """The caching allocator's maximum since the meter was made."""

    source = "cuda_allocator"

    def __init__(self, device: torch.device) -> None:
        """Forget earlier peaks of the device."""
        self._device = device
        torch.cuda.reset_peak_memory_stats(device)

    @property
    def peak_bytes(self) -> int:
        """Most bytes in tensors at once."""
        return torch.cuda.max_memory_allocated(self._device)

    @property
    def reserved_bytes(self) -> int:
        """Most bytes the allocator held at once."""
        return torch.cuda.max_memory_reserved(self._device)

    @contextmanager
    def step(self, *holders: Any) -> Iterator[None]:
        """Do nothing: the allocator counts by itself."""
        yield


def meter_for(device: str) -> CpuMeter | CudaMeter:
    """Return the meter of a device."""
    return CudaMeter(torch.device(device)) if device.startswith("cuda") else CpuMeter()
