"""Losses per element; the caller chooses which elements count and what the sum is divided by."""

from jaxtyping import Float
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
