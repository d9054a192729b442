"""Optimiser, parameter groups and learning-rate schedule (adatad-facts 7.1, 7.2)."""

import math

import torch

from harness.config import TrainingConfig
from harness.training.host_adamw import HostAdamW
from models.detector import Detector
from models.tuning import parameter_groups


def build_optimizer(detector: Detector, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW over what trains, with its state where the detector's engine wants it.

    Adapters decay as a whole, biases and gamma included; the head's biases, norms and scales do not. Each group
    keeps its own base rate under `base_lr`, from which `set_learning_rate` derives the current one.
    """
    rates = {
        "adapter": config.adapter_lr,
        "backbone": config.backbone_lr,
        "head_decay": config.head_lr,
        "head_no_decay": config.head_lr,
    }
    groups = [
        {
            "params": [parameter for _, parameter in named],
            "lr": rates[name],
            "base_lr": rates[name],
            "weight_decay": 0.0 if name == "head_no_decay" else config.weight_decay,
        }
        for name, named in parameter_groups(detector).items()
        if named
    ]
    if detector.engine.optimizer_on == "host":
        return HostAdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    # One fused call per group instead of ten small ones per parameter, and no temporaries in the peak.
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=True)


def learning_rate_factor(step: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """Return the share of the base learning rate at optimiser step `step` (0-based).

    Linear warm-up that starts at exactly 0 and reaches the base rate one step early, then a cosine; the
    official schedule, quirks included, as its logs show.
    """
    warmup, total = config.warmup_epochs * steps_per_epoch, config.cosine_epochs * steps_per_epoch
    if step < warmup:
        return step / max(warmup - 1, 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
