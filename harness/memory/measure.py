"""Measured peak memory of training steps, on CUDA and on the CPU in the same sense.

Both count what tensors occupy at the worst moment of a step: weights, optimiser state, average, inputs,
activations and gradients. CUDA: the allocator's own maximum over the whole training, tests left out. CPU: an own
tracker over the first steps (it slows a step; after the second, when the optimiser state exists, every step is alike).
"""

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.memory.tracker import HOST, LiveBytes, tensors_of
from models.config import EngineConfig
from models.engine import offload

TRACKED_STEPS = 2
"""The second step is the first with optimiser state in place; later ones repeat it."""


class CpuMeter:
    """Peak live tensor bytes of the first steps. What the engine puts on the host does not count, as on a GPU.

    Enter it before the training's state is made, so that it learns which of it waits on the host.
    """

    source = "cpu_tracker"

    def __init__(self, engine: EngineConfig | None = None) -> None:
        """Start with nothing measured; `engine` says whether frames wait on the host."""
        self.peak_bytes: int | None = None
        self.reserved_bytes: int | None = None
        self._frames_on_host = engine is not None and engine.inputs_on == "host"
        self._on_host: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._steps = 0

    def __enter__(self) -> "CpuMeter":
        """Begin to be told of what is made on the host."""
        offload.observers.append(self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop listening."""
        offload.observers.remove(self._note)

    @contextmanager
    def step(self, *holders: Any) -> Iterator[None]:
        """Track one training step, if it is among the first."""
        if self._steps >= TRACKED_STEPS:
            yield
            return
        self._steps += 1
        tracker = LiveBytes()
        for tensor in (tensor for holder in holders for tensor in tensors_of(holder)):
            tracker.hold(HOST if self._waits_on_host(tensor) else "held", [tensor])
        with tracker:
            yield
        self.peak_bytes = max(self.peak_bytes or 0, tracker.peak_bytes)

    def aside(self) -> AbstractContextManager[None]:
        """Do nothing: only steps are tracked."""
        return nullcontext()

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._on_host[storage._cdata] = storage

    def _waits_on_host(self, tensor: Tensor) -> bool:
        if self._frames_on_host and tensor.dtype == torch.uint8:
            return True
        return tensor.untyped_storage()._cdata in self._on_host


class CudaMeter:
    """The caching allocator's maximum since the meter was made."""

    source = "cuda_allocator"

    def __init__(self, device: torch.device) -> None:
        """Forget earlier peaks of the device."""
        self._device = device
        self._peak_before = self._reserved_before = 0
        torch.cuda.reset_peak_memory_stats(device)

    def __enter__(self) -> "CudaMeter":
        """Do nothing: the allocator counts by itself."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Do nothing."""

    @property
    def peak_bytes(self) -> int:
        """Most bytes in tensors at once."""
        return max(self._peak_before, torch.cuda.max_memory_allocated(self._device))

    @property
    def reserved_bytes(self) -> int:
        """Most bytes the allocator held at once, tests included: what a neighbour on the card has to live with."""
        return max(self._reserved_before, torch.cuda.max_memory_reserved(self._device))

    @contextmanager
    def step(self, *holders: Any) -> Iterator[None]:
        """Do nothing: the allocator counts by itself."""
        yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Forget the tensors of what happens inside, but not what the allocator then held."""
        peak = self.peak_bytes
        try:
            yield
        finally:
            self._reserved_before = self.reserved_bytes
            torch.cuda.reset_peak_memory_stats(self._device)
            self._peak_before = peak


def meter_for(device: str, engine: EngineConfig | None = None) -> CpuMeter | CudaMeter:
    """Return the meter of a device for trainings with an engine policy."""
    return CudaMeter(torch.device(device)) if device.startswith("cuda") else CpuMeter(engine)
