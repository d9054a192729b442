"""The tiny backbone's pretraining: a clip classifier on trimmed synthetic clips, in about a minute.

    other scenes -> (helper processes) trimmed 16-frame clips -> motion-energy start -> classifier -> checkpoint

A transformer of this size would need hours to discover that pixels move. It therefore starts from what is known
to see motion: the patch embedding holds pairs of space-time Gabor filters in quadrature (Adelson and Bergen's motion
energy, 1985) and the first MLP rectifies them. Training then adapts everything. The clips are rendered from scenes
that are in no data set, straight to pixels, without a video codec in between.
"""

import json
import math
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

from harness.allocator import keep_freed_memory
from harness.config import digest_of
from harness.data.motion import CLASSES, RATES, SIDE, Dice, compose, draw, shrunk, trimmed_clip
from models.config import VideoMAEConfig

if TYPE_CHECKING:
    from torch import Tensor

    from models.backbones.videomae import ClipClassifier

VERSION = 1
"""Raised whenever the same recipe would give other weights."""

Progress = Callable[[int, int], None]
NOTHING = len(CLASSES)
"""Label of clips in which nothing happens that is a class."""
INIT_STD = 0.06
"""Of the transformer's weights: wider than 0.02, with which so small a network hardly moves in so few steps."""
LARGE, SMALL = SIDE // 2, SIDE // 3
"""Resolutions of the clips, pixels; those of the study."""

# Which class a class becomes when a clip is mirrored (columns, rows), played backwards or transposed.
_MIRRORED = [1, 0, 2, 3, 5, 4, 6, 7, 8]
_UPSIDE_DOWN = [0, 1, 3, 2, 5, 4, 6, 7, 8]
_BACKWARDS = [1, 0, 3, 2, 5, 4, 6, 7, 8]
_TRANSPOSED = [2, 3, 0, 1, 5, 4, 6, 7, 8]


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
QUICK = Recipe(num_clips=1200, steps=90)


def recipe_digest(recipe: Recipe, backbone: VideoMAEConfig) -> str:
    """Return the identity of the weights: the recipe's, not the file's, so it is the same on every machine."""
    return digest_of({"version": VERSION, "recipe": asdict(recipe), "backbone": asdict(backbone)})


def ensure_pretrained(cache: Path, recipe: Recipe, backbone: VideoMAEConfig, progress: Progress | None = None) -> Path:
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


