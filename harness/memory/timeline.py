"""The life of every storage of a traced step: when it was made and freed, in which phase, and by which layer.

From it come the peak with its breakdown and its moment, what an allocator would reserve, and what the step costs.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from harness.memory.tracker import HOST, NEW, Block, LiveBytes, rounded

Phase = Literal["forward", "backward", "optimiser step"]
Place = tuple[Phase, str]
"""A phase of a step, and the path of the module at work."""
NO_GRAPH_TASK = -1
KEPT, TRANSIENT, HEAD = "activations kept", "transient", "head"
"""What operators make: alive from the forward into the backward pass, short-lived, or the head's."""


@dataclass(slots=True)
class Life(Block):
    """A storage with where it comes from."""

    phase: Phase
    layer: str
    born: int
    """Position among the events."""
    died: int | None = None
    """None: still alive at the end."""


@dataclass
class Work:
    """What a step has to compute and move; the device's rates make seconds of it."""

    half_flops: float = 0.0
    """Matrix products and attention in 16-bit formats."""
    full_flops: float = 0.0
    """The same in float32 or wider."""
    bytes_touched: int = 0
    """Read and written by everything else."""
    bytes_moved: int = 0
    """Between device and host."""

    @property
    def flops(self) -> float:
        """Floating-point operations in all."""
        return self.half_flops + self.full_flops


@dataclass(frozen=True)
class Peak:
    """The worst moment of a trace, or of one place in it."""

    bytes: int
    breakdown: dict[str, int]
    phase: Phase
    layer: str
    """Path of the innermost module at work; empty outside any."""


@dataclass
class _Call:
    """A stretch of autograd's numbering of operators that belongs to one module."""

    starts: list[int] = field(default_factory=lambda: [0])
    layers: list[str] = field(default_factory=lambda: [""])


