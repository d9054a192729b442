"""One training step on fake tensors: the real code on shapes without contents, so that it cannot drift from it.

    config --> detector, optimiser, average --> train_step --> Timeline --> Traced (bytes, moment, work)

Always on fake *CPU* tensors: fake CUDA ones end the process in the backward pass (scaling-facts C1). For a CUDA device
the rules of its autocast are imposed.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.config import TrialConfig, with_value
from harness.data.loader import ACTIONS_MULTIPLE
from harness.memory.allocator import reserved_bytes
from harness.memory.cuda_rules import cuda_rules, scratch
from harness.memory.timeline import Peak, Place, Timeline, Work
from harness.memory.tracker import tensors_of
from harness.training.step import Trainee, train_step
from models.detector import build_detector

Rules = Literal["cpu", "cuda"]
"""Whose rules of autocast hold, and whose kernels' scratch memory counts."""
COPIES_OF_BUCKETS = 2
"""The paper's DistributedDataParallel wraps the backbone before anything is frozen, so its gradient buckets cover every
parameter; its average is a deep copy of that wrapper, which makes buckets of its own (adatad-facts 3)."""


@dataclass(frozen=True)
class Traced:
    """What one training step needs."""

    peaks: list[Peak]
    """The worst moment of every place in the step."""
    host_peaks: Mapping[Place, int]
    """The most bytes on the host at every place that puts something there."""
    reserved_bytes: int
    """What a caching allocator would hold at most."""
    work: Work
    params_total: int
    params_trainable: int

    @property
    def peak(self) -> Peak:
        """The worst moment of all."""
        return max(self.peaks, key=lambda peak: peak.bytes)

    @property
    def host_bytes(self) -> int:
        """The most bytes on the host at once."""
        return max(self.host_peaks.values(), default=0)


def trace_step(config: TrialConfig, rules: Rules) -> Traced:
    """Trace the step of a config whose engine policy is decided.

    Raises:
        ValueError: the engine policy is `auto`.
    """
    if config.engine.policy == "auto":
        raise ValueError("engine.policy is auto, expected a policy that the planner has resolved")
    if config.engine.policy == "reference":
        config = with_value(config, "training.precision", "fp16")
    timeline = Timeline(scratch=scratch if rules == "cuda" else None)
    with FakeTensorMode(allow_non_fake_inputs=False), cuda_rules() if rules == "cuda" else nullcontext(), timeline:
        trainee = _trainee(config)
        _hold_states(timeline, trainee, config)
        inputs = _inputs(config)
        timeline.hold("inputs", inputs[:1], on_host=config.engine.inputs_on == "host")
        timeline.hold("inputs", inputs[1:])
        timeline.watch(trainee.detector)
        timeline.begin()
        train_step(trainee, *inputs, config)
        timeline.hold("gradients", (p.grad for p in trainee.trainables if p.grad is not None))
    if config.engine.inputs_on == "host":
        timeline.work.bytes_moved += inputs[0].nbytes
    return Traced(
        peaks=timeline.peaks(),
        host_peaks=timeline.host_peaks(),
        reserved_bytes=reserved_bytes(timeline),
        work=timeline.work,
        params_total=sum(p.numel() for p in trainee.detector.parameters()),
        params_trainable=sum(p.numel() for p in trainee.trainables),
    )


def _trainee(config: TrialConfig) -> Trainee:
    """Return what is trained, with the optimiser's state as it is from the second step on."""
    window = config.data.window
    detector = build_detector(
        config.model,
        num_classes=config.head_classes,
        features=window.features,
        resolution=window.resolution,
        engine=config.engine,
    )
    detector.train()
    # The scaler of fp16 reads its verdict back from the device, which a fake tensor cannot answer; it owns 4 bytes.
    trainee = Trainee.create(detector, config, "cpu", scale=False)
    for parameter in trainee.trainables:
        parameter.grad = torch.zeros_like(parameter)
    trainee.optimizer.step()
    trainee.optimizer.zero_grad(set_to_none=True)
    return trainee


def _hold_states(timeline: Timeline, trainee: Trainee, config: TrialConfig) -> None:
    detector, ema = trainee.detector, trainee.ema
    timeline.hold("frozen weights", (p for p in detector.parameters() if not p.requires_grad))
    timeline.hold("frozen weights", detector.buffers())
    timeline.hold("trainable weights", (p for p in detector.parameters() if p.requires_grad))
    timeline.hold("average", (*ema.state.values(), *ema.frozen.values()))
    timeline.hold("optimiser", tensors_of(trainee.optimizer))
    if config.engine.policy == "reference":
        timeline.reserve("buckets", COPIES_OF_BUCKETS * sum(p.nbytes for p in detector.parameters()))


def _inputs(config: TrialConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    window, batch = config.data.window, config.training.batch_size
    if config.model.tuning == "features":
        shown = torch.empty(batch, config.model.backbone.channels, window.features)
    else:
        shown = torch.empty(batch, 3, window.frames, window.resolution, window.resolution, dtype=torch.uint8)
    return (
        shown,
        torch.ones(batch, window.features, dtype=torch.bool),
        torch.zeros(batch, ACTIONS_MULTIPLE, 2),
        torch.zeros(batch, ACTIONS_MULTIPLE, dtype=torch.int64),
    )
