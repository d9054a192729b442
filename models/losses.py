"""Losses per element; the caller chooses which elements count and what the sum is divided by.

What is called balanced is a mean already, over a whole batch.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from models.segments import diou


def sigmoid_focal_loss(
    logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"], *, alpha: float = 0.25, gamma: float = 2.0
) -> Float[Tensor, "*shape"]:
    """Return the focal loss (Lin et al. 2017) of independent binary decisions; targets may be soft."""
    probability = logits.sigmoid()
    agreement = probability * targets + (1 - probability) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - agreement) ** gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def diou_loss(predicted: Float[Tensor, "*shape 2"], truth: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    """Return 1 - DIoU of each predicted segment and its own ground truth, in [0, 2)."""
    return 1 - diou(predicted, truth)


def balanced_mean(
    losses: Float[Tensor, "*shape"], positive: Bool[Tensor, "*shape"], counted: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Return the mean of the counted losses in which positives and negatives weigh half each (BMN, G-TAD).

    A plain mean if there are only positives or only negatives; 0 if nothing counts.
    """
    num_positive = (positive & counted).sum()
    num_negative = (~positive & counted).sum()
    num_counted = (num_positive + num_negative).clamp(min=1)
    half = num_counted.to(losses.dtype) / 2
    weight = torch.where(positive, half / num_positive.clamp(min=1), half / num_negative.clamp(min=1))
    both = (num_positive > 0) & (num_negative > 0)
    return (losses * torch.where(both, weight, 1.0) * counted).sum() / num_counted


def balanced_l2_loss(
    values: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    counted: Bool[Tensor, "*shape"],
    *,
    low: float = 0.3,
    high: float = 0.7,
) -> Float[Tensor, ""]:
    """Return the mean squared error over all high targets and about as many medium and low ones (BMN, G-TAD).

    Each medium or low element stays with the probability that evens the groups, drawn anew with torch's generator (on
    the CPU the published code's very draws). Without a high target everything counts. Where the medium or low group is
    smaller than the high one all of it counts; the published code then takes all elements of the other groups too.
    """
    groups = [
        (targets > high) & counted,
        (targets <= high) & (targets > low) & counted,
        (targets <= low) & counted,
    ]
    num_high = groups[0].sum()
    chosen = groups[0]
    for group in groups[1:]:
        share = num_high / group.sum()
        chosen = chosen | (group & (torch.rand(targets.shape, device=targets.device) > 1 - share))
    chosen = torch.where(num_high > 0, chosen, counted)
    return ((values - targets).square() * chosen).sum() / chosen.sum().clamp(min=1)
