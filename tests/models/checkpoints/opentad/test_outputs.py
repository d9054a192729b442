"""OpenTAD's detectors give here what its own code gave with the same weights.

`outputs.json` holds what its code (sming256/OpenTAD at 3dd7b03, CPU, float32) computed from the files of `conftest.py`,
and a digest of the names and shapes of its own `state_dict`.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoints import load_detector
from models.config import DetectorConfig, EngineConfig, GTADConfig, VideoMAEConfig
from models.detector import Detector, build_detector

OFFICIAL = json.loads((Path(__file__).parent / "outputs.json").read_text())
CASES = [name for name in OFFICIAL if name != "origin"]
CELLS, FRAMES, RESOLUTION = 32, 32, 24
TOLERANCE = {"features": 5e-5, "logits": 5e-4, "offsets": 5e-4, "boundaries": 5e-5, "maps": 5e-5}
"""Features reach 28, so that float32 leaves them 4e-6 apart; the pyramid's norms enlarge such differences up to twenty
times. Given the same features the heads agree exactly."""


def detector_of(case: Any, config: VideoMAEConfig, classes: int = 3) -> Detector:
    model = DetectorConfig(
        backbone=config, tuning="adapter" if case.adapter else "full", adapter=case.adapter, head=case.head
    )
    return build_detector(
        model, num_classes=classes, features=CELLS, resolution=RESOLUTION, engine=EngineConfig(keep="everything")
    ).eval()


def inputs() -> tuple[Tensor, Tensor]:
    """Two windows of 32 frames, the second one ending in padding."""
    numbers = torch.arange(2 * 3 * FRAMES * RESOLUTION * RESOLUTION)
    frames = (numbers * 37 % 251).to(torch.uint8).reshape(2, 3, FRAMES, RESOLUTION, RESOLUTION)
    return frames, torch.arange(CELLS) < torch.tensor([CELLS, 20])[:, None]


def outputs(detector: Detector) -> dict[str, Tensor]:
    """Return what the head sees and says of the inputs, at valid places."""
    frames, mask = inputs()
    with torch.no_grad():
        features = detector.features(frames, CELLS)
        said: Any = detector.head(features, mask)
    if isinstance(detector.config.head, GTADConfig):
        return {
            "features": features,
            "boundaries": said.boundaries,
            "maps": torch.stack((said.classification[:, 0], said.regression), 1),
        }
    return {"features": features, "logits": said.logits[said.valid], "offsets": said.offsets[said.valid]}


@pytest.mark.parametrize("name", CASES)
def test_the_names_and_shapes_are_those_of_opentad(
    backbone_config: VideoMAEConfig, cases: Any, opentad_file: Callable[..., dict[str, Tensor]], name: str
) -> None:
    state = opentad_file(cases[name], backbone_config)
    listing = "\n".join(sorted(f"{key} {tuple(value.shape)}" for key, value in state.items()))
    assert hashlib.sha256(listing.encode()).hexdigest() == OFFICIAL[name]["digest"]


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_opentad(
    backbone_config: VideoMAEConfig,
    tmp_path: Path,
    cases: Any,
    opentad_file: Callable[..., dict[str, Tensor]],
    save: Any,
    name: str,
) -> None:
    save(opentad_file(cases[name], backbone_config), tmp_path / "w.pth")
    detector = detector_of(cases[name], backbone_config)
    load_detector(detector, tmp_path / "w.pth")
    for part, values in outputs(detector).items():
        published = torch.tensor(OFFICIAL[name][part])
        torch.testing.assert_close(
            values.flatten()[:: OFFICIAL[name]["every"]], published, atol=TOLERANCE[part], rtol=0, msg=part
        )
