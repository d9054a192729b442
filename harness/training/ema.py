"""Exponential moving average over what trains; the frozen backbone needs no second copy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from models.detector import Detector
from models.engine.offload import to_host
from models.tuning import load_trainable_state, trainable_state


class Ema:
    """Average of trainable parameters and head buffers; starts as a copy, without warm-up (adatad-facts 7.2).

    It lives where the detector's engine wants it. The reference policy also averages the frozen weights, as the paper's
    training does: that changes none of them, but takes memory and time.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        """Copy the detector's current trainable state."""
        self.decay = decay
        self._on_host = detector.engine.averages_on == "host"
        self.state: dict[str, Tensor] = self._copies(trainable_state(detector))
        self.frozen: dict[str, Tensor] = self._copies(_frozen_state(detector))

    @torch.no_grad()
    def update(self, detector: Detector) -> None:
        """Move the average towards the detector's current state."""
        for averages, current in ((self.state, trainable_state(detector)), (self.frozen, _frozen_state(detector))):
            if self._on_host:
                current = self._copies(current)
                _wait_for_copies(detector)
            for name, average in averages.items():
                average.lerp_(current[name].detach(), 1.0 - self.decay)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved average."""
        self.state = self._copies(state)

    def _copies(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: to_host(value) if self._on_host else value.detach().clone() for name, value in state.items()}

    @contextmanager
    def applied(self, detector: Detector) -> Iterator[None]:
        """Give the detector the averaged weights inside the block, and its own back after it."""
        own = {name: value.detach().clone() for name, value in trainable_state(detector).items()}
        load_trainable_state(detector, self.state)
        try:
            yield
        finally:
            load_trainable_state(detector, own)


def _frozen_state(detector: Detector) -> dict[str, Tensor]:
    if detector.engine.policy != "reference":
        return {}
    return {name: value for name, value in detector.named_parameters() if not value.requires_grad}


def _wait_for_copies(detector: Detector) -> None:
    device = next(detector.parameters()).device
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
