"""What a forward pass keeps for its backward pass, in the order in which it comes, on the device or on the host.

forward    put 0, put 1, ... put n       on a GPU a stream of its own copies while the next block runs
backward   take n, ... take 1, take 0    and fetches the next one while this one is used
"""

from typing import Literal

import torch
from torch import Tensor

from models.engine.offload import empty_on_host


class Kept:
    """A stack of tensors. Whoever puts one must not write into it afterwards."""

    def __init__(self, where: Literal["device", "host"], device: torch.device) -> None:
        """Start empty."""
        self._where, self._device = where, device
        self._waiting: list[Tensor] = []
        self._leaving: tuple[Tensor, torch.cuda.Event] | None = None
        self._arriving: tuple[Tensor, torch.cuda.Event | None] | None = None
        self._stream = torch.cuda.Stream(device) if where == "host" and device.type == "cuda" else None

    def put(self, tensor: Tensor) -> None:
        """Keep a tensor."""
        if self._where == "device":
            self._waiting.append(tensor)
            return
        host = empty_on_host(tensor)
        self._waiting.append(host)
        if self._stream is None:
            host.copy_(tensor)
            return
        self._wait_for_leaving()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            host.copy_(tensor, non_blocking=True)
            # The tensor is held until the compute stream has waited for the copy. Unlike `record_stream`, this gives
            # its memory back at a known moment: at most one boundary is on its way however slow the bus is.
            self._leaving = (tensor, _recorded(self._stream))

    def fetch(self) -> None:
        """Start to bring the next tensor back, so that `take` finds it there; does nothing on the device."""
        if self._where == "device" or self._arriving is not None or not self._waiting:
            return
        self._wait_for_leaving()
        host = self._waiting.pop()
        arrived = torch.empty(host.shape, dtype=host.dtype, device=self._device)
        if self._stream is None:
            self._arriving = (arrived.copy_(host), None)
            return
        # The memory was the compute stream's: what it did with it before must be done.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            arrived.copy_(host, non_blocking=True)
            self._arriving = (arrived, _recorded(self._stream))

    def take(self) -> Tensor:
        """Return the tensor that was put last, and forget it."""
        if self._where == "device":
            return self._waiting.pop()
        self.fetch()
        assert self._arriving is not None
        tensor, event = self._arriving
        self._arriving = None
        if event is not None:
            torch.cuda.current_stream(self._device).wait_event(event)
        return tensor

    def __len__(self) -> int:
        return len(self._waiting) + (self._arriving is not None)

    def _wait_for_leaving(self) -> None:
        if self._leaving is not None:
            torch.cuda.current_stream(self._device).wait_event(self._leaving[1])
            self._leaving = None


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(stream)
    return event
