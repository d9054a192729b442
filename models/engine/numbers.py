"""The number formats of a forward pass, to be taken up again where the backward pass recomputes."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Numbers:
    """Whether autocast is on, and to what."""

    device_type: str
    enabled: bool
    dtype: torch.dtype

    @classmethod
    def now(cls, device: torch.device) -> "Numbers":
        """Return what holds at this moment."""
        kind = device.type
        return cls(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))

    def context(self) -> AbstractContextManager[object]:
        """Return a context in which the same holds.

        Without autocast's cache of half-precision weights: it would keep those of the whole network alive until the
        step's forward pass ends, and hand copies made without gradients to what needs gradients.
        """
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled, cache_enabled=False)

    @property
    def compute_dtype(self) -> torch.dtype | None:
        """Return the format in which matrix products are taken; None: that of their inputs."""
        return self.dtype if self.enabled else None
