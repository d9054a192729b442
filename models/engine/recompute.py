"""Running one module so that only its input is kept, on the device or on the host; the rest is computed again.

For what cannot be run part by part: blocks over native time (SlowFast, Video Swin) and adapters beside a backbone that
see neighbours in space.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.adapters import Run, TokenGrid
from models.engine.kept import Kept
from models.engine.numbers import Numbers


def recomputing(keep_on: Literal["device", "host"]) -> Run:
    """Return what runs a module and keeps its input at a place.

    A module that needs no gradient, such as a frozen block before the first adapted one, is simply called: autograd
    keeps nothing of it. The random state is restored for the recomputation, so drop path draws the same masks.
    """

    def run(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
        anchor = next((p for p in module.parameters() if p.requires_grad), None)
        if not ((tokens.requires_grad or anchor is not None) and torch.is_grad_enabled()):
            return module(tokens, grid)
        result = _Recomputed.apply(module, grid, keep_on, tokens, anchor)
        assert isinstance(result, Tensor)
        return result

    return run


run_recomputed = recomputing("device")


class _Recomputed(torch.autograd.Function):
    """Adds to the parameters' gradients by itself; the anchor only tells autograd that there are any."""

    @staticmethod
    def forward(
        ctx: Any,
        module: nn.Module,
        grid: TokenGrid,
        keep_on: Literal["device", "host"],
        tokens: Tensor,
        anchor: Tensor | None,
    ) -> Tensor:
        ctx.module, ctx.grid = module, grid
        ctx.numbers, ctx.random, ctx.device = Numbers.now(tokens.device), _random_state(tokens.device), tokens.device
        ctx.kept = Kept(keep_on, tokens.device)
        ctx.kept.put(tokens)
        with ctx.numbers.context():
            return module(tokens, grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        tokens = ctx.kept.take().detach().requires_grad_(ctx.needs_input_grad[3])
        with _random_state_of(ctx.random, ctx.device), torch.enable_grad(), ctx.numbers.context():
            result = ctx.module(tokens, ctx.grid)
        torch.autograd.backward(result, gradient)
        return None, None, None, tokens.grad, None


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@contextmanager
def _random_state_of(state: Tensor, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)
        yield
