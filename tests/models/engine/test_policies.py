"""Every policy against the plain execution: outputs, gradients, trajectories."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from models.config import (
    SLOWFAST,
    VIDEO_SWIN,
    ActionFormerConfig,
    AdapterConfig,
    DetectorConfig,
    EngineConfig,
    VideoMAEConfig,
)
from models.detector import Detector, build_detector
from models.engine.rules import check_engine

PLAIN = EngineConfig(keep="everything")
HEAD = ActionFormerConfig(width=8, embed_layers=1, stem_layers=1, levels=2, path_dropout=0.1, normaliser_init=1.0)
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def model_of(how: str, *, depth: int = 3, drop_path: float = 0.3, **adapter: Any) -> DetectorConfig:
    """`how` is full, frozen, or an adapter's placement."""
    placed = how in ("inside", "outside")
    return DetectorConfig(
        backbone=VideoMAEConfig(
            name="toy",
            width=16,
            depth=depth,
            heads=2,
            mlp_hidden=24,
            patch=8,
            image_size=16,
            clip_frames=4,
            drop_path=drop_path,
        ),
        tuning="adapter" if placed else how,  # type: ignore[arg-type]
        adapter=AdapterConfig(placement=how, **adapter) if placed else None,  # type: ignore[arg-type]
        head=ActionFormerConfig(
            width=8, embed_layers=1, stem_layers=1, levels=2, path_dropout=0.1, normaliser_init=1.0
        ),
    )


def detector_of(model: DetectorConfig, engine: EngineConfig, dtype: torch.dtype = torch.float64) -> Detector:
    check_engine(engine, model, "bf16" if dtype == torch.float32 else "fp32")
    torch.manual_seed(0)
    detector = build_detector(model, num_classes=2, features=8, resolution=32, engine=engine)
    # Adapters start as no-ops; give every one of them something to say, so that all gradients are non-zero.
    generator = torch.Generator().manual_seed(1)
    for name, parameter in detector.named_parameters():
        if "up_proj" in name:
            parameter.data.normal_(std=0.2, generator=generator)
    return detector.to(dtype).train() if dtype == torch.float64 else detector.train()


def batch_of(videos: int = 1, frames: int = 16, height: int = 16, width: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(2)
    shown = torch.randint(0, 256, (videos, 3, frames, height, width), dtype=torch.uint8, generator=generator)
    segments = torch.tensor([[[1.0, 4.0], [5.0, 7.5]]]).double().expand(videos, -1, -1)
    return shown, torch.ones(videos, 8, dtype=torch.bool), segments, torch.tensor([[0, 1]]).expand(videos, -1)


def one_step(detector: Detector, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor]:
    torch.manual_seed(5)
    loss = detector.loss(*batch)["loss"]
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in detector.named_parameters() if p.grad is not None}
    after = torch.rand(())
    with torch.no_grad():
        features = detector.features(batch[0], 8)
    return features, loss.detach(), gradients, after


