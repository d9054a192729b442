"""The fastest engine policy that fits: which one, for which trial, under which budget.

    config, budget --ladder--> policies from fast to lean --trace, one after the other--> the first that fits

A policy does not depend on the budget and neither does their order, so a bigger budget never gives a slower policy, and
what fits into one budget fits into every bigger one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config import TrialConfig
from harness.memory.devices import Device
from harness.memory.formula import estimate_bytes
from harness.memory.ladder import ladder
from harness.memory.predict import Prediction, Tracer
from models.config import EngineConfig

HOPELESS = 0.6
"""A policy is not traced if even this share of what the formula says exceeds the budget."""
FRAGMENTS = 1.03
"""What an allocator holds over what is allocated, at least (scaling-facts C3, item 7)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A policy for a trial."""

    engine: EngineConfig
    prediction: Prediction
    fits: bool
    """Whether it fits the budget; False: not even the leanest policy does, and this is the leanest."""

    @property
    def peak_bytes(self) -> int:
        """Most bytes in tensors at once, in the device's memory."""
        return self.prediction.peak_bytes

    @property
    def host_bytes(self) -> int:
        """Most bytes that the engine keeps on the host at once."""
        return self.prediction.host_bytes

    @property
    def breakdown(self) -> dict[str, int]:
        """Bytes per category at the peak."""
        return self.prediction.breakdown

    @property
    def flops(self) -> float:
        """Operations of a step."""
        return self.prediction.flops

    @property
    def params_total(self) -> int:
        """Parameters of the detector."""
        return self.prediction.params_total

    @property
    def params_trainable(self) -> int:
        """Parameters that are trained."""
        return self.prediction.params_trainable


def plan_all(
    configs: Sequence[TrialConfig],
    budget_bytes: int,
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
    device: Device | None = None,
) -> list[Choice]:
    """Return a choice per trial; what `predict` is for trials whose policies are decided.

    Args:
        configs: the trials, in any number.
        budget_bytes: what tensors may occupy on a device.
        cache_dir: where predictions are remembered.
        progress: called with (done, to do).
        workers: processes that share a batch.
        device: what the trials run on; None: the CPU.

    Raises:
        ValueError: the workers cannot share a batch equally.
    """
    with Tracer(cache_dir, device=device, workers=workers) as tracer:
        choices = []
        for number, config in enumerate(configs, start=1):
            choices.append(choose(config, budget_bytes, tracer))
            if progress:
                progress(number, len(configs))
        return choices


def choose(
    config: TrialConfig,
    budget_bytes: int,
    tracer: Tracer,
    note: Callable[[EngineConfig], None] | None = None,
) -> Choice:
    """Return the fastest policy that is predicted to fit; a policy that the config fixes is the only one there is.

    Args:
        config: the trial.
        budget_bytes: what tensors may occupy.
        tracer: predicts.
        note: is told of every policy before it is predicted.
    """
    rungs = ladder(config) if config.engine.policy == "auto" else (config.engine,)
    for place, engine in enumerate(rungs):
        trial = replace(config, engine=engine)
        last = place + 1 == len(rungs)
        estimate = estimate_bytes(trial)
        if not last and estimate is not None and HOPELESS * estimate > budget_bytes:
            continue
        if note:
            note(engine)
        prediction = tracer.ask(trial)
        fits = needed_bytes(prediction, engine) <= budget_bytes
        if fits or last:
            return Choice(engine=engine, prediction=prediction, fits=fits)
    raise AssertionError("a ladder has a last rung")


def needed_bytes(prediction: Prediction, engine: EngineConfig) -> int:
    """Return what a card must have free for a step: tensors and, on a GPU, the allocator's fragments."""
    on_gpu = "workspace" in prediction.breakdown
    return (
        round(prediction.peak_bytes * FRAGMENTS) if on_gpu and engine.policy != "reference" else prediction.peak_bytes
    )


def resolve(config: TrialConfig, budget_bytes: int, tracer: Tracer) -> EngineConfig:
    """Return the engine policy that a trial runs with under a budget."""
    return config.engine if config.engine.policy != "auto" else choose(config, budget_bytes, tracer).engine


def engine_in_words(engine: EngineConfig) -> str:
    """Return what a policy does for people, such as `block inputs on the host, 16 clips at a time, bf16 weights`."""
    if engine.policy != "fixed":
        return {"auto": "as the planner decides", "reference": "as in the paper"}[engine.policy]
    kept = {"everything": "every activation kept", "nothing": "streamed, nothing kept"}.get(engine.keep)
    parts = [kept or _blocks_in_words(engine)]
    if engine.clips:
        parts.append(f"{engine.clips} clips at a time")
    if engine.positions:
        parts.append(f"{engine.positions} positions at a time")
    parts += [f"{engine.weights} frozen weights"] if engine.weights != "fp32" else []
    parts += [f"{engine.residual} residuals"] if engine.residual != "fp32" else []
    hosted = {"inputs_on": "frames", "averages_on": "averages", "optimizer_on": "optimiser"}
    waiting = [word for name, word in hosted.items() if getattr(engine, name) == "host"]
    if waiting:
        parts.append(f"{' and '.join(filter(None, (', '.join(waiting[:-1]), waiting[-1])))} on the host")
    parts += ["head recomputed"] if engine.checkpoint_head else []
    parts += ["compiled"] if engine.compile else []
    return ", ".join(parts)


def _blocks_in_words(engine: EngineConfig) -> str:
    inputs = "block inputs" if engine.every == 1 else f"inputs of every {engine.every} blocks"
    return f"{inputs} kept" + (" on the host" if engine.keep_on == "host" else "")
