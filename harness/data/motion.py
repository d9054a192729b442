"""Scenes in which things move, and how they are drawn: the content of the synthetic videos.

    Dice (seeded) -> Scene (who moves when, in whole frames) -> planes (Y, U, V bytes) of any of its frames

What tells the classes apart is motion. An object comes into view, rests, performs, rests and goes; left and right,
growing and shrinking, the two senses of rotation are the same pictures in the opposite order. Shape, colour, size and
place carry no information, and as many objects do something that is no class, or nothing.

All arithmetic is on whole numbers and all randomness is the raw stream of PCG64, which NumPy guarantees, so the
pixels are the same on every machine. No torch here: helper processes import this file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

SIDE = 96
"""Height and width of a frame, pixels."""

CLASSES = (
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "grow",
    "shrink",
    "blink_slowly",
    "blink_fast",
)
DISTRACTORS = ("rest", "jitter", "turn", "wobble")
"""What objects do that is no class."""

SHAPES = ("bar", "wedge", "disc", "corner")
"""Each looks different after every rotation by less than a full turn: one end or side carries a mark."""

SUBPIXEL = 4
"""Positions and sizes are in quarters of a pixel."""

ANGLES = 64
"""Steps of a full turn."""

# sin and cos in 1/4096. No entry lies within 1e-3 of a rounding boundary, so no machine's libm can change one.
_COS = tuple(round(4096 * np.cos(2 * np.pi * k / ANGLES)) for k in range(ANGLES))
_SIN = tuple(round(4096 * np.sin(2 * np.pi * k / ANGLES)) for k in range(ANGLES))


class Dice:
    """Whole random numbers from PCG64's raw stream (NumPy guarantees it; the streams of `Generator` may change)."""

    def __init__(self, *seed: int) -> None:
        """Seed with any whole numbers."""
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def within(self, low: int, high: int) -> int:
        """Return a number from low..high, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def one_of(self, *options: object) -> object:
        """Return one of the options."""
        return options[self.within(0, len(options) - 1)]

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
class Pose:
    """An object at one moment; lengths in quarters of a pixel."""

    x: int
    y: int
    size: int
    angle: int
    visible: bool = True


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One object from coming into view to going, with at most one thing it does; times in frames."""

    shape: str
    body: tuple[int, int, int]
    """Y, U, V."""
    mark: tuple[int, int, int]
    kind: str
    appears: int
    start: int
    end: int
    gone: int
    first: Pose
    last: Pose
    half_period: int = 1
    """Frames of one blink, or between two jumps of a jitter."""
    restlessness: int = 0

    def pose(self, frame: int) -> Pose | None:
        """Return where the object is, or None when it is out of view."""
        if not self.appears <= frame < self.gone:
            return None
        if self.kind == "jitter":
            return self._jittered(frame)
        done = min(max(frame - self.start, 0), self.end - self.start)
        length = self.end - self.start
        if self.kind == "wobble":
            # There and back, so that its first half is a move and its whole is not.
            done = 2 * done if 2 * done <= length else 2 * (length - done)
        blinking = self.kind.startswith("blink") and self.start <= frame < self.end
        return Pose(
            x=_between(self.first.x, self.last.x, done, length) % (SIDE * SUBPIXEL),
            y=_between(self.first.y, self.last.y, done, length) % (SIDE * SUBPIXEL),
            size=_between(self.first.size, self.last.size, done, length),
            angle=_between(self.first.angle, self.last.angle, done, length) % ANGLES,
            visible=not blinking or (frame - self.start) // self.half_period % 2 == 1,
        )

    def _jittered(self, frame: int) -> Pose:
        step = (frame - self.appears) // self.half_period
        # Cheap, repeatable numbers per step: the scene keeps no list of jumps.
        scramble = (step * 2654435761 + self.restlessness * 40503) >> 7
        return Pose(
            x=self.first.x + scramble % 17 - 8,
            y=self.first.y + (scramble >> 8) % 17 - 8,
            size=self.first.size,
            angle=self.first.angle,
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A video before it is drawn."""

    rate: Rate
    num_frames: int
    episodes: tuple[Episode, ...]
    luma: UInt8[ndarray, "height width"]
    """Background, larger than a frame: the frame drifts over it."""
    chroma: UInt8[ndarray, "2 height width"]
    noise: UInt8[ndarray, "bank height width"]
    drift: tuple[int, int, int]
    """Direction in x and y, and frames per pixel."""

    @property
    def actions(self) -> tuple[Episode, ...]:
        """The episodes whose kind is a class, by start."""
        return tuple(sorted((e for e in self.episodes if e.kind in CLASSES), key=lambda e: (e.start, e.end, e.kind)))


def _between(first: int, last: int, done: int, length: int) -> int:
    return first + ((last - first) * done + length // 2) // max(length, 1)


# ---- composing


def compose(dice: Dice, *, rate: Rate, num_frames: int, tracks: int = 2) -> Scene:
    """Invent a scene.

    Args:
        dice: what decides everything.
        rate: frames per second.
        num_frames: length of the video.
        tracks: how many objects perform at a time, each in its own band of the picture.
    """
    episodes: list[Episode] = []
    bands = _bands(dice, tracks)
    for _ in range(dice.within(1, 2)):
        episodes.append(_bystander(dice, num_frames))
    for band in bands:
        frame = rate.frames(dice.within(0, 2000))
        while frame < num_frames - rate.frames(700):
            kind = _draw_kind(dice)
            episode = _invent(dice, kind, rate=rate, appears=frame, band=band)
            if episode.end > num_frames:
                break
            episodes.append(episode)
            frame = episode.gone + rate.frames(dice.within(100, 1800))
    return Scene(rate=rate, num_frames=num_frames, episodes=tuple(episodes), **_background(dice))


def _draw_kind(dice: Dice) -> str:
    kinds = CLASSES if dice.within(0, 99) < 65 else DISTRACTORS
    return kinds[dice.within(0, len(kinds) - 1)]


def _bands(dice: Dice, tracks: int) -> list[tuple[int, int]]:
    height = SIDE // tracks
    return [(height * k, height * (k + 1)) for k in range(tracks)] if tracks > 1 else [(0, SIDE)]


def _look(dice: Dice) -> dict[str, object]:
    body = (dice.within(195, 235), dice.within(80, 176), dice.within(80, 176))
    mark = (dice.within(20, 60), dice.within(80, 176), dice.within(80, 176))
    return {"shape": SHAPES[dice.within(0, len(SHAPES) - 1)], "body": body, "mark": mark}


def _bystander(dice: Dice, num_frames: int) -> Episode:
    pose = Pose(
        x=dice.within(8, SIDE - 8) * SUBPIXEL,
        y=dice.within(8, SIDE - 8) * SUBPIXEL,
        size=dice.within(6, 14) * SUBPIXEL,
        angle=dice.within(0, ANGLES - 1),
    )
    return Episode(
        **_look(dice), kind="rest", appears=0, start=0, end=num_frames, gone=num_frames, first=pose, last=pose
    )


def _duration_ms(dice: Dice, kind: str) -> int:
    if kind != "blink_slowly" and dice.within(0, 99) < 22:
        return dice.within(400, 800)
    return dice.within(1000, 4000)


def _invent(dice: Dice, kind: str, *, rate: Rate, appears: int, band: tuple[int, int]) -> Episode:
    """Invent one episode; whatever a class does not decide is drawn the same way for all."""
    duration_ms = _duration_ms(dice, kind)
    start = appears + rate.frames(dice.within(250, 1200))
    half_period = rate.frames(dice.within(90, 130) if kind == "blink_fast" else dice.within(380, 520))
    if kind.startswith("blink"):
        # Whole blinks: it goes dark first and is dark last, so that it never ends by staying.
        blinks = max(2, (rate.frames(duration_ms) // half_period + 1) // 2)
        length = (2 * blinks - 1) * half_period
    else:
        length = rate.frames(duration_ms)
    if kind == "jitter":
        half_period = dice.within(2, 5)
    size = dice.within(8, 16) * SUBPIXEL
    first = last = Pose(
        x=dice.within(10, SIDE - 10) * SUBPIXEL,
        y=dice.within(10, SIDE - 10) * SUBPIXEL,
        size=size,
        angle=dice.within(0, ANGLES - 1),
    )
    if kind.startswith("move") or kind == "wobble":
        # 30 to 60 pixels per second; what leaves the picture on one side comes back on the other, so that the
        # place of an object says nothing of its direction.
        distance = max(10, dice.within(30, 60) * length * rate.den // rate.num) * SUBPIXEL
        across, down = _DIRECTIONS.get(kind) or (dice.within(0, 1) * 2 - 1, 0)
        last = _at(first, x=first.x + across * distance, y=first.y + down * distance)
    elif kind == "turn":
        # 0.4 to 1.2 turns per second.
        turn = max(ANGLES // 4, ANGLES * dice.within(40, 120) * duration_ms // 100_000)
        last = _at(first, angle=first.angle + turn * (dice.within(0, 1) * 2 - 1))
    elif kind in ("grow", "shrink"):
        sizes = (dice.within(5, 7) * SUBPIXEL, dice.within(14, 20) * SUBPIXEL)
        first, last = (_at(first, size=size) for size in (sizes if kind == "grow" else sizes[::-1]))
    return Episode(
        **_look(dice),
        kind=kind,
        appears=appears,
        start=start,
        end=start + length,
        gone=start + length + rate.frames(dice.within(250, 1200)),
        first=first,
        last=last,
        half_period=half_period,
        restlessness=dice.within(0, 1 << 16),
    )


_DIRECTIONS = {"move_left": (-1, 0), "move_right": (1, 0), "move_up": (0, -1), "move_down": (0, 1)}


def _at(pose: Pose, **changes: int) -> Pose:
    return Pose(**{**{name: getattr(pose, name) for name in ("x", "y", "size", "angle", "visible")}, **changes})


def _background(dice: Dice) -> dict[str, object]:
    margin = 64
    side = SIDE + margin
    coarse = _smooth(dice.array((side // 16 + 2, side // 16 + 2), 95, 150), 16)[:side, :side]
    fine = _smooth(dice.array((side // 4 + 2, side // 4 + 2), -8, 8), 4)[:side, :side]
    chroma = np.stack(
        [
            _smooth(dice.array((side // 32 + 2, side // 32 + 2), 116, 140), 16)[: side // 2, : side // 2]
            for _ in range(2)
        ]
    )
    return {
        "luma": (coarse + fine).astype(np.uint8),
        "chroma": chroma.astype(np.uint8),
        "noise": dice.array((8, SIDE, SIDE), -4, 4).astype(np.uint8),
        "drift": (dice.within(-1, 1), dice.within(-1, 1), dice.within(20, 60)),
    }


def _smooth(grid: Int[ndarray, "rows columns"], step: int) -> Int[ndarray, "height width"]:
    """Enlarge a grid `step` times by linear interpolation in whole numbers."""
    weight = np.arange(step)
    for _ in range(2):
        low, high = grid[:-1, None, :], grid[1:, None, :]
        grid = (
            ((low * (step - weight)[None, :, None] + high * weight[None, :, None]) // step).reshape(-1, grid.shape[1]).T
        )
    return grid


# ---- drawing


def draw(scene: Scene, frames: Iterable[int]) -> UInt8[ndarray, "frame rows columns"]:
    """Return frames as I420: SIDE rows of luma, then U and V at half the size, SIDE/2 rows in all."""
    numbers = list(frames)
    planes = np.empty((len(numbers), SIDE * 3 // 2, SIDE), np.uint8)
    for plane, number in zip(planes, numbers, strict=True):
        _draw_frame(scene, number, plane)
    return planes


def _draw_frame(scene: Scene, number: int, plane: UInt8[ndarray, "rows columns"]) -> None:
    half = SIDE // 2
    luma = plane[:SIDE]
    # Each chroma plane lies in SIDE/4 rows of the array; both views share its memory.
    chroma = plane[SIDE:].reshape(2, half, half)
    across, down, pace = scene.drift
    shift = number // pace
    # The margin is 64: 32 from the middle either way, reflected so that no video runs out of background.
    top, left = 32 + _bounce(shift, down), 32 + _bounce(shift, across)
    # Bytes wrap, and no background pixel is near enough to 0 or 255 for noise to do so.
    np.add(scene.luma[top : top + SIDE, left : left + SIDE], scene.noise[number * 5 % len(scene.noise)], out=luma)
    chroma[:] = scene.chroma[:, top // 2 : top // 2 + half, left // 2 : left // 2 + half]
    for episode in scene.episodes:
        pose = episode.pose(number)
        if pose is not None and pose.visible:
            _stamp(luma, chroma, episode, pose)


def _bounce(shift: int, direction: int) -> int:
    phase = shift % 124
    return direction * (phase if phase <= 31 else 62 - phase if phase <= 93 else phase - 124)


def _stamp(
    luma: UInt8[ndarray, "height width"], chroma: UInt8[ndarray, "2 half_h half_w"], episode: Episode, pose: Pose
) -> None:
    body, mark = _coverage(episode.shape, pose.size, pose.angle, pose.x % (2 * SUBPIXEL), pose.y % (2 * SUBPIXEL))
    reach = body.shape[0] // 2
    # Even, so that a chroma pixel is covered by whole luma pixels.
    top, left = pose.y // (2 * SUBPIXEL) * 2 - reach, pose.x // (2 * SUBPIXEL) * 2 - reach
    rows, columns = slice(max(top, 0), min(top + 2 * reach, SIDE)), slice(max(left, 0), min(left + 2 * reach, SIDE))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    for cover, colour in ((body[inside], episode.body), (mark[inside], episode.mark)):
        _blend(luma[rows, columns], cover, colour[0])
        quarter = cover[::2, ::2] + cover[1::2, ::2] + cover[::2, 1::2] + cover[1::2, 1::2]
        half_rows, half_columns = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
        for channel in (0, 1):
            _blend(chroma[channel, half_rows, half_columns], quarter >> 2, colour[1 + channel])


def _blend(pixels: UInt8[ndarray, "height width"], cover: Int[ndarray, "height width"], colour: int) -> None:
    """Mix a colour into pixels in place; a cover of 16 replaces them."""
    old = pixels.astype(np.int16)
    pixels[:] = old + (((colour - old) * cover + 8) >> 4)


@lru_cache(maxsize=1 << 14)
def _coverage(
    shape: str, size: int, angle: int, offset_x: int, offset_y: int
) -> tuple[Int[ndarray, "side side"], Int[ndarray, "side side"]]:
    """Return how many of a pixel's 16 sample points lie in the object's body and in its mark.

    The object's centre lies `offset` quarter pixels right of and below the middle of the array, which is even-sized.
    """
    reach = (size * 3 // 4 // SUBPIXEL + 4) // 2 * 2
    sample = np.arange(-reach * SUBPIXEL, reach * SUBPIXEL) * 2 + 1
    x, y = (sample - 2 * offset_x)[None, :], (sample - 2 * offset_y)[:, None]
    # Sample points in eighths of a pixel; `size` in quarters is the radius in eighths.
    along, across = (x * _COS[angle] + y * _SIN[angle]) >> 12, (y * _COS[angle] - x * _SIN[angle]) >> 12
    body, mark = _inside(shape, along, across, size)
    return tuple(  # type: ignore[return-value]
        part.reshape(2 * reach, SUBPIXEL, 2 * reach, SUBPIXEL).sum(axis=(1, 3), dtype=np.int16) for part in (body, mark)
    )


def _inside(
    shape: str, along: Int[ndarray, "h w"], across: Int[ndarray, "h w"], radius: int
) -> tuple[ndarray, ndarray]:
    if shape == "bar":
        body = (abs(along) <= radius) & (abs(across) * 5 <= radius * 2)
        return body, body & (along * 2 >= radius)
    if shape == "wedge":
        body = (along >= -radius) & (along <= radius) & (abs(across) * 2 <= radius - along)
        return body, body & (along * 2 <= -radius)
    if shape == "disc":
        body = along * along + across * across <= radius * radius
        return body, body & ((2 * along - radius) ** 2 * 4 + across * across * 16 <= radius * radius * 4)
    body = (abs(along) <= radius) & (abs(across) <= radius) & ~((along > 0) & (across > 0))
    return body, body & (along > 0)


def to_rgb(planes: UInt8[ndarray, "frame rows columns"], side: int = SIDE) -> UInt8[ndarray, "frame side side 3"]:
    """Return I420 frames as RGB (BT.601, video range), as a decoder would, in whole numbers.

    Args:
        planes: what `draw` returns.
        side: height and width wanted, reached by averaging blocks of pixels; a divisor of SIDE / 2, or SIDE itself.
    """
    half = SIDE // 2
    if side != SIDE and half % side:
        raise ValueError(f"side is {side}, expected {SIDE} or a divisor of {half}")
    luma = 298 * (_averaged(planes[:, :SIDE], SIDE // side) - 16)
    chroma = planes[:, SIDE:].reshape(-1, half, half)
    chroma = chroma.repeat(2, axis=1).repeat(2, axis=2) if side == SIDE else _averaged(chroma, half // side)
    u, v = (chroma.reshape(len(planes), 2, side, side)[:, k].astype(np.int32) - 128 for k in (0, 1))
    rgb = np.stack((luma + 409 * v, luma - 100 * u - 208 * v, luma + 516 * u), axis=-1)
    return np.clip((rgb + 128) >> 8, 0, 255).astype(np.uint8)


def _averaged(images: UInt8[ndarray, "image height width"], block: int) -> Int[ndarray, "image h w"]:
    if block == 1:
        return images.astype(np.int32)
    rows = (
        images.astype(np.uint16).reshape(len(images), images.shape[1] // block, block, -1).sum(axis=2, dtype=np.int32)
    )
    sums = rows.reshape(*rows.shape[:2], -1, block).sum(axis=3)
    return (sums + block * block // 2) // (block * block)


def trimmed_clip(scene: Scene, action: Episode | None, dice: Dice, *, num_frames: int, stride: int) -> Sequence[int]:
    """Return frame numbers of a clip that shows an action (any part of the scene for None), at a random offset.

    The middle of the clip is inside the action, so that what is shown is mostly the action however long it is.
    """
    span = num_frames * stride
    middle = dice.within(action.start, action.end - 1) if action else dice.within(0, scene.num_frames - 1)
    first = middle - span // 2
    return [min(max(first + k * stride, 0), scene.num_frames - 1) for k in range(num_frames)]
