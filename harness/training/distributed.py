"""Data parallelism: one all-reduce over what trains, nothing for what is frozen.

Torch's DistributedDataParallel would build buckets and hooks for every parameter and fire them per backward
call; a detector whose backbone is frozen needs neither (design.md part 6, item 1).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


def world_size() -> int:
    """Return the number of processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number among them; 0 without a process group."""
    return dist.get_rank() if world_size() > 1 else 0


def average_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; a missing gradient counts as zero."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= world_size()
    for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def broadcast_buffers(module: torch.nn.Module) -> None:
    """Give every process rank 0's buffers (the loss normaliser), as the official training does; not constants."""
    if world_size() == 1:
        return
    stored = module.state_dict().keys()
    for name, buffer in module.named_buffers():
        if name in stored and buffer.is_floating_point():
            dist.broadcast(buffer, src=0)


def broadcast_parameters(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Start every process from rank 0's trainable parameters."""
    if world_size() == 1:
        return
    for parameter in parameters:
        dist.broadcast(parameter.data, src=0)


def gather(value: Any) -> list[Any]:
    """Return every process's value, in rank order, on every process."""
    size = world_size()
    if size == 1:
        return [value]
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, value)
    return gathered


def any_rank(flag: bool) -> bool:
    """Return whether the flag is set on any process, so that all of them act alike."""
    return any(gather(flag)) if world_size() > 1 else flag