def _pretrain(path: Path, recipe: Recipe, backbone: VideoMAEConfig, progress: Progress | None) -> None:
    import torch
    from torch.nn import functional as F

    from models.backbones.videomae import ClipClassifier
    from models.backbones.weights import save_videomae

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
    net = ClipClassifier(backbone, len(CLASSES) + 1)
    start_from_motion_energy(net)
    start_from_least_squares(net, clips[SMALL][held_out:], labels[held_out:])
    # A second classifier sees single tokens and is dropped afterwards: an object covers a part of the picture, and
    # in the mean over all tokens its motion would at first be too faint to learn from.
    per_token = torch.nn.Sequential(
        torch.nn.LayerNorm(backbone.width), torch.nn.Linear(backbone.width, len(CLASSES) + 1)
    )
    parameters = [*net.parameters(), *per_token.parameters()]
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
        batch, target = _augmented(clips[side][chosen], labels[chosen], generator)
        tokens = _tokens(net, _pixels(batch))
        loss = F.cross_entropy(net.head(net.fc_norm(tokens.mean(1))), target)
        loss = loss + F.cross_entropy(torch.logsumexp(per_token(tokens), 1) - math.log(tokens.shape[1]), target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if progress:
            progress(total - recipe.steps + step + 1, total)
    accuracy = {
        f"accuracy_{side}": _accuracy(net, clips[side][:held_out], labels[:held_out]) for side in (SMALL, LARGE)
    }
    torch.set_num_threads(threads)
    save_videomae(path, net.state_dict())
    facts = {**accuracy, "chance": float((labels == NOTHING).float().mean()), "recipe": asdict(recipe)}
    temporary = path.with_suffix(f".json.{os.getpid()}")
    temporary.write_text(json.dumps(facts, indent=1))
    temporary.replace(path.with_suffix(".json"))


def start_from_motion_energy(net: "ClipClassifier") -> None:
    """Set the patch embedding to space-time Gabor pairs and the first MLP to rectify them; see the module.

    Eight directions, three wavelengths and two speeds (phase steps between the two frames of a tubelet), each as an
    even and an odd filter. Their gain lifts the responses above the position table, which would drown them.
    """
    import torch

    weight = net.patch_embed.proj.weight
    blocks: list[Any] = list(net.blocks)
    width, _, frames, side, _ = weight.shape
    line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    down, across = torch.meshgrid(line, line, indexing="ij")
    window = torch.exp(-(across**2 + down**2) / (2 * (side / 3) ** 2))
    with torch.no_grad():
        for block in blocks:
            for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
                layer.weight.normal_(std=INIT_STD)
        for channel in range(width):
            pair = channel // 2
            direction = 2 * math.pi * (pair % 8) / 8
            wavelength = side * (0.25, 0.4, 0.65)[pair // 8 % 3]
            phase_step = 2 * math.pi * (0.25, 0.12)[pair // 24 % 2]
            way = across * math.cos(direction) + down * math.sin(direction)
            for frame in range(frames):
                phase = channel % 2 * math.pi / 2 - phase_step * frame
                kernel = torch.cos(2 * math.pi * way / wavelength + phase) * window
                kernel = kernel - kernel.mean()
                weight[channel, :, frame] = (kernel / kernel.norm() * 4 / 3).float()
        first, second = blocks[0].mlp.fc1, blocks[0].mlp.fc2
        first.weight[:width] = 1.5 * torch.eye(width)
        first.weight[width : 2 * width] = -1.5 * torch.eye(width)
        mixing = torch.linalg.qr(torch.randn(width, width))[0]
        second.weight[:, :width] = mixing
        second.weight[:, width : 2 * width] = mixing


def start_from_least_squares(net: "ClipClassifier", clips: "Tensor", labels: "Tensor") -> None:
    """Set the last layer to the ridge regression of the labels on the untrained features."""
    import torch
    from torch.nn import functional as F

    with torch.no_grad():
        features = torch.cat([net.fc_norm(_tokens(net, _pixels(part)).mean(1)) for part in clips.split(200)])
        mean, spread = features.mean(0), features.std(0) + 1e-6
        inputs = F.pad((features - mean) / spread, (0, 1), value=1.0).double()
        targets = F.one_hot(labels, len(CLASSES) + 1).double()
        penalty = 20 * torch.eye(inputs.shape[1], dtype=torch.float64)
        # Regression gives shares between 0 and 1; the factor makes logits of them.
        solved = 6 * torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets).float()
        weight, bias = solved[:-1] / spread[:, None], solved[-1]
        net.head.weight.copy_(weight.T)
        net.head.bias.copy_(bias - mean @ weight)


def _tokens(net: "ClipClassifier", pixels: "Tensor") -> "Tensor":
    """Return the last block's tokens (n, tokens, width)."""
    tokens, grid = net.embed(pixels)
    for block in net.blocks:
        tokens = block(tokens, grid)
    return tokens


def render_clips(recipe: Recipe, progress: Progress | None = None) -> "tuple[dict[int, Tensor], Tensor]":
    """Return grey uint8 clips (n, 16, side, side) per resolution, and their labels (n,), drawn by helper processes."""
    import torch

    helpers = min(os.cpu_count() or 1, 4)
    # Shares are fixed, so that the number of helpers does not change the clips.
    shares = 8
    with tempfile.TemporaryDirectory(prefix="tadscale-clips-") as folder:
        done = 0
        waiting, running = list(range(shares)), []
        while waiting or running:
            while waiting and len(running) < helpers:
                share = waiting.pop(0)
                arguments = json.dumps([asdict(recipe), share, recipe.num_clips // shares, f"{folder}/{share}.npz"])
                running.append(_start_helper(arguments))
            process = running.pop(0)
            if process.wait():
                raise RuntimeError("a process that renders pretraining clips ended with an error")
            done += 1
            if progress:
                progress(done, shares)
        parts = [np.load(f"{folder}/{share}.npz") for share in range(shares)]
        clips = {side: np.concatenate([part[f"clips_{side}"] for part in parts]) for side in (SMALL, LARGE)}
        labels = np.concatenate([part["labels"] for part in parts])
    order = np.random.Generator(np.random.PCG64(recipe.seed)).permutation(len(labels))
    return {side: torch.from_numpy(part[order]) for side, part in clips.items()}, torch.from_numpy(labels[order])


def _start_helper(arguments: str) -> subprocess.Popen[bytes]:
    # A plain Python process: multiprocessing would import the user's main script again.
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); from harness.training.pretrain import render; render(sys.argv[1])"
    )
    return subprocess.Popen([sys.executable, "-c", code, arguments])


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


def _augmented(clips: "Tensor", labels: "Tensor", generator: object) -> "tuple[Tensor, Tensor]":
    """Mirror, turn over, reverse and transpose half of the clips each, and their labels with them."""
    import torch

    clips, labels = clips.clone(), labels.clone()
    for axis, becomes in ((3, _MIRRORED), (2, _UPSIDE_DOWN), (1, _BACKWARDS)):
        half = torch.rand(len(clips), generator=generator) < 0.5  # type: ignore[arg-type]
        clips[half] = clips[half].flip(axis)
        labels[half] = torch.tensor(becomes)[labels[half]]
    half = torch.rand(len(clips), generator=generator) < 0.5  # type: ignore[arg-type]
    clips[half] = clips[half].transpose(2, 3)
    labels[half] = torch.tensor(_TRANSPOSED)[labels[half]]
    return clips, labels


def _pixels(clips: "Tensor") -> "Tensor":
    """Return normalised RGB clips (n, 3, 16, side, side)."""
    from models.representation import PixelNormalisation

    return PixelNormalisation()(clips[:, None].expand(-1, 3, -1, -1, -1))


def _accuracy(net: "ClipClassifier", clips: "Tensor", labels: "Tensor") -> float:
    import torch

    net.eval()
    with torch.no_grad():
        found = torch.cat([net(_pixels(part)).argmax(1) for part in clips.split(100)])
    net.train()
    return float((found == labels).float().mean())
