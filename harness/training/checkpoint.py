"""Atomic save and exact resume: what trains, optimiser, average, random state and position.

A checkpoint holds no frozen weights, so that of a 1 B-parameter detector is about as large as its head.
It is a dictionary of tensors and numbers only, and is read with `weights_only=True`.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from harness.atomic import whole_file
from harness.training.distributed import gather, rank
from harness.training.step import Trainee
from models.tuning import load_trainable_state, trainable_state

VERSION = 1
CHECKPOINT, CURVE = "checkpoint.pt", "curve.jsonl"
"""Files of a run that is under way, in its own folder."""


@dataclass
class Position:
    """How far a training run has come."""

    epoch: int = 0
    """Whole epochs behind."""
    step: int = 0
    """Steps behind within the epoch that is under way."""
    seconds: float = 0.0
    """Training time so far, over all attempts."""
    sums: dict[str, float] = field(default_factory=dict)
    """Losses summed over the steps of the epoch that is under way."""


def save_checkpoint(path: Path, trainee: Trainee, position: Position, *, digest: str) -> None:
    """Write the state whole or not at all; every rank calls it, rank 0 writes.

    Args:
        path: where; its folder is created.
        trainee: what is trained.
        position: how far the run has come.
        digest: the trial's digest, checked on resume.
    """
    random_states = gather(_random_state())
    if rank() != 0:
        return
    write_atomically(
        path,
        {
            "version": VERSION,
            "digest": digest,
            "position": asdict(position),
            "trainable": trainable_state(trainee.detector),
            "optimizer": trainee.optimizer.state_dict(),
            "scaler": trainee.scaler.state_dict() if trainee.scaler else {},
            "ema": trainee.ema.state,
            "random": random_states,
        },
    )


def write_atomically(path: Path, state: dict[str, object]) -> None:
    """Save under a temporary name, flush to disk, rename: a reader sees the old file or the new one."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # When writing fails, torch complains of the archive that is left; why it failed is behind that.
            raise _reason(error) from error


def _reason(error: BaseException) -> BaseException:
    """Return the error of the disk that led to this one, or itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return cause or error


def load_checkpoint(path: Path, trainee: Trainee, *, digest: str) -> Position:
    """Restore the state in place and return the position it belongs to.

    Raises:
        ValueError: the file belongs to another trial or another version of the format.
    """
    device = next(iter(trainable_state(trainee.detector).values())).device
    state = torch.load(path, map_location=device, weights_only=True)
    if state["version"] != VERSION or state["digest"] != digest:
        raise ValueError(
            f"checkpoint {path} is of trial {state['digest']} (format {state['version']}), expected {digest}"
        )
    load_trainable_state(trainee.detector, state["trainable"])
    trainee.optimizer.load_state_dict(state["optimizer"])
    if trainee.scaler:
        trainee.scaler.load_state_dict(state["scaler"])
    trainee.ema.load(state["ema"])
    _set_random_state(state["random"][rank() % len(state["random"])])
    return Position(**state["position"])


def read_progress(path: Path) -> tuple[int, int] | None:
    """Return the epochs and steps that a checkpoint has behind it; None where there is none that can be read."""
    try:
        position = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["position"]
        return position["epoch"], position["step"]
    except Exception:  # a file that was cut off fails in whatever way its first missing byte makes it
        return None


def _random_state() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
