"""AdaTAD dagger streamed: adapters beside a frozen vision transformer, a few clips at a time (design.md 6.2, 6.3).

    forward    clips -> blocks; of an adapted block's output only the mean of GELU(Down(x)) over space stays, a (T, H)
               series, and what the policy keeps for the backward pass: the output itself (device or host) or nothing
               series -> mixed over time, Up, summed: plain autograd, from here to the loss
    backward   the gradient of every series is known; clips again: the kept outputs, or those of a second forward pass,
               -> Down's gradient, summed

Exact, because everything after the GELU treats positions alike and is linear, and the blocks treat clips alike and
alone. Adapters for which the former does not hold take the general route: layer by layer over the whole window, each
adapter's input kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.adapters import PlainAdapter, Rung, TokenGrid
from models.adapters.ladder import AdapterLadder
from models.backbones.videomae import Block, ClipTransformer
from models.config import EngineConfig
from models.engine.chain import Normalise
from models.engine.clips import Clips, spans
from models.engine.kept import Kept
from models.engine.numbers import Numbers
from models.engine.recompute import recomputing
from models.engine.stored import Stored
from models.precision import at_least_float32


def beside(
    backbone: ClipTransformer, ladder: AdapterLadder, normalise: Normalise, clips: Clips, engine: EngineConfig
) -> Float[Tensor, "video channel time"]:
    """Return the backbone's output averaged over space, with the adapters' changes added.

    Args:
        backbone: a frozen vision transformer.
        ladder: its adapters.
        normalise: makes float pixels of bytes.
        clips: the windows.
        engine: what is kept, where, and how many clips are computed at once.
    """
    walk = Walk(backbone, ladder, normalise, clips, engine)
    if not walk.pools_early:
        return walk.layer_by_layer()
    if torch.is_grad_enabled():
        anchor = next(iter(walk.adapters.values())).down_proj.weight
        last, *means = _Differentiated.apply(walk, anchor)  # type: ignore[misc]
    else:
        last, *means = walk.forward(keep=False)
    changes = [
        adapter.change_of_means(values, walk.grid)
        for adapter, values in zip(walk.adapters.values(), means, strict=True)
    ]
    return rearrange(walk.over_time(last) + sum(changes), "b t c -> b c t")


class _Differentiated(torch.autograd.Function):
    """Leaves the parameters' gradients to `Walk.backward`; the anchor only tells autograd that there are any."""

    @staticmethod
    def forward(ctx: Any, walk: "Walk", anchor: Tensor) -> tuple[Tensor, ...]:
        ctx.walk = walk
        last, *means = walk.forward(keep=True)
        ctx.mark_non_differentiable(last)
        return last, *means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.walk.backward(gradients[1:])
        return None, None


