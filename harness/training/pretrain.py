"""The tiny backbones' pretraining: a clip classifier on trimmed synthetic clips, in about a minute.

clips (clips.py) -> student (student.py) -> steps -> checkpoint, and its accuracy beside it
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.allocator import keep_freed_memory
from harness.config import digest_of
from harness.data.motion import CLASSES
from harness.training.clips import BRIEF, FULL, LARGE, NOTHING, QUICK, SMALL, Recipe, augmented, pixels_of, render_clips
from models.config import BackboneConfig

if TYPE_CHECKING:
    from torch import Tensor

    from harness.training.student import Student

__all__ = ["FULL", "QUICK", "Recipe", "ensure_pretrained", "recipe_digest", "recipe_of"]

VERSION = 1
"""Raised whenever the same recipe would give other weights."""

Progress = Callable[[int, int], None]
RECIPES = {"videomae-brief-tiny": BRIEF}
"""Of the backbones that are not pretrained like the others."""


def recipe_of(backbone: BackboneConfig, *, quick: bool = False) -> Recipe:
    """Return how a tiny backbone is pretrained."""
    return QUICK if quick else RECIPES.get(backbone.name, FULL)


def recipe_digest(recipe: Recipe, backbone: BackboneConfig) -> str:
    """Return the identity of the weights: the recipe's, not the file's, so it is the same on every machine."""
    return digest_of({"version": VERSION, "recipe": asdict(recipe), "backbone": asdict(backbone)})


def ensure_pretrained(cache: Path, recipe: Recipe, backbone: BackboneConfig, progress: Progress | None = None) -> Path:
    """Return the checkpoint of a recipe, training it if the cache has none; its accuracy lies beside it as JSON.

    Raises:
        ValueError: the cache cannot be written.
    """
    path = cache / f"{recipe_digest(recipe, backbone)}.pth"
    # The accuracy is written last, so that it vouches for the weights.
    if path.is_file() and path.with_suffix(".json").is_file():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _pretrain(path, recipe, backbone, progress)
    except OSError as error:
        raise ValueError(f"cannot write the pretrained weights to {cache}: {error.strerror or error}") from None
    return path


def _pretrain(path: Path, recipe: Recipe, backbone: BackboneConfig, progress: Progress | None) -> None:
    import torch

    from harness.training.student import make_student
    from models.checkpoints import save_backbone

    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    total = recipe.steps + recipe.steps // 4

    def rendered(done: int, of: int) -> None:
        if progress:
            progress(done * (total - recipe.steps) // of, total)

    clips, labels = render_clips(recipe, rendered)
    held_out = len(labels) // 8
    torch.manual_seed(recipe.seed)
    student = make_student(backbone, clips[SMALL][held_out:], labels[held_out:], len(CLASSES) + 1)
    parameters = list(student.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.05, fused=True)
    generator = torch.Generator().manual_seed(recipe.seed)
    for step in range(recipe.steps):
        rate = min(1.0, (step + 1) / (0.1 * recipe.steps)) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate
        large = step % recipe.large_every == recipe.large_every - 1
        size = recipe.batch // 2 if large else recipe.batch
        side = LARGE if large else SMALL
        chosen = torch.randint(held_out, len(labels), (size,), generator=generator)
        batch, target = augmented(clips[side][chosen], labels[chosen], generator)
        loss = student.loss(pixels_of(batch), target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if progress:
            progress(total - recipe.steps + step + 1, total)
    accuracy = {
        f"accuracy_{side}": _accuracy(student, clips[side][:held_out], labels[:held_out]) for side in (SMALL, LARGE)
    }
    torch.set_num_threads(threads)
    save_backbone(path, student.weights())
    facts = {**accuracy, "chance": float((labels == NOTHING).float().mean()), "recipe": asdict(recipe)}
    temporary = path.with_suffix(f".json.{os.getpid()}")
    temporary.write_text(json.dumps(facts, indent=1))
    temporary.replace(path.with_suffix(".json"))


def _accuracy(student: "Student", clips: "Tensor", labels: "Tensor") -> float:
    import torch

    student.eval()
    with torch.no_grad():
        found = torch.cat([student(pixels_of(part)).argmax(1) for part in clips.split(100)])
    student.train()
    return float((found == labels).float().mean())
