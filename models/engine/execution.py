"""What a step keeps between its forward and its backward pass.

A policy is a function that runs one block (or one adapter outside the backbone). All policies compute the same
numbers; a test holds them to it.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.adapters import Run, TokenGrid, run_plainly
from models.config import EngineConfig


def run_recomputed(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """Keep the module's input only and compute the rest again in the backward pass.

    A module that needs no gradient, such as a frozen block before the first adapted one, is simply called: autograd
    keeps nothing of it. The random state is restored for the recomputation, so drop path draws the same masks.
    """
    needed = tokens.requires_grad or any(parameter.requires_grad for parameter in module.parameters())
    if not (needed and torch.is_grad_enabled()):
        return module(tokens, grid)
    result = checkpoint(module, tokens, grid, use_reentrant=False, preserve_rng_state=True)
    assert isinstance(result, Tensor)
    return result


def runner(config: EngineConfig) -> Run:
    """Return the policy that a config asks for."""
    match config.keep:
        case "everything":
            return run_plainly
        case "blocks":
            return run_recomputed
