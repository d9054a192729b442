"""Scenes in which textures move, and how they are drawn: the content of the synthetic videos.

    Dice (seeded) -> Scene (who does what when, in whole frames) -> luma of any of its frames

An object is a round window onto a random texture. It comes into view, rests, performs, rests and goes. What it
performs is told by motion alone: the texture slides left, right, up or down, turns one way or the other, or vanishes
and comes back slowly or fast; any single frame shows a textured disc or none. Objects that rest, jitter or sway are no
class. Coarse textures survive a low resolution and fine ones do not; fast motion is ambiguous when frames are sampled
sparsely (the wagon-wheel effect) and short actions fall between the samples. So more pixels and more frames truly help.

All arithmetic is on whole numbers and all randomness is the raw stream of PCG64, which NumPy guarantees, so the
pixels are the same on every machine. No torch here: helper processes import this file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

SIDE = 96
"""Height and width of a frame, pixels."""

CLASSES = (
    "slide_left",
    "slide_right",
    "slide_up",
    "slide_down",
    "turn_clockwise",
    "turn_counterclockwise",
    "blink_slowly",
    "blink_fast",
)
DISTRACTORS = ("rest", "jitter", "sway")
"""What objects do that is no class."""

TILE = 64
"""Side of a periodic texture, pixels."""
FINE = 8
"""Texture samples per pixel, so that a texture can move by an eighth of a pixel."""
GREY = 128

# sin and cos in 1/4096 of 256 steps of a turn. No entry lies near a rounding boundary, so no libm changes one.
ANGLES = 256
_COS = tuple(round(4096 * np.cos(2 * np.pi * k / ANGLES)) for k in range(ANGLES))
_SIN = tuple(round(4096 * np.sin(2 * np.pi * k / ANGLES)) for k in range(ANGLES))

_DIRECTIONS = {"slide_left": (-1, 0), "slide_right": (1, 0), "slide_up": (0, -1), "slide_down": (0, 1), "sway": (1, 0)}


class Dice:
    """Whole random numbers from PCG64's raw stream (NumPy guarantees it; the streams of `Generator` may change)."""

    def __init__(self, *seed: int) -> None:
        """Seed with any whole numbers."""
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def within(self, low: int, high: int) -> int:
        """Return a number from low..high, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def array(self, shape: tuple[int, ...], low: int, high: int) -> Int[ndarray, "..."]:
        """Return numbers from low..high, both included."""
        raw = self._bits.random_raw(int(np.prod(shape))) % np.uint64(high - low + 1)
        return raw.astype(np.int32).reshape(shape) + low


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Frames per second as a fraction."""

    num: int
    den: int = 1

    def frames(self, milliseconds: int) -> int:
        """Return the frames nearest to a time, at least 1."""
        return max(1, (2 * milliseconds * self.num + 1000 * self.den) // (2000 * self.den))

    def seconds(self, frame: int) -> float:
        """Return when a frame starts, to 4 decimals."""
        return round(frame * self.den / self.num, 4)


RATES = (Rate(num=25), Rate(num=30), Rate(num=30000, den=1001))


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One object from coming into view to going, with at most one thing it does; times in frames."""

    kind: str
    appears: int
    start: int
    end: int
    gone: int
    x: int
    y: int
    """Centre, pixels."""
    radius: int
    contrast: int
    """Of 64: how strongly the texture stands out."""
    grain: int
    """Which of the scene's textures; finer ones need more pixels."""
    pace: int
    """Of a slide or sway: 1/64 pixel per frame; of a turn: 1/64 step per frame; of blinks and jitter: frames."""
    phase: int
    """Where the texture starts; any number."""

    def state(self, frame: int) -> tuple[int, int, int, bool]:
        """Return the texture's offset in x and y (1/FINE pixel), its angle (1/ANGLES turn) and whether it is there."""
        done = min(max(frame - self.start, 0), self.end - self.start)
        x, y, angle = self.phase % 509, self.phase % 499, self.phase % ANGLES
        if self.kind in _DIRECTIONS:
            across, down = _DIRECTIONS[self.kind]
            if self.kind == "sway":
                # There and back every 12 frames: each half is a slide, the whole is not.
                done = 12 - done % 24 if done % 24 >= 12 else done % 24
            way = done * self.pace * FINE // 64
            # The texture moves right when it is read further to the left.
            return x - across * way, y - down * way, angle, True
        if self.kind.startswith("turn"):
            way = done * self.pace // 64
            return x, y, angle + (way if self.kind == "turn_clockwise" else -way), True
        if self.kind == "jitter":
            # Cheap, repeatable numbers per jump: the scene keeps no list of them.
            jump = (done // self.pace * 2654435761 + self.phase * 40503) >> 7
            return x + jump % 97, y + (jump >> 8) % 97, angle, True
        if self.kind.startswith("blink"):
            moving = self.start <= frame < self.end
            return x, y, angle, not moving or (frame - self.start) // self.pace % 2 == 1
        return x, y, angle, True


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A video before it is drawn."""

    rate: Rate
    num_frames: int
    episodes: tuple[Episode, ...]
    background: UInt8[ndarray, "height width"]
    noise: UInt8[ndarray, "bank height width"]
    textures: tuple[Int[ndarray, "tile tile"], ...]
    """Periodic, FINE samples per pixel, values about -96..96; from coarse to fine."""

    @property
    def actions(self) -> tuple[Episode, ...]:
        """The episodes whose kind is a class, by start."""
        return tuple(sorted((e for e in self.episodes if e.kind in CLASSES), key=lambda e: (e.start, e.end, e.kind)))


# ---- composing


def compose(dice: Dice, *, rate: Rate, num_frames: int) -> Scene:
    """Invent a scene: one large object at a time, or two smaller ones side by side whose actions may overlap."""
    tracks = 1 if dice.within(0, 99) < 65 else 2
    episodes: list[Episode] = []
    for track in range(tracks):
        frame = rate.frames(dice.within(0, 2500))
        while True:
            episode = _invent(dice, rate=rate, appears=frame, track=track, tracks=tracks)
            if episode.end > num_frames:
                break
            episodes.append(episode)
            frame = episode.gone + rate.frames(dice.within(100, 2000))
    return Scene(
        rate=rate,
        num_frames=num_frames,
        episodes=tuple(episodes),
        background=_background(dice),
        noise=dice.array((8, SIDE, SIDE), -4, 4).astype(np.uint8),
        textures=(_texture(dice, 3), _texture(dice, 2), _texture(dice, 1)),
    )


def _invent(dice: Dice, *, rate: Rate, appears: int, track: int, tracks: int) -> Episode:
    """Invent one episode; whatever a class does not decide is drawn the same way for all."""
    kinds = CLASSES if dice.within(0, 99) < 72 else DISTRACTORS
    kind = kinds[dice.within(0, len(kinds) - 1)]
    # A fifth of the actions is very short; slow blinking needs a second to be slow.
    short = dice.within(0, 99) < 20 and kind != "blink_slowly"
    length = rate.frames(dice.within(400, 800) if short else dice.within(1000, 4000))
    if kind == "blink_fast":
        pace = dice.within(2, 3)
    elif kind == "blink_slowly":
        pace = rate.frames(dice.within(320, 420))
    elif kind == "jitter":
        pace = dice.within(2, 4)
    elif kind.startswith("turn"):
        # 1 to 4 of 256 steps per frame: a full turn in 2 to 10 seconds.
        pace = dice.within(64, 224)
    else:
        # 0.3 to 1.4 pixels per frame.
        pace = dice.within(20, 90)
    if kind.startswith("blink"):
        # Whole phases, gone first and gone last, so that it never ends by merely staying.
        phases = max(1, (length // pace + 1) // 2) * 2 - 1
        length = pace * phases
    start = appears + rate.frames(dice.within(200, 1000))
    radius = dice.within(18, 24) if tracks > 1 else dice.within(24, 44)
    width = SIDE // tracks
    return Episode(
        kind=kind,
        appears=appears,
        start=start,
        end=start + length,
        gone=start + length + rate.frames(dice.within(200, 1000)),
        x=width * track + dice.within(min(radius, width // 2), max(width - radius, width // 2)),
        y=dice.within(radius, SIDE - radius),
        radius=radius,
        contrast=dice.within(44, 64),
        grain=dice.within(0, 2),
        pace=pace,
        phase=dice.within(0, 1 << 20),
    )


def _background(dice: Dice) -> UInt8[ndarray, "height width"]:
    coarse = _enlarged(dice.array((SIDE // 16 + 1, SIDE // 16 + 1), 90, 150), 16)[:SIDE, :SIDE]
    return coarse.astype(np.uint8)


def _texture(dice: Dice, radius: int) -> Int[ndarray, "tile tile"]:
    """Return a periodic texture of blobs about 2 x radius pixels across, alike in every direction."""
    rough = dice.array((TILE, TILE), -1000, 1000)
    for _ in range(3):
        rough = _blurred(rough, radius)
    # Without its slow part, no place of the texture is brighter than another for long.
    band = rough - _blurred(rough, 3 * radius)
    spread = int(np.abs(band).mean()) or 1
    band = np.clip(band * 50 // spread, -96, 96)
    closed = np.pad(band, ((0, 1), (0, 1)), mode="wrap")
    return _enlarged(closed, FINE)


def _blurred(tile: Int[ndarray, "height width"], radius: int) -> Int[ndarray, "height width"]:
    for axis in (0, 1):
        shifted = [np.roll(tile, shift, axis) for shift in range(-radius, radius + 1)]
        tile = np.stack(shifted).sum(axis=0, dtype=np.int32) * 4 // (2 * radius + 1)
    return tile


def _enlarged(grid: Int[ndarray, "rows columns"], step: int) -> Int[ndarray, "height width"]:
    """Enlarge a grid `step` times by linear interpolation in whole numbers; its last row and column only close it."""
    weight = np.arange(step)[None, :, None]
    for _ in range(2):
        low, high = grid[:-1, None, :], grid[1:, None, :]
        grid = ((low * (step - weight) + high * weight) // step).reshape(-1, grid.shape[1]).T
    return np.ascontiguousarray(grid)


# ---- drawing


def draw(scene: Scene, frames: Iterable[int]) -> UInt8[ndarray, "frame height width"]:
    """Return the luma of frames; the pictures are grey."""
    numbers = list(frames)
    pictures = np.empty((len(numbers), SIDE, SIDE), np.uint8)
    for picture, number in zip(pictures, numbers, strict=True):
        # Bytes wrap, and no background pixel is near enough to 0 or 255 for noise to do so.
        np.add(scene.background, scene.noise[number * 5 % len(scene.noise)], out=picture)
        for episode in scene.episodes:
            if episode.appears <= number < episode.gone:
                _stamp(picture, scene, episode, number)
    return pictures


def _stamp(picture: UInt8[ndarray, "height width"], scene: Scene, episode: Episode, number: int) -> None:
    x, y, angle, lit = episode.state(number)
    if not lit:
        return
    cover, across, down = _disc(episode.radius)
    texture = scene.textures[episode.grain]
    if episode.kind.startswith("turn"):
        cos, sin = _COS[angle % ANGLES], _SIN[angle % ANGLES]
        columns = (across * cos + down * sin) * FINE >> 12
        rows = (down * cos - across * sin) * FINE >> 12
    else:
        rows, columns = down * FINE, across * FINE
    size = TILE * FINE
    values = texture[(rows + y) % size, (columns + x) % size]
    colour = GREY + values * episode.contrast // 64
    top, left = episode.y - episode.radius, episode.x - episode.radius
    into = picture[max(top, 0) : top + len(cover), max(left, 0) : left + len(cover)]
    # What sticks out of the picture is cut off.
    inside = (slice(max(-top, 0), max(-top, 0) + into.shape[0]), slice(max(-left, 0), max(-left, 0) + into.shape[1]))
    np.copyto(into, colour[inside].astype(np.uint8), where=cover[inside])


@lru_cache(maxsize=64)
def _disc(radius: int) -> tuple[ndarray, ndarray, ndarray]:
    """Return which pixels of a square belong to the disc, and every pixel's distance right of and below its centre."""
    line = np.arange(-radius, radius + 1, dtype=np.int32)
    across, down = np.broadcast_arrays(line[None, :], line[:, None])
    return across**2 + down**2 <= radius**2, np.ascontiguousarray(across), np.ascontiguousarray(down)


def shrunk(pictures: UInt8[ndarray, "frame height width"], block: int) -> UInt8[ndarray, "frame h w"]:
    """Return pictures at 1/block of their size, by averaging blocks of pixels."""
    count, height, width = pictures.shape
    blocks = pictures.reshape(count, height // block, block, width // block, block).astype(np.uint32)
    return ((blocks.sum(axis=(2, 4)) + block * block // 2) // (block * block)).astype(np.uint8)


def trimmed_clip(scene: Scene, episode: Episode, dice: Dice, *, num_frames: int, stride: int) -> list[int]:
    """Return frame numbers of a clip around a random moment of an episode, kept inside the episode if it is long."""
    span = num_frames * stride
    middle = dice.within(episode.start, episode.end - 1)
    low, high = episode.start, max(episode.start, episode.end - span)
    first = min(max(middle - span // 2, low), high)
    return [min(max(first + k * stride, 0), scene.num_frames - 1) for k in range(num_frames)]
