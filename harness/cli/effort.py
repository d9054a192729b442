"""What a trial takes before it is run: steps, operations, hours on a card. Of training; the test comes on top."""

from dataclasses import dataclass
from typing import Any

from harness.config import TrialConfig
from harness.data.datasets import DATASETS
from harness.memory.devices import Device


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Of one trial."""

    steps: int | None
    """Optimiser steps of the whole schedule; None where nobody knows how many videos there will be."""
    flops_per_step: float
    """Floating-point operations of one worker's step, forward and backward, as the engine's policy does them."""
    step_seconds: float | None
    """On the card; None where its rates are unknown."""

    @property
    def hours(self) -> float | None:
        """Hours of all training steps, without loading, tests, or waiting for other workers."""
        if self.steps is None or self.step_seconds is None:
            return None
        return self.steps * self.step_seconds / 3600


def effort(config: TrialConfig, choice: Any, device: Device) -> Effort:
    """Return what a trial takes on a device, with as many training videos as its data set was published with.

    Args:
        config: the trial's.
        choice: its policy with the prediction (`harness.memory.plan.Choice`).
        device: what it would run on.
    """
    return Effort(
        steps=_steps(config),
        flops_per_step=choice.flops,
        step_seconds=choice.prediction.seconds_on(device),
    )


def _steps(config: TrialConfig) -> int | None:
    videos, training = DATASETS[config.data.name].num_train_videos, config.training
    if videos is None:
        return None
    # One window per video and repeat; what is left over when an epoch is cut into batches is not trained on.
    return training.epochs * (videos * training.repeat // training.batch_size)
