"""A vision transformer cut into steps that need to see only a part of a window at once.

    embed | transform 0 | adapt 0 | transform 1 | adapt 1 | ... | mean over space

Attention and MLP (`transform`) treat every 16-frame clip alone, an adapter inside the backbone every spatial position
(over the whole window's time). So each step can run part by part, in the forward pass and when it is recomputed, and
nothing wider than the residual stream ever exists for a whole window.

The stream is kept as (clip, tubelet, position, channel), from which clips and positions are cut without copying.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.adapters import Adapter, TokenGrid
from models.backbones.videomae import Block, ClipTransformer
from models.config import EngineConfig
from models.engine.clips import spans

Stream = Float[Tensor, "clip tubelet position channel"]
Compute = Callable[[Tensor, TokenGrid, Tensor | None], Tensor]
"""Tokens (clip, token, channel), their layout and the factors of dropped branches; returns tokens."""


@dataclass(frozen=True)
class Part:
    """What a piece sees at once."""

    along: Literal["clips", "positions"]
    span: slice
    grid: TokenGrid
    """The layout of the part's tokens."""

    def of(self, stream: Stream) -> Tensor:
        """Return the part of a stream, sharing its memory."""
        return stream[self.span] if self.along == "clips" else stream[:, :, self.span]

    def tokens(self, stream: Stream) -> Float[Tensor, "clip token channel"]:
        """Return the part as token sequences."""
        return self.of(stream).flatten(1, 2)

    def factors(self, factors: Tensor | None) -> Tensor | None:
        """Return what belongs to the part's clips of the factors of dropped branches."""
        return factors if factors is None or self.along == "positions" else factors[:, self.span]


@dataclass(frozen=True)
class Piece:
    """A step from residual stream to residual stream."""

    compute: Compute
    parameters: tuple[nn.Parameter, ...]
    """Those that train."""
    along: Literal["clips", "positions"]
    at_once: int
    """So many clips or positions; 0: all."""
    draw: Callable[[Tensor], Tensor | None]
    """Draws the factors of dropped branches for a whole window."""

    def parts(self, grid: TokenGrid, clips: int) -> Iterator[Part]:
        """Return what the piece takes one after the other of a window's `clips` clips."""
        if self.along == "clips":
            for span in spans(clips, self.at_once):
                yield Part("clips", span, grid)
            return
        for span in spans(grid.height * grid.width, self.at_once):
            whole = span.stop - span.start == grid.height * grid.width
            yield Part("positions", span, grid if whole else replace(grid, height=1, width=span.stop - span.start))


def transform_pieces(block: Block, engine: EngineConfig) -> Piece:
    """Return a block's attention and MLP."""

    def compute(tokens: Tensor, grid: TokenGrid, factors: Tensor | None) -> Tensor:
        return block.transform(tokens, factors)

    adapter = set() if block.adapter is None else set(block.adapter.parameters())
    own = tuple(p for p in block.parameters() if p.requires_grad and p not in adapter)
    return Piece(compute, own, "clips", engine.clips, block.drop_path.draw)


def adapter_piece(adapter: Adapter, engine: EngineConfig) -> Piece:
    """Return an adapter that ends a block."""

    def compute(tokens: Tensor, grid: TokenGrid, factors: Tensor | None) -> Tensor:
        return adapter(tokens, grid)

    own = tuple(p for p in adapter.parameters() if p.requires_grad)
    return Piece(compute, own, "positions", engine.positions, lambda tokens: None)


def pieces_of(backbone: ClipTransformer, engine: EngineConfig) -> list[Piece]:
    """Return what comes after the embedding, in order."""
    pieces = []
    for block in backbone.blocks:
        assert isinstance(block, Block)
        pieces.append(transform_pieces(block, engine))
        if block.adapter is not None:
            pieces.append(adapter_piece(block.adapter, engine))
    return pieces


def steps_of(pieces: list[Piece]) -> list[list[Piece]]:
    """Group pieces into steps of one attention and MLP each, with the adapter of the block before.

    An adapter comes first, because it is cheap to compute twice and its whole window is needed before anything else can
    start: what is kept is its input, and its output is there only while the next block needs it.
    """
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        if any(each.along == "clips" for each in groups[-1]):
            groups.append([])
        groups[-1].append(piece)
    return groups


def mean_over_space(stream: Tensor) -> Float[Tensor, "clip tubelet channel"]:
    """Return the mean over positions in float32 or better."""
    return stream.mean(dim=2, dtype=torch.float64 if stream.dtype == torch.float64 else torch.float32)
