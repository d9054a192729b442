from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from models.config import VIDEOMAE, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig
from models.detector import build_detector

HOW = ["frozen", "full", "tia-inside", "tia-inside-2", "tia-outside", "plain-inside", "tia_no_residual-outside"]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.mark.parametrize("how", HOW)
def test_detections_are_probabilities_at_every_point(make_detector: Any, batch: Batch, how: str) -> None:
    raw = make_detector(how).eval().detect(*batch[:2])
    points = 32 + 16 + 8 + 4
    assert raw.segments.shape == (2, points, 2)
    assert raw.scores.shape == (2, points, 3)
    assert raw.valid.sum(1).tolist() == [points, 20 + 10 + 5 + 3]
    assert raw.segments.dtype == raw.scores.dtype == torch.float32
    assert ((raw.scores >= 0) & (raw.scores <= 1)).all()
    assert (raw.segments[..., 0] <= raw.segments[..., 1]).all()
    assert not raw.scores.requires_grad


@pytest.mark.parametrize("how", ["tia-inside", "tia-outside", "plain-inside"])
def test_an_untrained_adapter_changes_no_detection(make_detector: Any, batch: Batch, how: str) -> None:
    bare, adapted = make_detector("frozen").eval(), make_detector(how).eval()
    adapted.load_state_dict(bare.state_dict(), strict=False)
    for name, parameter in adapted.named_parameters():
        if "up_proj" in name:
            torch.nn.init.zeros_(parameter)
    assert torch.equal(adapted.detect(*batch[:2]).scores, bare.detect(*batch[:2]).scores)


def test_forward_is_the_loss(make_detector: Any, batch: Batch) -> None:
    detector = make_detector("tia-inside").eval()
    assert {name: value.item() for name, value in detector(*batch).items()} == {
        name: value.item() for name, value in detector.loss(*batch).items()
    }
    assert set(detector(*batch)) == {"loss", "classification", "regression", "positives"}
    assert all(value.shape == () for value in detector(*batch).values())


def test_a_video_is_detected_the_same_alone_and_in_a_batch(make_detector: Any, batch: Batch) -> None:
    detector = make_detector("tia-inside").eval()
    together = detector.detect(*batch[:2])
    for index in range(2):
        alone = detector.detect(batch[0][index : index + 1], batch[1][index : index + 1])
        torch.testing.assert_close(alone.scores[0], together.scores[index])
        torch.testing.assert_close(alone.segments[0], together.segments[index])


def test_frames_and_resolution_may_vary_at_call_time(make_detector: Any) -> None:
    detector = make_detector("tia-outside").eval()
    for frames, side in ((16, 32), (64, 40), (48, 24)):
        clips = torch.randint(0, 256, (1, 3, frames, side, side), dtype=torch.uint8)
        assert detector.detect(clips, torch.ones(1, 32, dtype=torch.bool)).scores.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_float32_results_close_to_the_exact_ones(make_detector: Any, batch: Batch, dtype: Any) -> None:
    detector = make_detector("tia-inside", keep="blocks").train()
    exact = detector.eval().loss(*batch)["loss"]
    with torch.autocast("cpu", dtype=dtype):
        loss = detector.loss(*batch)["loss"]
    assert loss.dtype == torch.float32
    # bfloat16 keeps 8 bits: 2^-8 relative per operation, and a loss is a mean of many.
    torch.testing.assert_close(loss, exact, rtol=2e-2, atol=0)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


@pytest.mark.parametrize("keep", ["everything", "blocks"])
@pytest.mark.parametrize("how", HOW)
def test_a_step_runs_on_tensors_without_data(make_detector: Any, how: str, keep: str) -> None:
    with FakeTensorMode():
        detector = make_detector(how, keep=keep, drop_path=0.1, path_dropout=0.1).train()
        batch = (
            torch.empty(2, 3, 32, 32, 32, dtype=torch.uint8),
            torch.empty(2, 32, dtype=torch.bool),
            torch.empty(2, 16, 2),
            torch.empty(2, 16, dtype=torch.int64),
        )
        out = detector.loss(*batch)
        out["loss"].backward()
        trainable = [p for p in detector.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.shape == p.shape for p in trainable)
        assert detector.eval().detect(*batch[:2]).scores.shape == (2, 60, 3)


def test_a_giant_step_runs_on_tensors_without_data() -> None:
    config = DetectorConfig(backbone=VIDEOMAE["videomae-g"], adapter=AdapterConfig(last_layers=2))
    with FakeTensorMode():
        detector = build_detector(config, num_classes=20, features=768, resolution=224, engine=EngineConfig())
        out = detector.loss(
            torch.empty(1, 3, 768, 224, 224, dtype=torch.uint8),
            torch.empty(1, 768, dtype=torch.bool),
            torch.empty(1, 16, 2),
            torch.empty(1, 16, dtype=torch.int64),
        )
        out["loss"].backward()


def test_a_detector_learns_one_batch_by_heart(make_detector: Any, batch: Batch) -> None:
    detector = make_detector("tia-inside", keep="blocks", normaliser_init=20.0).train()
    optimiser = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = detector.loss(*batch)["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * losses[0]
    raw = detector.eval().detect(*batch[:2])
    best = raw.scores[0, :, 2].argmax()
    start, end = raw.segments[0, best].tolist()
    assert abs(start - 10) < 2
    assert abs(end - 24) < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"resolution": 7}, "resolution is 7, expected at least 8 pixels for toy"),
        ({"features": 0}, "features is 0"),
    ],
)
def test_impossible_sizes_are_refused(backbone_config: VideoMAEConfig, change: dict[str, int], message: str) -> None:
    sizes = {"num_classes": 3, "features": 32, "resolution": 32} | change
    config = DetectorConfig(backbone=replace(backbone_config), tuning="frozen")
    with pytest.raises(ValueError, match=message):
        build_detector(config, engine=EngineConfig(), **sizes)  # type: ignore[arg-type]
