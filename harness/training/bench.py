"""How fast a training step is under each policy, beside the paper's way of executing it.

    tadscale bench step [--placement inside|outside] [--size tiny|paper] [--device cpu|cuda] [--json]

Everything is measured in one run, on the same windows and weights, as ratios to the `reference` policy (fp32 frozen
weights under autocast, reentrant checkpointing block by block, an average of everything). Floating-point operations are
counted by torch, those of recomputation included, and compared with the rate of a large matrix product on this device.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from harness.config import Precision, TrialConfig, with_values
from harness.presets import thumos_adatad
from harness.training.step import Trainee, train_step
from models.config import VIDEOMAE, ActionFormerConfig, AdapterConfig, EngineConfig
from models.detector import build_detector

Placement = Literal["inside", "outside"]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """A training step under one policy."""

    policy: str
    seconds: float
    """Of the fastest step; on the CPU those of the processor."""
    rate_over_reference: float
    """Steps per second over those of the `reference` policy."""
    flops: int
    """Of matrix products, convolutions and attention."""
    share_of_matrix_rate: float
    """Operations per second over those of a large matrix product."""
    peak_bytes: int | None
    """Most bytes in tensors at once; only a GPU counts them."""


def policies(placement: Placement, precision: Precision, clips: int) -> dict[str, EngineConfig]:
    """Return the policies that are compared, by name."""
    stored = {"weights": "bf16"} if precision == "bf16" else {}
    ours = partial(EngineConfig, **stored)
    host = partial(ours, clips=clips, inputs_on="host")
    named = {"reference": EngineConfig(policy="reference"), "everything": ours(keep="everything"), "blocks": ours()}
    if placement == "inside":
        named |= {
            "lean": ours(clips=clips, positions=32),
            "lean, every second": ours(clips=clips, positions=32, every=2),
            "lean, on the host": host(positions=32, keep_on="host"),
        }
    else:
        named |= {"on the host": host(keep_on="host"), "streamed": host(keep="nothing")}
    return named


def tiny(placement: Placement, precision: Precision) -> TrialConfig:
    """Return a step for a laptop: a narrow transformer on a short window."""
    return with_values(
        paper("videomae-s", placement, precision),
        {
            "data.window.frames": 128,
            "data.window.span": 128,
            "data.window.features": 128,
            "data.window.resolution": 96,
            "model.backbone": VIDEOMAE["videomae-tiny"],
            "model.head": ActionFormerConfig(width=64, levels=4),
        },
    )


def paper(backbone: str, placement: Placement, precision: Precision) -> TrialConfig:
    """Return the paper's step on THUMOS14: 768 frames of 160 x 160 pixels, one video."""
    adapter = AdapterConfig(placement=placement, ratio=0.25 if placement == "inside" else 0.125)
    return with_values(
        thumos_adatad(backbone),
        {"model.adapter": adapter, "training.batch_size": 1, "training.precision": precision},
    )


def run(
    config: TrialConfig, engines: dict[str, EngineConfig], device: torch.device, *, steps: int = 3, rounds: int = 2
) -> list[StepTime]:
    """Time every policy, the first of which is the measure; several rounds, because a machine is not always alike."""
    rate = matrix_rate(config.training.precision, device)
    best: dict[str, tuple[float, int | None]] = {}
    flops: dict[str, int] = {}
    for _ in range(rounds):
        for name, engine in engines.items():
            step = prepare(with_values(config, {"engine": engine}), device)
            if name not in flops:
                with FlopCounterMode(display=False) as counter:
                    step()
                flops[name] = counter.get_total_flops()
            seconds, peak = _timed(step, device, steps)
            best[name] = min(best.get(name, (seconds, peak)), (seconds, peak), key=lambda pair: pair[0])
            del step
            gc.collect()
    reference = best[next(iter(engines))][0]
    return [
        StepTime(
            policy=name,
            seconds=seconds,
            rate_over_reference=reference / seconds,
            flops=flops[name],
            share_of_matrix_rate=flops[name] / seconds / rate,
            peak_bytes=peak,
        )
        for name, (seconds, peak) in best.items()
    ]


