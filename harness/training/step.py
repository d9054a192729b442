"""One optimiser step. The loop runs it on real tensors, the memory predictor on fake ones: the same lines."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.config import TrialConfig
from harness.training.distributed import average_gradients, broadcast_buffers
from harness.training.ema import Ema
from harness.training.optim import build_optimizer
from harness.training.precision import autocast, grad_scaler
from models.detector import Detector


@dataclass
class Trainee:
    """A detector with everything that a step updates."""

    detector: Detector
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler | None
    ema: Ema

    @classmethod
    def create(cls, detector: Detector, config: TrialConfig, device_type: str, *, scale: bool = True) -> "Trainee":
        """Set up optimiser, scaler and average; `scale=False` leaves out the scaler (it reads values back)."""
        return cls(
            detector=detector,
            optimizer=build_optimizer(detector, config.training),
            scaler=grad_scaler(config.training.precision, device_type) if scale else None,
            ema=Ema(detector, config.training.ema_decay),
        )

    @property
    def trainables(self) -> list[torch.nn.Parameter]:
        """Every parameter the optimiser updates."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def train_step(
    trainee: Trainee, inputs: Tensor, mask: Tensor, segments: Tensor, labels: Tensor, config: TrialConfig
) -> dict[str, Tensor]:
    """Do forward, backward, gradient averaging and clipping, optimiser step and EMA; return detached losses.

    Args:
        trainee: what is trained.
        inputs: uint8 frames (batch, 3, frames, height, width), or float features (batch, channels, features).
        mask: bool (batch, features), true where a feature cell shows real video.
        segments: float32 (batch, actions, 2), in feature cells.
        labels: int64 (batch, actions), -1 where there is no action.
        config: the trial.
    """
    training = config.training
    trainee.optimizer.zero_grad(set_to_none=True)
    # Not the inputs' device: frames may wait on the host.
    with autocast(training.precision, mask.device.type):
        losses = trainee.detector.loss(inputs, mask, segments, labels)
    scaler = trainee.scaler
    total = losses["loss"] if scaler is None else scaler.scale(losses["loss"])
    total.backward()
    del total
    average_gradients(trainee.trainables)
    if scaler is not None:
        scaler.unscale_(trainee.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(trainee.trainables, training.clip_norm)
    if scaler is None:
        trainee.optimizer.step()
    else:
        scaler.step(trainee.optimizer)
        scaler.update()
    # Those of a backbone never change.
    broadcast_buffers(trainee.detector.head)
    trainee.ema.update(trainee.detector)
    return {**{name: value.detach() for name, value in losses.items()}, "gradient_norm": norm}
