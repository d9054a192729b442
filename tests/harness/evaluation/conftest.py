"""Public predictions, and random problems small enough for slow versions."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.detection import read_detections, read_document
from harness.evaluation import GroundTruth, ground_truth_of

Problem = tuple[dict[str, list], dict[str, list]]


@pytest.fixture(scope="session")
def scnn(shared_data: Path) -> dict[str, list]:
    """Return S-CNN's detections on THUMOS14."""
    return read_detections(shared_data / "predictions/scnn_c3d/detections_nms0.4_tiebroken.json.gz")


@pytest.fixture(scope="session")
def thumos14(shared_data: Path) -> GroundTruth:
    """Return THUMOS14's test actions with DETAD's characteristics."""
    path = shared_data / "annotations/thumos14/detad_test.json.gz"
    return ground_truth_of(read_document(path), path.name, subsets=("testing",))


@pytest.fixture(scope="session")
def random_problem() -> Callable[[int], Problem]:
    """Return a maker of problems on a coarse grid of times and scores, so that ties and rivals abound."""

    def make(seed: int, crowd: int = 5) -> Problem:
        draw = random.Random(seed)
        videos, labels = [f"v{number}" for number in range(draw.randint(1, 4))], ["a", "b", "c"]

        def segment() -> tuple[float, float]:
            start = draw.randint(0, 12) / 2
            return start, start + draw.randint(1, 8) / 2

        truth = {
            video: sorted({(*segment(), draw.choice(labels)) for _ in range(draw.randint(0, crowd))})
            for video in videos
        }
        truth[videos[0]] = [(1.0, 3.0, "a"), *[row for row in truth[videos[0]] if row != (1.0, 3.0, "a")]]
        found = {
            video: [(*segment(), draw.choice(labels), draw.randint(0, 5) / 5) for _ in range(draw.randint(0, 15))]
            for video in [*videos, "unannotated"]
        }
        return truth, found

    return make
