"""Trimmed synthetic clips with one label each: what the tiny backbones are pretrained on.

    scenes that are in no data set -> (helper processes) clips of one action each -> grey uint8 clips and labels

The clips are rendered straight to pixels, without a video codec in between. Torch is imported where it is needed: the
helper processes need none.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from harness.data.motion import CLASSES, RATES, SIDE, Dice, compose, draw, shrunk, trimmed_clip

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], None]
NOTHING = len(CLASSES)
"""Label of clips in which nothing happens that is a class."""
LARGE, SMALL = SIDE // 2, SIDE // 3
"""Resolutions of the clips, pixels; those of the study."""

# Which class a class becomes when a clip is mirrored (columns, rows), played backwards or transposed.
MIRRORED = [1, 0, 2, 3, 5, 4, 6, 7, 8]
UPSIDE_DOWN = [0, 1, 3, 2, 5, 4, 6, 7, 8]
BACKWARDS = [1, 0, 3, 2, 5, 4, 6, 7, 8]
TRANSPOSED = [2, 3, 0, 1, 5, 4, 6, 7, 8]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the weights, all of it."""

    num_clips: int = 3200
    strides: tuple[int, ...] = (1, 2, 3, 4)
    """Frames from one clip frame to the next."""
    steps: int = 550
    batch: int = 64
    """Clips per step at the small resolution; half of that at the large one."""
    large_every: int = 4
    """Every n-th step uses the large resolution."""
    learning_rate: float = 2e-3
    seed: int = 1000


FULL = Recipe()
BRIEF = Recipe(steps=275)
"""Half as long: the weaker pretraining of two, where a study compares them."""
QUICK = Recipe(num_clips=1200, steps=90)


def render_clips(recipe: Recipe, progress: Progress | None = None) -> "tuple[dict[int, Tensor], Tensor]":
    """Return grey uint8 clips (n, 16, side, side) per resolution, and their labels (n,), drawn by helper processes."""
    import torch

    helpers = min(os.cpu_count() or 1, 4)
    # Shares are fixed, so that the number of helpers does not change the clips.
    shares = 8
    with tempfile.TemporaryDirectory(prefix="tadscale-clips-") as folder:
        done = 0
        waiting, running = list(range(shares)), []
        try:
            while waiting or running:
                while waiting and len(running) < helpers:
                    share = waiting.pop(0)
                    arguments = json.dumps([asdict(recipe), share, recipe.num_clips // shares, f"{folder}/{share}.npz"])
                    running.append(_start_helper(arguments))
                if running[0].wait():
                    raise RuntimeError("a process that renders pretraining clips ended with an error")
                running.pop(0)
                done += 1
                if progress:
                    progress(done, shares)
        finally:
            for process in running:
                process.kill()
                process.wait()
        parts = [np.load(f"{folder}/{share}.npz") for share in range(shares)]
        clips = {side: np.concatenate([part[f"clips_{side}"] for part in parts]) for side in (SMALL, LARGE)}
        labels = np.concatenate([part["labels"] for part in parts])
    order = np.random.Generator(np.random.PCG64(recipe.seed)).permutation(len(labels))
    return {side: torch.from_numpy(part[order]) for side, part in clips.items()}, torch.from_numpy(labels[order])


def _start_helper(arguments: str) -> subprocess.Popen[bytes]:
    # A plain Python process: multiprocessing would import the user's main script again.
    root = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from harness.training.clips import render; render(sys.argv[1])"
    # In a process group of its own: a terminal's Ctrl-C is for the study, which ends its helpers itself.
    return subprocess.Popen([sys.executable, "-c", code, arguments], process_group=0)


def render(arguments: str) -> None:
    """Draw one share of the clips into a file: the life of a helper process."""
    recipe, share, count, path = json.loads(arguments)
    clips, labels = _share(Recipe(**{**recipe, "strides": tuple(recipe["strides"])}), share, count)
    sizes: dict[str, Any] = {
        f"clips_{side}": np.stack([shrunk(clip, SIDE // side) for clip in clips]) for side in (SMALL, LARGE)
    }
    np.savez(path, labels=labels, **sizes)


def _share(recipe: Recipe, share: int, count: int) -> tuple[list[UInt8[ndarray, "t h w"]], Int[ndarray, " n"]]:
    clips: list[ndarray] = []
    labels: list[int] = []
    number = 0
    while len(clips) < count:
        dice = Dice(recipe.seed, share, number)
        number += 1
        rate = RATES[dice.within(0, len(RATES) - 1)]
        scene = compose(dice, rate=rate, num_frames=rate.frames(25_000))
        for episode in scene.episodes:
            stride = recipe.strides[dice.within(0, len(recipe.strides) - 1)]
            frames = trimmed_clip(scene, episode, dice, num_frames=16, stride=stride)
            others = (other for other in scene.actions if other is not episode)
            if any(other.start <= frames[-1] and other.end > frames[0] for other in others):
                continue  # two actions in one clip have no one label
            clips.append(draw(scene, frames))
            labels.append(CLASSES.index(episode.kind) if episode.kind in CLASSES else NOTHING)
    return clips[:count], np.array(labels[:count], dtype=np.int64)


def augmented(clips: "Tensor", labels: "Tensor", generator: object) -> "tuple[Tensor, Tensor]":
    """Mirror, turn over, reverse and transpose half of the clips each, and their labels with them."""
    import torch

    clips, labels = clips.clone(), labels.clone()
    for axis, becomes in ((3, MIRRORED), (2, UPSIDE_DOWN), (1, BACKWARDS)):
        half = torch.rand(len(clips), generator=generator) < 0.5  # type: ignore[arg-type]
        clips[half] = clips[half].flip(axis)
        labels[half] = torch.tensor(becomes)[labels[half]]
    half = torch.rand(len(clips), generator=generator) < 0.5  # type: ignore[arg-type]
    clips[half] = clips[half].transpose(2, 3)
    labels[half] = torch.tensor(TRANSPOSED)[labels[half]]
    return clips, labels


def pixels_of(clips: "Tensor") -> "Tensor":
    """Return normalised RGB clips (n, 3, 16, side, side)."""
    from models.representation import PixelNormalisation

    return PixelNormalisation()(clips[:, None].expand(-1, 3, -1, -1, -1))
