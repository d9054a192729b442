"""Tensors that wait on the host: pinned copies on CUDA, plain copies elsewhere.

On a CPU run a copy stands for the host's, so that every policy runs, is tested and is measured without a GPU; whoever
counts bytes learns of it through `observers`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

observers: list[Callable[[Tensor], None]] = []
"""Called with every tensor that is made on the host, before anything is copied into it."""


def empty_on_host(like: Tensor) -> Tensor:
    """Return host memory for a tensor's values; pinned where the tensor is on a GPU."""
    made = torch.empty(like.shape, dtype=like.dtype, device="cpu", pin_memory=like.is_cuda)
    for observe in observers:
        observe(made)
    return made


def to_host(tensor: Tensor) -> Tensor:
    """Return a copy on the host. From a GPU it is asynchronous: valid once the current stream has come this far."""
    return empty_on_host(tensor).copy_(tensor.detach(), non_blocking=True)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy on the device of a tensor that waits on the host; asynchronous from pinned memory."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor, non_blocking=True)
