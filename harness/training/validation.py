"""A test between epochs: mAP for whoever compares trials under way, and no trace of it in the training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.config import TrialConfig
from harness.data.features import FeatureStore
from harness.data.index import Dataset
from harness.training.infer import score
from harness.training.report import Meter, Reporter
from harness.training.step import Trainee

if TYPE_CHECKING:
    from harness.training.loop import Places


@dataclass(frozen=True)
class Validation:
    """Scores the averaged weights on the test subset, as at the end."""

    trainee: Trainee
    dataset: Dataset
    config: TrialConfig
    places: "Places"
    reporter: Reporter
    meter: Meter
    features: FeatureStore | None

    def due(self, epoch: int) -> bool:
        """Say whether to score after so many epochs; after the last one the trial is tested anyway."""
        every = self.places.validate_every
        return every > 0 and 0 < epoch < self.config.training.epochs and epoch % every == 0

    def score(self, unreadable: dict[str, str]) -> float:
        """Return the mAP now; every rank calls it and gets the same.

        A video that cannot be read just now may be readable in the test that counts, so `unreadable` stays as it is.
        """
        device = torch.device(self.places.device)
        # A loader draws a seed from the global generator when it starts, although nothing in a test is random.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), self.meter.aside():
            result = score(
                self.trainee,
                self.dataset,
                self.config,
                self.places,
                self.reporter,
                dict(unreadable),
                self.features,
                keep=False,
            )
        return result.map_avg
