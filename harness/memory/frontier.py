"""What fits on which card: for every backbone the longest window that its leanest policy is predicted to train.

Memory grows in proportion to the frames of a window once it is taken a few clips at a time, so two traces per backbone,
placement and resolution answer for every card and every length; a longer window is searched among `FRAMES` only.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.config import TrialConfig, with_values
from harness.memory.devices import KNOWN, Device
from harness.memory.ladder import ladder
from harness.memory.plan import needed_bytes
from harness.memory.predict import Prediction, Tracer
from models.config import BACKBONES, EngineConfig

CARDS: Mapping[int, str] = {
    8: "rtx4060-8gb",
    12: "rtx3060-12gb",
    16: "rtx4080-16gb",
    24: "rtx4090-24gb",
    40: "a100-40gb",
    80: "h100-80gb",
    141: "h200-141gb",
}
"""A card for each size in GB."""
SIZES = ("videomae-s", "videomae-b", "videomae-l", "videomae-h", "videomae-g")
FRAMES = (768, 1536, 3072, 6144, 12288, 24576)
RESOLUTIONS = (160, 224)
PLACEMENTS = ("inside", "outside")
LEAN = -2
"""The rung that is asked: the leanest with a reasonable number of clips at a time."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far one backbone goes on one card."""

    card: str
    backbone: str
    placement: str
    resolution: int
    frames: int | None
    """The most of `FRAMES` that fit; None: not even the fewest."""
    needed_bytes: int | None
    """For them."""
    host_bytes: int | None


@dataclass(frozen=True)
class Line:
    """Needs that grow in proportion to the frames."""

    frames: tuple[int, int]
    needed: tuple[int, int]
    host: tuple[int, int]

    def at(self, values: tuple[int, int], frames: int) -> int:
        """Return the value at a number of frames."""
        step = (values[1] - values[0]) / (self.frames[1] - self.frames[0])
        return round(values[0] + step * (frames - self.frames[0]))


def frontier(
    base: TrialConfig,
    tracer: Tracer,
    progress: Callable[[int, int], None] | None = None,
    placements: tuple[str, ...] = PLACEMENTS,
) -> list[Reach]:
    """Return how far every backbone goes on every card.

    Args:
        base: an AdaTAD config; its backbone, window and placement are varied.
        tracer: predicts for a CUDA device; the cards' own workspaces are within 32 MiB of each other.
        progress: called with (done, to do).
        placements: where adapters are.
    """
    points = [(size, placement, side) for placement in placements for size in SIZES for side in RESOLUTIONS]
    found: list[Reach] = []
    for number, point in enumerate(points, start=1):
        line = _line(base, tracer, *point)
        found += [_reach(KNOWN[card], line, *point) for card in CARDS.values()]
        if progress:
            progress(number, len(points))
    return found


def _line(base: TrialConfig, tracer: Tracer, size: str, placement: str, side: int) -> Line:
    asked = list(_asked(base, tracer, size, placement, side))
    (first, engine), (second, _) = asked
    return Line(
        frames=(FRAMES[0], FRAMES[1]),
        needed=(needed_bytes(first, engine), needed_bytes(second, engine)),
        host=(first.host_bytes, second.host_bytes),
    )


def _asked(
    base: TrialConfig, tracer: Tracer, size: str, placement: str, side: int
) -> Iterator[tuple[Prediction, EngineConfig]]:
    for frames in FRAMES[:2]:
        config = with_values(
            base,
            {
                "model.backbone": BACKBONES[size],
                "model.adapter.placement": placement,
                "data.window.frames": frames,
                "data.window.span": FRAMES[-1] if base.data.window.span else 0,
                "data.window.resolution": side,
            },
        )
        engine = ladder(config)[LEAN]
        yield tracer.ask(replace(config, engine=engine)), engine


def _reach(card: Device, line: Line, size: str, placement: str, side: int) -> Reach:
    fitting = [frames for frames in FRAMES if line.at(line.needed, frames) <= card.usable_bytes]
    frames = max(fitting) if fitting else None
    return Reach(
        card=card.name,
        backbone=size,
        placement=placement,
        resolution=side,
        frames=frames,
        needed_bytes=line.at(line.needed, frames) if frames else None,
        host_bytes=line.at(line.host, frames) if frames else None,
    )