def prepare(config: TrialConfig, device: torch.device) -> Callable[[], object]:
    """Return a training step on random frames, set up whole."""
    torch.manual_seed(0)
    window = config.data.window
    detector = build_detector(
        config.model,
        num_classes=config.data.num_classes,
        features=window.features,
        resolution=window.resolution,
        engine=config.engine,
    )
    detector.to(device).train()
    trainee = Trainee.create(detector, config, device.type)
    frames = torch.randint(0, 256, (1, 3, window.frames, window.resolution, window.resolution), dtype=torch.uint8)
    where = torch.device("cpu") if config.engine.inputs_on == "host" else device
    batch: Batch = (
        frames.to(where),
        torch.ones(1, window.features, dtype=torch.bool, device=device),
        torch.tensor([[[10.0, 30.0], [40.0, 45.0]]], device=device),
        torch.tensor([[0, 1]], device=device),
    )
    return lambda: train_step(trainee, *batch, config)


def matrix_rate(precision: Precision, device: torch.device) -> float:
    """Return the operations per second of a large matrix product in the precision of a step's products."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    one = torch.randn(size, size, device=device).to(dtype)
    seconds, _ = _timed(lambda: one @ one, device, 10)
    return 2 * size**3 / seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time training steps under each policy, beside the paper's way.")
    parser.add_argument("--placement", choices=("inside", "outside"), default="inside")
    parser.add_argument("--size", choices=("tiny", "paper"), help="paper on a GPU, tiny elsewhere")
    parser.add_argument("--backbone", choices=tuple(VIDEOMAE), default="videomae-b", help="at paper size (videomae-b)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 on a GPU, fp32 elsewhere")
    parser.add_argument("--clips", type=int, help="clips at once in the lean policies (8 at paper size, 2 at tiny)")
    parser.add_argument("--steps", type=int, default=3, help="the fastest of so many (3)")
    parser.add_argument("--rounds", type=int, default=2, help="times that every policy is taken (2)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    device = torch.device(given.device)
    if device.type == "cpu":
        # One thread and processor seconds: ratios that hold beside other work.
        torch.set_num_threads(1)
    size = given.size or ("paper" if device.type == "cuda" else "tiny")
    precision: Precision = given.precision or ("bf16" if device.type == "cuda" else "fp32")
    make = tiny if size == "tiny" else partial(paper, given.backbone)
    engines = policies(given.placement, precision, given.clips or (2 if size == "tiny" else 8))
    times = run(make(given.placement, precision), engines, device, steps=given.steps, rounds=given.rounds)
    about = {"device": _name(device), "torch": torch.__version__, "size": size, "precision": precision}
    if given.json:
        print(json.dumps({**about, "placement": given.placement, "steps": [asdict(each) for each in times]}))
        return
    print(f"adapters {given.placement}, {size} size, {precision}, {about['device']}, torch {torch.__version__}")
    for each in times:
        peak = "" if each.peak_bytes is None else f"  {each.peak_bytes / 2**30:6.2f} GiB"
        print(
            f"{each.policy:<20} {1e3 * each.seconds:9.1f} ms  {each.rate_over_reference:5.2f} x reference  "
            f"{each.flops / 1e9:10.1f} GFLOP  {each.share_of_matrix_rate:6.1%} of the matrix rate{peak}"
        )


def _timed(work: Callable[[], object], device: torch.device, times: int) -> tuple[float, int | None]:
    """Return the seconds of the fastest call and the peak of all."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds, clock = [], time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(times):
        _wait(device)
        began = clock()
        work()
        _wait(device)
        seconds.append(clock() - began)
    return min(seconds), torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} thread"


if __name__ == "__main__":
    main()