class Timeline(LiveBytes):
    """Counts as its base does, and remembers everything. For fake tensors: it is too slow for real training."""

    def __init__(self, *, scratch: Callable[[Any, Any], int] | None = None) -> None:
        """Start with nothing alive.

        Args:
            scratch: returns the bytes that an operator uses inside its kernel, given the operator and its arguments.
        """
        super().__init__()
        self.lives: list[Life] = []
        self.events: list[int] = []
        """Serial numbers of storages born, and their complements where they died."""
        self.work = Work()
        self._phase: Phase = "forward"
        self._stack: list[str] = []
        self._calls = _Call()
        self._backward_from: list[int] = []
        self._began = 0
        self._scratch = scratch

    def watch(self, module: nn.Module, depth: int = 4) -> None:
        """Name layers by the modules at work, those at most so many names deep."""
        for name, child in module.named_modules():
            if name and name.count(".") < depth:
                child.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                child.register_forward_hook(lambda *_: self._leave(), always_call=True)

    def begin(self) -> None:
        """Say that a step begins; what it computes and moves is counted anew."""
        self._phase, self.work, self._began = "forward", Work(), len(self.events)
        self._calls = _Call()

    def reserve(self, category: str, size: int) -> None:
        """Count bytes that stay for good and that no tensor here stands for."""
        if size:
            self._log(Life(rounded(size), category, len(self.lives), "forward", "", len(self.events)))

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and note its storages and its cost."""
        self._note_phase()
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self._note_work(func, args, kwargs or {}, result)
        if self._scratch is not None and (size := self._scratch(func, args)):
            self.reserve(TRANSIENT, size)
            self._end(self.lives[-1])
        return result

    def hold(self, category: str, tensors: Iterable[Tensor], *, on_host: bool = False) -> None:
        """Count tensors under a category, from their birth on; `on_host` for what waits there by agreement."""
        super().hold(HOST if on_host else category, tensors)

    def peaks(self) -> list[Peak]:
        """Return the worst moment of every place of the step: every phase of every layer."""
        total, now = 0, dict[str, int]()
        most: dict[Place, tuple[int, dict[str, int]]] = {}
        kinds = [self.kind(life) for life in self.lives]
        for position, event in enumerate(self.events):
            life = self.lives[event if event >= 0 else ~event]
            if life.category == HOST:
                continue
            size, kind = life.size if event >= 0 else -life.size, kinds[life.serial]
            total += size
            now[kind] = now.get(kind, 0) + size
            place = (life.phase, life.layer)
            # What was there while the detector was built is not of the step.
            if event >= 0 and position >= self._began and total > most.get(place, (-1, {}))[0]:
                most[place] = (total, dict(now))
        return [
            Peak(size, {name: part for name, part in parts.items() if part}, *place)
            for place, (size, parts) in most.items()
        ]

    def host_peaks(self) -> dict[Place, int]:
        """Return the most bytes that waited on the host at once, at every place where something was put there."""
        total, most = 0, dict[Place, int]()
        for position, event in enumerate(self.events):
            life = self.lives[event if event >= 0 else ~event]
            if life.category != HOST:
                continue
            total += life.size if event >= 0 else -life.size
            # What waited there while the detector was built is not of the step; what is left of it, is.
            place: Place = (life.phase, life.layer) if position >= self._began else ("forward", "")
            most[place] = total if position < self._began else max(most.get(place, 0), total)
        return most

    def kind(self, life: Life) -> str:
        """Return the category of a storage in words, what operators made told apart by its fate."""
        if life.category != NEW:
            return life.category
        if life.layer.startswith("head"):
            return HEAD
        turn = bisect_right(self._backward_from, life.born)
        survives = turn < len(self._backward_from) and (life.died is None or life.died > self._backward_from[turn])
        return KEPT if life.phase == "forward" and survives else TRANSIENT

    def _note_phase(self) -> None:
        if torch._C._current_graph_task_id() != NO_GRAPH_TASK:
            if self._phase == "forward":
                self._backward_from.append(len(self.events))
            self._phase = "backward"
        elif self._phase == "backward":
            self._phase = "optimiser step"

    def _layer(self) -> str:
        if self._stack:
            return self._stack[-1]
        node = torch._C._current_autograd_node() if self._phase == "backward" else None
        if node is None:
            return ""
        number = node._sequence_nr()  # type: ignore[attr-defined]
        return self._calls.layers[max(bisect_right(self._calls.starts, number) - 1, 0)]

    def _enter(self, name: str) -> None:
        self._stack.append(name)
        self._mark(name)

    def _leave(self) -> None:
        self._stack.pop()
        self._mark(self._stack[-1] if self._stack else "")

    def _mark(self, name: str) -> None:
        number = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        if number >= self._calls.starts[-1]:
            self._calls.starts.append(number)
            self._calls.layers.append(name)

    def _born(self, storage: Any, block: Block) -> None:
        life = Life(block.size, block.category, len(self.lives), self._phase, self._layer(), len(self.events))
        super()._born(storage, life)
        self._log(life)

    def _log(self, life: Life) -> None:
        self.lives.append(life)
        self.events.append(life.serial)

    def _gone(self, key: int) -> Block:
        block = super()._gone(key)
        assert isinstance(block, Life)
        self._end(block)
        return block

    def _end(self, life: Life) -> None:
        life.died = len(self.events)
        self.events.append(~life.serial)

    def _on_host(self, tensor: Tensor) -> None:
        # There and back again.
        self.work.bytes_moved += 2 * tensor.nbytes
        super()._on_host(tensor)

    def _note_work(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if _only_looks(func):
            return
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            flops = formula(*args, **kwargs, out_val=result)
            first = next(value for value in tree_iter(args) if isinstance(value, Tensor))
            if first.dtype in (torch.float16, torch.bfloat16):
                self.work.half_flops += flops
            else:
                self.work.full_flops += flops
            return
        for value in (*tree_iter(args), *tree_iter(result)):
            if isinstance(value, Tensor):
                self.work.bytes_touched += value.nbytes


@cache
def _only_looks(func: Any) -> bool:
    """Return whether an operator gives back memory that was there, without writing to it."""
    aliases = [value.alias_info for value in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)
