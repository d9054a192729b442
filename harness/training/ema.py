"""Exponential moving average over what trains; the frozen backbone needs no second copy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from models.detector import Detector
from models.tuning import load_trainable_state, trainable_state


class Ema:
    """Average of trainable parameters and head buffers; starts as a copy, without warm-up (adatad-facts 7.2)."""

    def __init__(self, detector: Detector, decay: float) -> None:
        """Copy the detector's current trainable state."""
        self.decay = decay
        self.state: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in trainable_state(detector).items()
        }

    @torch.no_grad()
    def update(self, detector: Detector) -> None:
        """Move the average towards the detector's current state."""
        current = trainable_state(detector)
        for name, average in self.state.items():
            average.lerp_(current[name].detach(), 1.0 - self.decay)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved average."""
        self.state = {name: value.clone() for name, value in state.items()}

    @contextmanager
    def applied(self, detector: Detector) -> Iterator[None]:
        """Give the detector the averaged weights inside the block, and its own back after it."""
        own = {name: value.detach().clone() for name, value in trainable_state(detector).items()}
        load_trainable_state(detector, self.state)
        try:
            yield
        finally:
            load_trainable_state(detector, own)
