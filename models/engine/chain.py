"""A vision transformer executed piece by piece, part by part, and differentiated by hand.

    forward    prefix (embedding and what comes before the first trained piece), a few clips at a time, keeping nothing
               segments of `every` steps: before each the residual stream is kept (device or host)
               step: adapter of the block before, attention and MLP of the next
               mean over space
    backward   for the last segment first: the inputs of its steps again; then for the last step first the stream
               between its two pieces; then for its last piece first, part by part: recompute with gradients,
               differentiate, overwrite that part of the stream's gradient

One autograd function for the whole backbone, because then the order is known (what to fetch next) and the gradient of
the stream is one buffer written over and over. Whatever is random is drawn once, for all clips of a piece, in the order
in which a plain execution would draw it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.adapters import TokenGrid
from models.backbones.videomae import ClipTransformer
from models.config import EngineConfig
from models.engine.clips import Clips, spans
from models.engine.kept import Kept
from models.engine.numbers import Numbers
from models.engine.pieces import Part, Piece, Stream, mean_over_space, pieces_of, steps_of
from models.engine.stored import Stored
from models.precision import at_least_float32

Normalise = Callable[[Tensor], Tensor]


def chained(
    backbone: ClipTransformer, normalise: Normalise, clips: Clips, engine: EngineConfig
) -> Float[Tensor, "clip tubelet channel"]:
    """Return the backbone's output averaged over space for every clip.

    Args:
        backbone: a vision transformer, with or without adapters inside.
        normalise: makes float pixels of bytes.
        clips: the windows.
        engine: what is kept, where, and how much is computed at once.
    """
    chain = Chain(backbone, normalise, clips, engine)
    anchor = next((p for p in backbone.parameters() if p.requires_grad), None)
    if anchor is not None and torch.is_grad_enabled():
        result = _Differentiated.apply(chain, anchor)
        assert isinstance(result, Tensor)
        return result
    with torch.no_grad():
        return chain.forward(keep=False)


class _Differentiated(torch.autograd.Function):
    """Leaves the parameters' gradients to `Chain.backward`; the anchor only tells autograd that there are any."""

    @staticmethod
    def forward(ctx: Any, chain: "Chain", anchor: Tensor) -> Tensor:
        ctx.chain = chain
        return chain.forward(keep=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.chain.backward(gradient)
        return None, None


@dataclass
class Step:
    """Pieces whose inputs are there at the same time when they are differentiated, and what they drew."""

    pieces: list[Piece]
    factors: list[Tensor | None]


class Chain:
    """One pass of a batch of windows through a backbone."""

    def __init__(self, backbone: ClipTransformer, normalise: Normalise, clips: Clips, engine: EngineConfig) -> None:
        """Cut the backbone into what is streamed and what is recomputed from kept streams."""
        self._backbone, self._normalise, self._clips, self._engine = backbone, normalise, clips, engine
        self._trains_embedding = any(p.requires_grad for p in backbone.patch_embed.parameters())
        pieces = pieces_of(backbone, engine)
        first = next((number for number, piece in enumerate(pieces) if piece.parameters), len(pieces))
        first = 0 if self._trains_embedding else first
        self._prefix, rest = pieces[:first], pieces[first:]
        steps = [Step(group, []) for group in steps_of(rest)] if rest else []
        self._segments = [steps[start : start + engine.every] for start in range(0, len(steps), engine.every)]
        self._kept = Kept(engine.keep_on, clips.device)
        self._numbers = Numbers.now(clips.device)
        self._grid = TokenGrid(num_clips=clips.per_video, time=1, height=1, width=1)
        self._prefix_drawn: list[Tensor | None] | None = None

    def forward(self, *, keep: bool) -> Float[Tensor, "clip tubelet channel"]:
        """Compute the output; `keep` whatever `backward` needs."""
        with self._numbers.context():
            if not self._segments:
                parts = spans(len(self._clips), self._engine.clips)
                return torch.cat([mean_over_space(self._prefix_part(span)) for span in parts])
            stream = self._prefixed()
            for segment in self._segments:
                if keep:
                    self._kept.put(stream)
                for number, step in enumerate(segment):
                    step.factors = [self._drawn(piece, stream) for piece in step.pieces]
                    stream = self._run_step(step, stream, overwrite=not keep or number > 0)
            return mean_over_space(stream)

    def backward(self, gradient: Float[Tensor, "clip tubelet channel"]) -> None:
        """Add to the gradient of every trained parameter, given that of the output.

        Raises:
            RuntimeError: it was called before: what was kept is used up.
        """
        if not self._segments:
            raise RuntimeError("a second backward pass through a backbone whose kept streams are used up")
        positions = self._grid.height * self._grid.width
        # Every position has the same share in the mean: no copies, until the first piece writes its own.
        flow: Stream = (gradient / positions)[:, :, None].expand(-1, -1, positions, -1)
        while self._segments:
            segment = self._segments.pop()
            streams = self._inputs_of_steps(segment)
            self._kept.fetch()
            for step in reversed(segment):
                first = not self._segments and len(streams) == 1 and not self._trains_embedding
                flow = self._differentiate_step(step, streams.pop(), flow, first=first)
        if self._trains_embedding:
            self._differentiate_embedding(flow)

    def _prefixed(self) -> Stream:
        """Return the stream before the first trained piece."""
        parts = spans(len(self._clips), self._engine.clips)
        if len(parts) == 1:
            return self._prefix_part(parts[0])
        whole: Stream | None = None
        for span in parts:
            part = self._prefix_part(span)
            if whole is None:
                whole = part.new_empty((len(self._clips), *part.shape[1:]))
            whole[span] = part
        assert whole is not None
        return whole

    def _prefix_part(self, span: slice) -> Stream:
        stream = self._embed(span)
        for piece, factors in zip(self._prefix, self._prefix_factors(stream), strict=True):
            part = Part("clips", span, self._grid)
            tokens = at_least_float32(stream.flatten(1, 2))
            stream = self._stored(piece.compute(tokens, self._grid, part.factors(factors)))
        return stream

    def _prefix_factors(self, like: Stream) -> list[Tensor | None]:
        if self._prefix_drawn is None:
            self._prefix_drawn = [self._drawn(piece, like) for piece in self._prefix]
        return self._prefix_drawn

    def _drawn(self, piece: Piece, like: Stream) -> Tensor | None:
        return piece.draw(at_least_float32(like[:0]).new_empty((len(self._clips), 1, 1)))

    def _embed(self, span: slice) -> Stream:
        tokens, grid = self._backbone.embed(self._normalise(self._clips.read(span)), self._clips.per_video)
        self._grid = grid
        return self._stored(tokens)

    def _stored(self, tokens: Float[Tensor, "clip token channel"]) -> Stream:
        return Stored(self._engine.residual)(tokens).unflatten(1, (self._grid.time, -1))

    def _run(self, piece: Piece, stream: Stream, factors: Tensor | None, *, overwrite: bool) -> Stream:
        parts = list(piece.parts(self._grid, len(self._clips)))
        whole = stream if overwrite else None
        for part in parts:
            tokens = at_least_float32(part.tokens(stream))
            result = self._stored(piece.compute(tokens, part.grid, part.factors(factors)))
            if len(parts) == 1:
                return result
            whole = torch.empty_like(stream) if whole is None else whole
            part.of(whole).copy_(result)
        assert whole is not None
        return whole

    def _run_step(self, step: Step, stream: Stream, *, overwrite: bool) -> Stream:
        for index, (piece, factors) in enumerate(zip(step.pieces, step.factors, strict=True)):
            stream = self._run(piece, stream, factors, overwrite=overwrite or index > 0)
        return stream

    def _inputs_of_steps(self, segment: list[Step]) -> list[Stream]:
        """Return the input of every step of a segment."""
        streams = [self._kept.take()]
        with self._numbers.context():
            for step in segment[:-1]:
                streams.append(self._run_step(step, streams[-1], overwrite=False))
        return streams

    def _differentiate_step(self, step: Step, stream: Stream, flow: Stream, *, first: bool) -> Stream:
        streams = [stream]
        del stream
        with self._numbers.context():
            for piece, factors in zip(step.pieces[:-1], step.factors, strict=False):
                streams.append(self._run(piece, streams[-1], factors, overwrite=False))
        for index, piece in reversed(list(enumerate(step.pieces))):
            last = first and index == 0
            flow = self._differentiate(piece, streams.pop(), flow, step.factors[index], first=last)
        return flow

    def _differentiate(
        self, piece: Piece, stream: Stream, flow: Stream, factors: Tensor | None, *, first: bool
    ) -> Stream:
        """Add to the parameters' gradients and return the stream's, which overwrites that of the piece's output.

        `first` says that nobody needs the stream's.
        """
        parts = list(piece.parts(self._grid, len(self._clips)))
        whole = flow if flow.is_contiguous() else None
        for part in parts:
            leaf = at_least_float32(part.tokens(stream)).detach().requires_grad_(not first)
            with torch.enable_grad(), self._numbers.context():
                result = piece.compute(leaf, part.grid, part.factors(factors))
            torch.autograd.backward(result, part.tokens(flow).to(result.dtype))
            del result
            if leaf.grad is None:
                continue
            own = leaf.grad.unflatten(1, (self._grid.time, -1)).to(stream.dtype)
            if len(parts) == 1:
                return own
            whole = torch.empty_like(stream) if whole is None else whole
            part.of(whole).copy_(own)
        return flow if whole is None else whole

    def _differentiate_embedding(self, flow: Stream) -> None:
        for span in spans(len(self._clips), self._engine.clips):
            with torch.enable_grad(), self._numbers.context():
                result = self._embed(span)
            torch.autograd.backward(result, flow[span].to(result.dtype))
