"""Live tensor bytes, counted while code runs: one unit for real CPU tensors and for fake ones.

CUDA's allocator reports its peak by itself; the CPU's does not, and the process's resident size is full of
libraries and caches. So the tracker watches every operator and counts the storages alive at once, each rounded
up to the allocator's 512 bytes. It cannot see scratch memory inside a kernel.

What the engine puts on the host (`models/engine/offload.py`) is counted apart; on a CPU run a copy stands for it.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from models.engine import offload

ROUNDING = 512
"""CUDA's caching allocator hands out memory in multiples of this many bytes."""
HOST = "host"
"""The category of what is not on the device."""
NEW = "activations"
"""The category of what operators create, until somebody names it otherwise."""


@dataclass(slots=True)
class Block:
    """A storage that is or was alive."""

    size: int
    category: str
    serial: int
    """The how manieth storage it is."""


def rounded(size: int) -> int:
    """Return the bytes that the allocator gives for a request."""
    return -(-size // ROUNDING) * ROUNDING


class LiveBytes(TorchDispatchMode):
    """Counts live storage bytes by category; enter it around the code to measure.

    Tensors that lived before must be named with `hold`; what operators create counts as `activations` until a
    later `hold` names it something else (a gradient, optimiser state).
    """

    def __init__(self) -> None:
        """Start with nothing alive."""
        super().__init__()
        self.live_bytes = 0
        self.by_category: dict[str, int] = {}
        self.host_peak_bytes = 0
        self._peak_bytes = 0
        self._at_peak: dict[str, int] = {}
        self._peak_moment = ""
        self._moment = ""
        self._grown = False
        self._count = 0
        self._storages: dict[int, tuple[Any, Block]] = {}

    @property
    def peak_bytes(self) -> int:
        """Most bytes alive at once on the device so far."""
        self._settle()
        return self._peak_bytes

    @property
    def at_peak(self) -> dict[str, int]:
        """Bytes by category at that moment."""
        self._settle()
        return self._at_peak

    @property
    def peak_moment(self) -> str:
        """What `at` had named when the peak was reached."""
        self._settle()
        return self._peak_moment

    def __enter__(self) -> "LiveBytes":
        """Begin to count, and to be told of what is made on the host."""
        offload.observers.append(self._on_host)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop counting what is made; what is alive still counts."""
        super().__exit__(*error)
        offload.observers.remove(self._on_host)

    def hold(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Count these tensors' storages under a category; those that wait on the host stay there."""
        for tensor in tensors:
            self._add(tensor, category, recategorise=True)

    def at(self, moment: str) -> None:
        """Name what runs from here on (forward, backward, optimiser step)."""
        self._settle()
        self._moment = moment

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, then count the storages of what it returned."""
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._add(value, NEW, recategorise=False)
        return result

    def _on_host(self, tensor: Tensor) -> None:
        self._add(tensor, HOST, recategorise=True)

    def _add(self, tensor: Tensor, category: str, *, recategorise: bool) -> None:
        storage = tensor.untyped_storage()
        known = self._storages.get(storage._cdata)
        if known is not None:
            block = known[1]
            if recategorise and block.category not in (category, HOST):
                self._tally(block, -1)
                block.category = category
                self._tally(block, 1)
            return
        self._settle()
        size = rounded(storage.nbytes())
        if size:
            self._born(storage, Block(size, category, self._count))

    def _born(self, storage: Any, block: Block) -> None:
        key = storage._cdata
        # The entry goes when the storage itself is freed, whoever held it last.
        reference = weakref.ref(storage, lambda _, key=key: self._gone(key))
        self._storages[key] = (reference, block)
        self._count += 1
        self._tally(block, 1)
        self._grown = True

    def _gone(self, key: int) -> Block:
        self._settle()
        _, block = self._storages.pop(key)
        self._tally(block, -1)
        return block

    def _tally(self, block: Block, sign: int) -> None:
        size = sign * block.size
        if block.category != HOST:
            self.live_bytes += size
        self.by_category[block.category] = self.by_category.get(block.category, 0) + size

    def _settle(self) -> None:
        """Look for a new peak; only now, because the last storage may have turned out to be the host's."""
        if not self._grown:
            return
        self._grown = False
        self.host_peak_bytes = max(self.host_peak_bytes, self.by_category.get(HOST, 0))
        if self.live_bytes > self._peak_bytes:
            self._peak_bytes = self.live_bytes
            self._at_peak = dict(self.by_category)
            self._peak_moment = self._moment


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