class Walk:
    """One pass of a batch of windows through a frozen backbone with adapters beside it."""

    def __init__(
        self,
        backbone: ClipTransformer,
        ladder: AdapterLadder,
        normalise: Normalise,
        clips: Clips,
        engine: EngineConfig,
    ) -> None:
        """Set out; see `beside`."""
        self._backbone, self._normalise, self._clips, self._engine = backbone, normalise, clips, engine
        self.adapters: dict[int, PlainAdapter] = {int(name): a for name, a in ladder.adapters.items()}  # type: ignore[misc]
        self._numbers = Numbers.now(clips.device)
        self._kept = Kept(engine.keep_on, clips.device) if engine.keep == "blocks" else None
        self._stored = Stored(engine.residual)
        self.grid = TokenGrid(num_clips=clips.per_video, time=1, height=1, width=1)

    @property
    def pools_early(self) -> bool:
        """Whether the mean over space may be taken right after the GELU."""
        return all(isinstance(a, PlainAdapter) and a.mixes_positions_alike for a in self.adapters.values())

    def forward(self, *, keep: bool) -> list[Float[Tensor, "clip tubelet _"]]:
        """Return the mean of the last block's output over space, then that of every adapter's hidden channels."""
        found: list[list[Tensor]] = []
        for span in spans(len(self._clips), self._engine.clips):
            means: list[Tensor] = []
            for index, tokens in self._outputs(span):
                if index in self.adapters:
                    means.append(self._means(index, tokens, keep=keep))
                if index == len(self._backbone.blocks) - 1:
                    means.insert(0, self._mean(tokens))
            found.append(means)
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def backward(self, gradients: Sequence[Tensor]) -> None:
        """Add to the gradients of the layers that see tokens, given those of the series.

        Raises:
            RuntimeError: it was called before: what was kept is used up.
        """
        if self._kept is not None and not self._kept:
            raise RuntimeError("a second backward pass through a backbone whose kept outputs are used up")
        flows = dict(zip(self.adapters, gradients, strict=True))
        for span in reversed(spans(len(self._clips), self._engine.clips)):
            for index, tokens in self._outputs(span) if self._kept is None else self._kept_outputs(self._kept):
                if index in self.adapters:
                    self._differentiate(self.adapters[index], tokens, flows[index][span])

    def layer_by_layer(self) -> Float[Tensor, "video channel time"]:
        """Return the output by the general route: every adapter is shown a whole window."""
        run = recomputing(self._engine.keep_on)
        training, changes = torch.is_grad_enabled(), []
        parts = spans(len(self._clips), self._engine.clips)
        with torch.no_grad(), self._numbers.context():
            stream = torch.cat([self._embed(span) for span in parts])
            for index, block in enumerate(self._backbone.blocks):
                assert isinstance(block, Block)
                stream = torch.cat([self._stored(block.transform(at_least_float32(stream[span]))) for span in parts])
                if index in self.adapters:
                    rung = Rung(self.adapters[index])
                    with torch.set_grad_enabled(training):
                        changes.append(run(rung, self._as_computed(stream), self.grid))
            last = self.over_time(self._mean(stream))
        return rearrange(last + sum(changes), "b t c -> b c t")

    def over_time(self, series: Float[Tensor, "clip tubelet channel"]) -> Float[Tensor, "video time channel"]:
        """Return a series per video."""
        return rearrange(series, "(b n) t c -> b (n t) c", n=self._clips.per_video)

    def _embed(self, span: slice) -> Tensor:
        tokens, self.grid = self._backbone.embed(self._normalise(self._clips.read(span)), self._clips.per_video)
        return self._stored(tokens)

    @torch.no_grad()
    def _outputs(self, span: slice) -> Iterator[tuple[int, Tensor]]:
        """Yield the output of every block for some clips."""
        with self._numbers.context():
            tokens = self._embed(span)
        for index, block in enumerate(self._backbone.blocks):
            assert isinstance(block, Block)
            with self._numbers.context():
                tokens = self._stored(block.transform(at_least_float32(tokens)))
            yield index, tokens

    def _kept_outputs(self, kept: Kept) -> Iterator[tuple[int, Tensor]]:
        """Yield the kept outputs of some clips, last first."""
        for index in reversed(self.adapters):
            tokens = kept.take()
            kept.fetch()
            yield index, tokens

    def _means(self, index: int, tokens: Tensor, *, keep: bool) -> Tensor:
        tokens = self._as_computed(tokens)
        if keep and self._kept is not None:
            self._kept.put(tokens)
        with self._numbers.context():
            return self.adapters[index].hidden_means(tokens, self.grid)

    def _as_computed(self, tokens: Tensor) -> Tensor:
        """Return tokens in the format to which an adapter's first matrix product would bring them anyway."""
        return tokens.to(self._numbers.compute_dtype or tokens.dtype)

    def _mean(self, tokens: Tensor) -> Float[Tensor, "clip tubelet channel"]:
        return at_least_float32(tokens).unflatten(1, (self.grid.time, -1)).mean(dim=2)

    def _differentiate(self, adapter: PlainAdapter, tokens: Tensor, flow: Tensor) -> None:
        with torch.enable_grad(), self._numbers.context():
            means = adapter.hidden_means(self._as_computed(tokens), self.grid)
        torch.autograd.backward(means, flow.to(means.dtype))
