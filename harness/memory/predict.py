"""Peak memory of a trial, predicted without data, weights or a GPU.

The real training step runs on fake tensors (shapes without contents) under the tracker that also measures real
CPU runs, so the prediction cannot drift from the code. It runs in a process of its own: fake tensors and a
driver that talks to Ray do not mix well, and torch stays out of the study's process.

    python -m harness.memory.predict < configs.json     one JSON prediction per line, in order
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.config import TrialConfig, digest_of, flatten, unflatten, with_value

IRRELEVANT = ("seed", "data.fingerprint", "data.name", "model.weights", "detection.", "evaluation.", "data.augment.")
"""Config paths that cannot change a training step's memory; trials that differ only there share a prediction."""


@dataclass(frozen=True)
class Prediction:
    """What a training step of one trial will need."""

    peak_bytes: int
    """Most bytes in tensors at once."""
    breakdown: dict[str, int]
    """Bytes per category at that moment."""
    moment: str
    """forward, backward or optimiser step, and of which step."""
    params_total: int
    params_trainable: int


class PredictionFailed(RuntimeError):
    """The predictor's process ended without an answer."""


def predict(
    configs: Sequence[TrialConfig],
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
) -> list[Prediction]:
    """Return one prediction per config; equal steps are traced once and remembered on disk.

    Args:
        configs: the trials, in any number.
        cache_dir: where predictions are remembered.
        progress: called with (done, to do) whenever a trace is finished.
        workers: processes that share a batch; the prediction is for one of them.

    Raises:
        ValueError: the workers cannot share a batch equally.
        PredictionFailed: with the last line the tracing process wrote.
    """
    configs = [_share_of(config, workers) for config in configs]
    keys = [_key(config) for config in configs]
    missing = {
        key: config for key, config in zip(keys, configs, strict=True) if not (cache_dir / f"{key}.json").is_file()
    }
    if missing:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _trace(missing, cache_dir, progress)
    return [Prediction(**json.loads((cache_dir / f"{key}.json").read_text())) for key in keys]


def _share_of(config: TrialConfig, workers: int) -> TrialConfig:
    batch = config.training.batch_size
    if batch % workers:
        raise ValueError(f"training.batch_size is {batch}, expected a multiple of the {workers} workers")
    return with_value(config, "training.batch_size", batch // workers)


def _trace(configs: Mapping[str, TrialConfig], cache_dir: Path, progress: Callable[[int, int], None] | None) -> None:
    command = [sys.executable, "-m", "harness.memory.predict"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([flatten(config) for config in configs.values()]))
        process.stdin.close()
        done = 0
        for key, line in zip(configs, process.stdout, strict=False):
            target = cache_dir / f"{key}.json"
            temporary = target.with_suffix(f".{process.pid}")
            temporary.write_text(line)
            temporary.replace(target)
            done += 1
            if progress:
                progress(done, len(configs))
        if process.wait() or done < len(configs):
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            raise PredictionFailed(f"memory prediction stopped: {lines[-1] if lines else 'no message'}")


def _key(config: TrialConfig) -> str:
    flat = {path: value for path, value in flatten(config).items() if not path.startswith(IRRELEVANT)}
    return digest_of([flat, _code_version()])


@cache
def _code_version() -> str:
    """Identify the code that a step runs, so that an edited network is traced anew."""
    root = Path(__file__).resolve().parents[2]
    files = [
        *(root / "models").rglob("*.py"),
        *(root / "harness/memory").glob("*.py"),
        *(root / "harness/training").glob("*.py"),
    ]
    text = hashlib.sha256()
    for file in sorted(files):
        text.update(file.read_bytes())
    from importlib.metadata import version

    return text.hexdigest()[:16] + version("torch")


def trace(config: TrialConfig) -> Prediction:
    """Run two training steps on fake tensors and return their peak (the caller has torch; no real memory is used)."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from harness.data.loader import ACTIONS_MULTIPLE
    from harness.memory.tracker import LiveBytes, tensors_of
    from harness.training.step import Trainee, train_step
    from models.detector import build_detector

    window = config.data.window
    with FakeTensorMode(allow_non_fake_inputs=False):
        detector = build_detector(
            config.model,
            num_classes=config.data.num_classes,
            features=window.features,
            resolution=window.resolution,
            engine=config.engine,
        )
        detector.train()
        # The scaler of fp16 reads its verdict back from the device, which a fake tensor cannot answer; it owns 4 bytes.
        trainee = Trainee.create(detector, config, "cpu", scale=False)
        batch = config.training.batch_size
        if config.model.tuning == "features":
            shown = torch.empty(batch, config.model.backbone.channels, window.features)
        else:
            shown = torch.empty(batch, 3, window.frames, window.resolution, window.resolution, dtype=torch.uint8)
        inputs = (
            shown,
            torch.ones(batch, window.features, dtype=torch.bool),
            torch.zeros(batch, ACTIONS_MULTIPLE, 2),
            torch.zeros(batch, ACTIONS_MULTIPLE, dtype=torch.int64),
        )
        tracker = LiveBytes()
        tracker.hold("frozen weights", (p for p in detector.parameters() if not p.requires_grad))
        tracker.hold("trainable weights", (p for p in detector.parameters() if p.requires_grad))
        tracker.hold("buffers", detector.buffers())
        tracker.hold("ema", trainee.ema.state.values())
        tracker.hold("inputs", inputs)
        with tracker:
            for number in (1, 2):
                tracker.at(f"step {number}")
                train_step(trainee, *inputs, config)
                tracker.hold("gradients", (p.grad for p in trainee.trainables if p.grad is not None))
                tracker.hold("optimiser", tensors_of(trainee.optimizer))
    return Prediction(
        peak_bytes=tracker.peak_bytes,
        breakdown={name: size for name, size in tracker.at_peak.items() if size},
        moment=tracker.peak_moment,
        params_total=sum(p.numel() for p in detector.parameters()),
        params_trainable=sum(p.numel() for p in trainee.trainables),
    )


def main() -> None:
    """Trace the configs on standard input, one line of JSON each."""
    configs: list[dict[str, Any]] = json.load(sys.stdin)
    for flat in configs:
        print(json.dumps(asdict(trace(unflatten(flat)))), flush=True)


if __name__ == "__main__":
    main()
