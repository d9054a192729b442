"""Live tensor bytes, counted while code runs: one unit for real CPU tensors and for fake ones.

CUDA's allocator reports its peak by itself; the CPU's does not, and the process's resident size is full of
libraries and caches. So the tracker watches every operator and counts the storages alive at once, each rounded
up to the allocator's 512 bytes. It cannot see scratch memory inside a kernel.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

ROUNDING = 512
"""CUDA's caching allocator hands out memory in multiples of this many bytes."""


class LiveBytes(TorchDispatchMode):
    """Counts live storage bytes by category; enter it around the code to measure.

    Tensors that lived before must be named with `hold`; what operators create counts as `activations` until a
    later `hold` names it something else (a gradient, optimiser state).
    """

    def __init__(self) -> None:
        """Start with nothing alive."""
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self.by_category: dict[str, int] = {}
        self.at_peak: dict[str, int] = {}
        self._storages: dict[int, tuple[Any, int, str]] = {}
        self._moment = ""
        self.peak_moment = ""

    def hold(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Count these tensors' storages under a category."""
        for tensor in tensors:
            self._add(tensor, category, recategorise=True)

    def at(self, moment: str) -> None:
        """Name what runs from here on (forward, backward, optimiser step)."""
        self._moment = moment

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, then count the storages of what it returned."""
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._add(value, "activations", recategorise=False)
        return result

    def _add(self, tensor: Tensor, category: str, *, recategorise: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._storages.get(key)
        if known is not None:
            reference, size, before = known
            if recategorise and before != category:
                self._count(before, -size)
                self._count(category, size)
                self._storages[key] = (reference, size, category)
            return
        size = -(-storage.nbytes() // ROUNDING) * ROUNDING
        if size == 0:
            return
        # The entry goes when the storage itself is freed, whoever held it last.
        reference = weakref.ref(storage, lambda _, key=key: self._remove(key))
        self._storages[key] = (reference, size, category)
        self._count(category, size)
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
            self.at_peak = dict(self.by_category)
            self.peak_moment = self._moment

    def _remove(self, key: int) -> None:
        _, size, category = self._storages.pop(key)
        self._count(category, -size)

    def _count(self, category: str, size: int) -> None:
        self.live_bytes += size
        self.by_category[category] = self.by_category.get(category, 0) + size


def tensors_of(holder: Any) -> Iterator[Tensor]:
    """Yield the tensors of a module (with gradients), an optimiser, a mapping, a list or a tensor."""
    if isinstance(holder, Tensor):
        yield holder
    elif isinstance(holder, torch.nn.Module):
        for parameter in holder.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        yield from holder.buffers()
    elif isinstance(holder, torch.optim.Optimizer):
        for state in holder.state.values():
            yield from tensors_of(state)
    elif isinstance(holder, dict):
        for value in holder.values():
            yield from tensors_of(value)
    elif isinstance(holder, list | tuple):
        for value in holder:
            yield from tensors_of(value)