def assert_same_step(model: DetectorConfig, engine: EngineConfig, batch: Batch) -> None:
    plain, other = (one_step(detector_of(model, each), batch) for each in (PLAIN, engine))
    torch.testing.assert_close(other[0], plain[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(other[1], plain[1], rtol=1e-10, atol=1e-12)
    assert other[2].keys() == plain[2].keys()
    for name, value in plain[2].items():
        torch.testing.assert_close(other[2][name], value, rtol=1e-10, atol=1e-10, msg=name)
    assert torch.equal(plain[3], other[3]), "the random stream went another way"


HOST = EngineConfig(keep_on="host", inputs_on="host", clips=2)
CASES = [
    ("inside", {}, EngineConfig()),
    ("inside", {}, EngineConfig(every=2)),
    ("inside", {}, EngineConfig(every=9, clips=1, positions=1)),
    ("inside", {}, EngineConfig(clips=3, positions=3)),
    ("inside", {}, replace(HOST, every=2, positions=1)),
    ("inside", {"layers": (0, 2)}, EngineConfig(clips=2, positions=2)),
    ("inside", {"layers": (1,)}, EngineConfig(every=2, clips=2)),
    ("inside", {"spatial_kernel": 3}, EngineConfig(clips=2)),
    ("inside", {"kind": "longlora"}, EngineConfig(clips=2, positions=1)),
    ("inside", {"kind": "plain"}, HOST),
    ("inside", {}, EngineConfig(checkpoint_head=True)),
    ("outside", {}, EngineConfig()),
    ("outside", {}, EngineConfig(keep="nothing")),
    ("outside", {}, EngineConfig(keep="nothing", clips=1, inputs_on="host")),
    ("outside", {}, EngineConfig(clips=3)),
    ("outside", {}, HOST),
    ("outside", {"layers": (0, 2)}, EngineConfig(keep="nothing", clips=2)),
    ("outside", {"spatial_kernel": 3}, EngineConfig(clips=2)),
    ("outside", {"kind": "longlora"}, HOST),
    ("outside", {"kind": "tia_no_residual"}, EngineConfig(keep="nothing", clips=2, checkpoint_head=True)),
    ("frozen", {}, EngineConfig()),
    ("frozen", {}, EngineConfig(keep="nothing", clips=1, inputs_on="host")),
    ("full", {}, EngineConfig()),
    ("full", {}, replace(HOST, every=2)),
    ("full", {}, EngineConfig(clips=1, checkpoint_head=True)),
]


@pytest.mark.parametrize(("how", "adapter", "engine"), CASES)
def test_a_policy_changes_neither_output_nor_loss_nor_gradients(how: str, adapter: Any, engine: EngineConfig) -> None:
    assert_same_step(model_of(how, **adapter), engine, batch_of(videos=2, height=16, width=24))


@pytest.mark.parametrize("how", ["inside", "outside", "full", "frozen"])
def test_the_papers_way_computes_the_same(how: str) -> None:
    assert_same_step(model_of(how), EngineConfig(policy="reference"), batch_of(videos=2, width=24))


@pytest.mark.parametrize("placement", ["inside", "outside"])
@pytest.mark.parametrize("name", ["slowfast-tiny", "videoswin-tiny"])
def test_backbones_over_native_time_keep_their_blocks_inputs_anywhere(name: str, placement: str) -> None:
    backbone: Any = {**SLOWFAST, **VIDEO_SWIN}[name]
    if name == "videoswin-tiny":
        backbone = replace(backbone, drop_path=0.3)
    model = DetectorConfig(backbone=backbone, adapter=AdapterConfig(placement=placement), head=HEAD)  # type: ignore[arg-type]
    for engine in (EngineConfig(), EngineConfig(keep_on="host", inputs_on="host"), EngineConfig(policy="reference")):
        assert_same_step(model, engine, batch_of(videos=2, height=32, width=32))


def test_a_step_of_compiled_blocks_is_traced_without_data() -> None:
    with FakeTensorMode():
        detector = detector_of(model_of("inside"), EngineConfig(clips=2, compile=True), torch.float32)
        shown, mask, segments, labels = batch_of()
        detector.loss(shown, mask, segments.float(), labels)["loss"].backward()
        assert all(p.grad is not None for p in detector.parameters() if p.requires_grad)


@pytest.mark.slow  # minutes of compilation
def test_compiled_blocks_compute_the_same() -> None:
    model = model_of("inside")
    assert_same_step(model, EngineConfig(clips=2, compile=True), batch_of())


@pytest.mark.parametrize("how", ["inside", "outside"])
def test_a_second_backward_pass_is_refused(how: str) -> None:
    loss = detector_of(model_of(how), EngineConfig()).loss(*batch_of())["loss"]
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward pass"):
        loss.backward()


def test_full_training_with_adapters_keeps_every_gradient() -> None:
    model = replace(model_of("inside", layers=(0, 2)), tuning="full")
    for engine in (EngineConfig(), EngineConfig(every=2, clips=2, positions=2, keep_on="host")):
        assert_same_step(model, engine, batch_of(videos=2))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape_chunk_kernel_and_choice_of_layers(data: st.DataObject) -> None:
    torch.set_num_threads(1)
    how = data.draw(st.sampled_from(["inside", "outside", "full"]))
    depth = data.draw(st.integers(1, 4))
    layers = tuple(sorted(data.draw(st.sets(st.integers(0, depth - 1), min_size=1)) | {depth - 1}))
    kernel = data.draw(st.sampled_from([1, 3, 7, 13, 21]))
    place = st.sampled_from(["device", "host"])
    clips, keep_on, inputs_on = data.draw(st.integers(0, 5)), data.draw(place), data.draw(place)
    extra: dict[str, Any] = {}
    if how != "outside":
        extra["every"] = data.draw(st.integers(1, 4))
    if how == "inside":
        extra["positions"] = data.draw(st.integers(0, 5))
    if how == "outside" and data.draw(st.booleans()):
        keep_on, extra["keep"] = "device", "nothing"
    engine = EngineConfig(clips=clips, keep_on=keep_on, inputs_on=inputs_on, **extra)
    adapter = {} if how == "full" else {"layers": layers, "kernel": kernel}
    model = model_of(how, depth=depth, drop_path=data.draw(st.sampled_from([0.0, 0.5])), **adapter)
    batch = batch_of(
        data.draw(st.integers(1, 3)), 4 * data.draw(st.integers(1, 4)), 8, 8 * data.draw(st.integers(1, 3))
    )
    assert_same_step(model, engine, batch)


def trajectory(model: DetectorConfig, engine: EngineConfig, steps: int = 20) -> list[Tensor]:
    from harness.config import TrainingConfig
    from harness.training.ema import Ema
    from harness.training.optim import build_optimizer

    detector = detector_of(model, engine)
    settings = TrainingConfig(head_lr=1e-2, adapter_lr=1e-2, backbone_lr=1e-3)
    optimizer, average = build_optimizer(detector, settings), Ema(detector, 0.9)
    torch.manual_seed(7)
    batch, losses = batch_of(), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = detector.loss(*batch)["loss"]
        loss.backward()
        optimizer.step()
        average.update(detector)
        losses.append(loss.detach())
    return [torch.stack(losses), *average.state.values()]


@pytest.mark.parametrize(
    ("how", "engine"),
    [
        ("inside", EngineConfig(every=2, clips=2, positions=3)),
        ("inside", replace(HOST, averages_on="host", optimizer_on="host")),
        ("outside", EngineConfig(keep="nothing", clips=2, inputs_on="host", checkpoint_head=True)),
        ("outside", HOST),
        ("full", replace(HOST, optimizer_on="host")),
        ("frozen", EngineConfig(keep="nothing", clips=1, averages_on="host")),
    ],
)
def test_twenty_steps_of_training_go_the_same_way(how: str, engine: EngineConfig) -> None:
    model = model_of(how)
    for plain, other in zip(trajectory(model, PLAIN), trajectory(model, engine), strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-10, atol=1e-10)
    losses = trajectory(model, PLAIN)[0]
    assert losses[-1] < losses[0]
