"""Every trial of the tiny presets can be built; that each can take a step takes minutes and is asked for."""

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.config import TrialConfig, digest, with_values
from harness.memory.predict import trace
from models.detector import build_detector
from studies.all import STUDIES

SAME = {
    "seed": 0,
    "training.epochs": 1,
    "training.cosine_epochs": 1,
    "training.warmup_epochs": 0,
    "training.adapter_lr": 1e-3,
}
"""What does not matter to one step."""


def different() -> dict[str, tuple[str, TrialConfig]]:
    """Return one config for each network and input that the tiny presets have, by what it is."""
    found: dict[str, tuple[str, TrialConfig]] = {}
    for study in STUDIES:
        for trial in study.presets["tiny"].trials() if "tiny" in study.presets else ():
            config = with_values(trial.config, SAME)
            found.setdefault(digest(config), (study.name, config))
    return found


CONFIGS = different()
EVERY = pytest.mark.parametrize(
    "config",
    [config for _, config in CONFIGS.values()],
    ids=[f"{name}-{key[:4]}" for key, (name, _) in CONFIGS.items()],
)


@EVERY
def test_a_tiny_trial_can_be_built(config: TrialConfig) -> None:
    window = config.data.window
    with FakeTensorMode(allow_non_fake_inputs=False):
        detector = build_detector(
            config.model,
            num_classes=config.head_classes,
            features=window.features,
            resolution=window.resolution,
            engine=config.engine,
        )
    assert any(p.requires_grad for p in detector.parameters())


@pytest.mark.slow
@EVERY
def test_a_tiny_trial_takes_a_step(config: TrialConfig) -> None:
    assert 2**20 < trace(config).peak_bytes < 2**28
