"""Peak memory, operations and time of a trial's training step, predicted without data, weights or a GPU.

The real training step runs on fake tensors (`trace.py`). It runs in a process of its own: fake tensors and a
driver that talks to Ray do not mix well, and torch stays out of the study's process.

    python -m harness.memory.predict cuda < configs.json     one JSON prediction per line, in order
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import TrialConfig, digest_of, flatten, unflatten, with_value
from harness.memory.devices import Device
from harness.memory.words import moment_in_words

if TYPE_CHECKING:
    from harness.memory.trace import Rules

IRRELEVANT = (
    *("seed", "data.fingerprint", "data.name", "data.blocked", "data.train_subset", "data.test_subset", "data.min_"),
    *("model.weights", "detection.", "evaluation.", "data.augment.", "data.window.span", "data.window.mode"),
    *("data.test_overlap", "data.shortest_share", "data.max_unreadable", "model.backbone.name"),
    *("training.epochs", "training.cosine_epochs", "training.warmup_epochs", "training.repeat"),
    *("training.head_lr", "training.adapter_lr", "training.backbone_lr", "training.weight_decay"),
    *("training.clip_norm", "training.ema_decay"),
)
"""Config paths that cannot change a training step's memory; trials that differ only there share a prediction."""


@dataclass(frozen=True)
class Prediction:
    """What a training step of one trial will need."""

    peak_bytes: int
    """Most bytes in tensors at once, in the device's memory."""
    breakdown: dict[str, int]
    """Bytes per category at that moment."""
    moment: str
    """When it is reached, in words."""
    host_bytes: int
    """Most bytes that the engine keeps on the host at once."""
    reserved_bytes: int
    """Most that a caching allocator would reserve, fragments included."""
    half_flops: float
    """Floating-point operations of a step in 16-bit formats."""
    full_flops: float
    """The same in float32."""
    bytes_touched: int
    """Read and written by what is no matrix product."""
    bytes_moved: int
    """Between device and host."""
    params_total: int
    params_trainable: int

    @property
    def flops(self) -> float:
        """Floating-point operations of a step."""
        return self.half_flops + self.full_flops

    def seconds_on(self, device: Device) -> float | None:
        """Return the predicted duration of a step without data loading; None where the device's rates are unknown.

        Matrix products, other operators and copies to and from the host follow each other here: an upper bound where
        copies are hidden behind computation.
        """
        rates = device.rates
        if rates is None:
            return None
        return (
            self.half_flops / rates.half_flops
            + self.full_flops / rates.full_flops
            + self.bytes_touched / rates.memory_bytes
            + self.bytes_moved / rates.host_bytes
        )

    def on(self, device: Device | None) -> "Prediction":
        """Return the prediction with what the device's libraries take from the allocator."""
        if device is None or not device.workspace_bytes:
            return self
        more = device.workspace_bytes
        return replace(
            self,
            peak_bytes=self.peak_bytes + more,
            reserved_bytes=self.reserved_bytes + more,
            breakdown={**self.breakdown, "workspace": more},
        )


class PredictionFailed(RuntimeError):
    """The predictor's process ended without an answer."""


def predict(
    configs: Sequence[TrialConfig],
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
    device: Device | None = None,
) -> list[Prediction]:
    """Return one prediction per config; equal steps are traced once and remembered on disk.

    Args:
        configs: the trials, in any number; their engine policies are decided.
        cache_dir: where predictions are remembered.
        progress: called with (done, to do) whenever a trace is finished.
        workers: processes that share a batch; the prediction is for one of them.
        device: whose rules and workspaces count; None: the CPU's.

    Raises:
        ValueError: the workers cannot share a batch equally, or an engine policy is not decided.
        PredictionFailed: with the last line the tracing process wrote.
    """
    rules: Rules = "cpu" if device is None or device.name == "cpu" else "cuda"
    configs = [_share_of(config, workers) for config in configs]
    keys = [_key(config, rules) for config in configs]
    missing = {
        key: config for key, config in zip(keys, configs, strict=True) if not (cache_dir / f"{key}.json").is_file()
    }
    if missing:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _trace(missing, cache_dir, progress, rules)
    return [Prediction(**json.loads((cache_dir / f"{key}.json").read_text())).on(device) for key in keys]


def is_remembered(config: TrialConfig, cache_dir: Path, device: Device | None) -> bool:
    """Return whether `predict` would answer without tracing."""
    rules: Rules = "cpu" if device is None or device.name == "cpu" else "cuda"
    return (cache_dir / f"{_key(config, rules)}.json").is_file()


def trace(config: TrialConfig, rules: "Rules" = "cpu") -> Prediction:
    """Trace a step in this process (the caller has torch; no real memory is used)."""
    from harness.memory.trace import trace_step

    traced = trace_step(config, rules)
    peak, work = traced.peak, traced.work
    return Prediction(
        peak_bytes=peak.bytes,
        breakdown=peak.breakdown,
        moment=moment_in_words(peak.phase, peak.layer, layers=config.model.backbone.layers),
        host_bytes=traced.host_bytes,
        reserved_bytes=traced.reserved_bytes,
        half_flops=work.half_flops,
        full_flops=work.full_flops,
        bytes_touched=work.bytes_touched,
        bytes_moved=work.bytes_moved,
        params_total=traced.params_total,
        params_trainable=traced.params_trainable,
    )


def _share_of(config: TrialConfig, workers: int) -> TrialConfig:
    if config.engine.policy == "auto":
        raise ValueError("engine.policy is auto, expected a policy that the planner has resolved")
    batch = config.training.batch_size
    if batch % workers:
        raise ValueError(f"training.batch_size is {batch}, expected a multiple of the {workers} workers")
    return with_value(config, "training.batch_size", batch // workers)


def _trace(
    configs: Mapping[str, TrialConfig],
    cache_dir: Path,
    progress: Callable[[int, int], None] | None,
    rules: "Rules",
) -> None:
    command = [sys.executable, "-m", "harness.memory.predict", rules]
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


def _key(config: TrialConfig, rules: "Rules") -> str:
    flat = {path: value for path, value in flatten(config).items() if not path.startswith(IRRELEVANT)}
    return digest_of([flat, rules, _code_version()])


@cache
def _code_version() -> str:
    """Identify the code that a step runs, so that an edited network is traced anew."""
    root = Path(__file__).resolve().parents[2]
    traced = ("tracker", "timeline", "trace", "cuda_rules", "allocator", "words", "predict")
    files = [
        *(root / "models").rglob("*.py"),
        *(root / f"harness/memory/{name}.py" for name in traced),
        *(root / "harness/training").glob("*.py"),
    ]
    text = hashlib.sha256()
    for file in sorted(files):
        text.update(file.read_bytes())
    return text.hexdigest()[:16] + version("torch")


def main() -> None:
    """Trace the configs on standard input by the rules named on the command line, one line of JSON each."""
    rules: Rules = "cuda" if sys.argv[1:] == ["cuda"] else "cpu"
    configs: list[dict[str, Any]] = json.load(sys.stdin)
    for flat in configs:
        print(json.dumps(asdict(trace(unflatten(flat), rules))), flush=True)


if __name__ == "__main__":
    main()
