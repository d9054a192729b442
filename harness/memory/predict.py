"""Peak memory, operations and time of a trial's training step, predicted without data, weights or a GPU.

The real training step runs on fake tensors (`trace.py`). It runs in a process of its own: fake tensors and a
driver that talks to Ray do not mix well, and torch stays out of the study's process.

    python -m harness.memory.predict cuda     flattened configs as lines of JSON in, predictions as lines out
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

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


class Tracer:
    """Predicts one config after the other, in a process that starts when the first has to be traced.

    Predictions are remembered on disk. Use it as a context: leaving it ends the process.
    """

    def __init__(self, cache_dir: Path, *, device: Device | None = None, workers: int = 1) -> None:
        """Remember where and for what.

        Args:
            cache_dir: where predictions are remembered.
            device: whose rules and workspaces count; None: the CPU's.
            workers: processes that share a batch; predictions are for one of them.
        """
        self._cache_dir, self._device, self._workers = cache_dir, device, workers
        self._rules: Rules = "cpu" if device is None or device.name == "cpu" else "cuda"
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process, in __exit__

    def __enter__(self) -> "Tracer":
        """Start nothing yet."""
        return self

    def __exit__(self, *error: Any) -> None:
        """End the process, if one was needed."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            if error[0] is not None:
                self._process.kill()
            self._process.wait()
            self._process.stdout.close()
        self._errors.close()

    def key(self, config: TrialConfig) -> str:
        """Return what is the same for configs with the same step."""
        return _key(_share_of(config, self._workers), self._rules)

    def is_remembered(self, config: TrialConfig) -> bool:
        """Return whether `ask` would answer without tracing."""
        return self._file(_share_of(config, self._workers)).is_file()

    def ask(self, config: TrialConfig) -> Prediction:
        """Return the prediction for a config whose engine policy is decided.

        Raises:
            ValueError: the workers cannot share a batch equally, or the engine policy is not decided.
            PredictionFailed: with the last line the tracing process wrote.
        """
        config = _share_of(config, self._workers)
        file = self._file(config)
        if not file.is_file():
            line = self._trace(config)
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(f".{os.getpid()}")
            temporary.write_text(line)
            temporary.replace(file)
        return Prediction(**json.loads(file.read_text())).on(self._device)

    def _file(self, config: TrialConfig) -> Path:
        return self._cache_dir / f"{_key(config, self._rules)}.json"

    def _trace(self, config: TrialConfig) -> str:
        if self._process is None:
            command = [sys.executable, "-m", "harness.memory.predict", self._rules]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                process_group=0,  # a terminal's Ctrl-C is for the study, which ends this process itself
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(flatten(config)) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines()
            raise PredictionFailed(f"memory prediction stopped: {lines[-1] if lines else 'no message'}")
        return line


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
    with Tracer(cache_dir, device=device, workers=workers) as tracer:
        todo = len({tracer.key(config) for config in configs if not tracer.is_remembered(config)})
        done, predictions = 0, []
        for config in configs:
            new = not tracer.is_remembered(config)
            predictions.append(tracer.ask(config))
            done += new
            if new and progress:
                progress(done, todo)
        return predictions


def trace(config: TrialConfig, rules: "Rules" = "cpu") -> Prediction:
    """Trace a step in this process (the caller has torch; no real memory is used)."""
    from harness.memory.shortened import trace_quickly

    traced = trace_quickly(config, rules)
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


def _key(config: TrialConfig, rules: "Rules") -> str:
    flat = {path: value for path, value in flatten(config).items() if not path.startswith(IRRELEVANT)}
    return digest_of([flat, rules, _code_version()])


@cache
def _code_version() -> str:
    """Identify the code that a step runs, so that an edited network is traced anew."""
    root = Path(__file__).resolve().parents[2]
    traced = ("tracker", "timeline", "trace", "shortened", "cuda_rules", "allocator", "words", "predict")
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
    """Trace the configs on standard input by the rules named on the command line; a line of JSON in, one out."""
    rules: Rules = "cuda" if sys.argv[1:] == ["cuda"] else "cpu"
    for line in sys.stdin:
        print(json.dumps(asdict(trace(unflatten(json.loads(line)), rules))), flush=True)


if __name__ == "__main__":
    main()
