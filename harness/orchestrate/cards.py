"""A worker and its cards: which of those that Ray gave it computes, and how much of it may be filled."""

import os
from collections.abc import Sequence

import ray


def take_largest_card() -> None:
    """Compute on the largest of the cards that Ray gave this worker; without a card do nothing.

    Ray shows a worker the cards of all ranks on its node, for their traffic with each other, so "cuda" alone would put
    them all on the first one. A worker has several cards where not every card of its node is large enough (packing.py).
    """
    mine = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    if not mine:
        return
    import torch

    if torch.cuda.is_available():
        sizes = [torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count())]
        torch.cuda.set_device(largest(mine, os.environ.get("CUDA_VISIBLE_DEVICES"), sizes))


def largest(mine: Sequence[str], visible: str | None, sizes: Sequence[int]) -> int:
    """Return CUDA's number of the largest of a worker's cards.

    Args:
        mine: Ray's names of the worker's cards.
        visible: what CUDA was told to show, in its order; None: all.
        sizes: bytes of each card that CUDA shows.
    """
    shown = visible.split(",") if visible else [str(number) for number in range(len(sizes))]
    numbers = [shown.index(name) for name in mine if name in shown] or range(len(sizes))
    return max(numbers, key=lambda number: sizes[number])


def bound_memory(card_bytes: int | None) -> None:
    """Let a trial that outgrows its part of a card run out of memory itself, instead of a neighbour."""
    if card_bytes is None:
        return
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.current_device()
        total = torch.cuda.get_device_properties(card).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, card_bytes / total), card)
