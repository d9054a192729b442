"""The training loop's only way to speak to the outside: progress goes out, a wish to stop comes in.

Ray, a terminal and a test each bring their own `Reporter`; the loop knows none of them.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

Metrics = dict[str, float | int | str | None]


class Reporter(Protocol):
    """Receives progress; rank and world size say which part of a batch is this process's."""

    rank: int
    world_size: int

    def report(self, metrics: Metrics) -> None:
        """Take one set of metrics (epoch, loss, mAP, peak bytes, ...); must not block for long."""
        ...

    def should_stop(self) -> bool:
        """Say whether the trial should save its state and end as `interrupted`."""
        ...


@dataclass
class SilentReporter:
    """Keeps what is reported; for tests and for training in one plain process."""

    rank: int = 0
    world_size: int = 1
    reports: list[Metrics] = field(default_factory=list)

    def report(self, metrics: Metrics) -> None:
        """Keep the metrics."""
        self.reports.append(metrics)

    def should_stop(self) -> bool:
        """Never ask to stop."""
        return False


class Meter(Protocol):
    """Measures the peak memory of training steps; see `harness.memory.measure`."""

    def step(self, *holders: Any) -> AbstractContextManager[None]:
        """Enter around one training step; `holders` own the tensors that lived before it."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Enter around what is no training, such as a test: the peak of the steps stays what it was."""
        ...


class NoMeter:
    """Measures nothing."""

    def step(self, *holders: Any) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def aside(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


class Interrupted(Exception):
    """The trial was asked to stop; its state is in its checkpoint."""

    def __init__(self, message: str, curve: Sequence[Mapping[str, float | int]] = ()) -> None:
        """Say where it stopped, and give the curve of the epochs that it finished."""
        super().__init__(message)
        self.curve = curve
