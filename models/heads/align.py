"""SGAlign of G-TAD (Xu et al. 2020, section 3.3): the features of every proposal of a map, without holding them.

The proposal of duration d and start s is [s, s + d]. Align1D looks at it with half its length on either side, cuts
that into equal bins, and takes for every bin the mean of ceil(2 d / bins) samples at the middles of as many equal
parts, linearly interpolated between cells. A 1x1 convolution then mixes all bins and channels of a proposal.

    published:  cells --Align1D--> (bin x channel) per proposal --1x1--> map
    here:       cells --1x1 per bin--> a table of (bin, time) rows --Align1D--> map

Both steps are linear, and what Align1D does to a bin is the same for every channel, so their order does not matter.
At 256 cells, 64 durations, 16 + 16 bins, 256 channels in and 512 out, float32, the published order holds 537 MB of
proposals' features per window (and twice as much of each part in float64 while it makes them) for a map of 34 MB.
This order holds a table of 8 MB instead, or two of them where the bins differ. What Align1D reads is a constant of
the shapes: 1.2 million weights and indices, 19 MB for both directions, once per model.
"""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import at_least_float32

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row, column and value of a sparse matrix's entries."""


def sampling_matrix(length: int, longest: int, bins: int) -> Entries:
    """Return what Align1D multiplies a bin's cell by to get a proposal.

    Rows are proposals (duration - 1) x length + start; columns are bin x length + cell. Every pair occurs once at
    most. A proposal that ends after the window has what the published code gives it: the bins of [0, 1].
    """
    parts = [_samples(length, duration, bins) for duration in range(1, longest + 1)]
    rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    pairs, inverse = np.unique(rows * bins * length + columns, return_inverse=True)
    return *np.divmod(pairs, bins * length), np.bincount(inverse, values)


def _samples(length: int, duration: int, bins: int) -> Entries:
    """Return the entries of the proposals of one duration; a pair may occur often."""
    start = np.arange(length)
    inside = start + duration <= length
    first = np.where(inside, start - duration / 2, 0.0)[:, None, None]
    bin_width = np.where(inside, 2 * duration, 1)[:, None, None] / bins
    count = np.ceil(bin_width)
    number, sample = np.arange(bins)[None, :, None], np.arange(count.max())
    # Written as the CUDA kernel has it, so that the edges -1 and `length` fall on the same side.
    time = first + number * bin_width + (sample + 0.5) * bin_width / count
    weight = ((sample < count) & (time >= -1) & (time <= length)) / count
    time = time.clip(0, length - 1)
    low = np.floor(time).astype(np.int64)
    row, column = np.broadcast_arrays(((duration - 1) * length + start)[:, None, None], number * length + low)
    beside = np.minimum(low + 1, length - 1) - low
    values = np.stack((weight * (1 - (time - low)), weight * (time - low)))
    kept = values > 0
    return np.stack((row, row))[kept], np.stack((column, column + beside))[kept], values[kept]


class Align1D(nn.Module):
    """The product with the sampling matrix, and in the backward pass with its transpose."""

    def __init__(self, length: int, longest: int, bins: int) -> None:
        """Compute the matrix and its transpose, both by rows."""
        super().__init__()
        row, column, value = sampling_matrix(length, longest, bins)
        self._keep("", row, column, value, longest * length)
        order = np.argsort(column, kind="stable")
        self._keep("transposed_", column[order], row[order], value[order], bins * length)

    def forward(self, table: Float[Tensor, "row c"]) -> Float[Tensor, "proposal c"]:
        """Return every proposal's sum, in float32 or better; rows of the table are bin x length + cell."""
        return _SparseProduct.apply(at_least_float32(table), self._rows(""), self._rows("transposed_"))

    def _keep(self, prefix: str, row: np.ndarray, column: np.ndarray, value: np.ndarray, num_rows: int) -> None:
        ends = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=num_rows))))
        self.register_buffer(f"{prefix}columns", torch.tensor(column.astype(np.int32)), persistent=False)
        self.register_buffer(f"{prefix}ends", torch.tensor(ends.astype(np.int32)), persistent=False)
        self.register_buffer(f"{prefix}values", torch.tensor(value.astype(np.float32)), persistent=False)

    def _rows(self, prefix: str) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(self.get_buffer(prefix + name) for name in ("columns", "ends", "values"))  # type: ignore[return-value]


class _SparseProduct(torch.autograd.Function):
    """A constant sparse matrix times a table. Torch's own backward would sort the indices in every step."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: tuple[Tensor, ...], transposed: tuple[Tensor, ...]) -> Tensor:
        ctx.transposed = transposed
        return _sum_rows(table, *rows)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _sum_rows(grad_outputs[0], *ctx.transposed), None, None


def _sum_rows(
    table: Float[Tensor, "row c"],
    columns: Int32[Tensor, " entry"],
    ends: Int32[Tensor, " boundary"],
    values: Float[Tensor, " entry"],
) -> Float[Tensor, "out c"]:
    return F.embedding_bag(
        columns, table, ends, mode="sum", per_sample_weights=values.to(table.dtype), include_last_offset=True
    )


class ProposalFeatures(nn.Module):
    """Align1D of cells and of their graph context, and the 1x1 convolution and ReLU that mix them."""

    def __init__(
        self, channels: int, out_channels: int, *, length: int, longest: int, roi_bins: int, context_bins: int
    ) -> None:
        """Build the convolution; its inputs are channel x (roi_bins + context_bins) + bin, as published."""
        super().__init__()
        self.roi_bins = roi_bins
        self.mix = nn.Conv2d(channels * (roi_bins + context_bins), out_channels, 1)
        self.longest = longest
        self.align = Align1D(length, longest, roi_bins)
        # Equally many bins are cut equally, so one product serves the sum of both tables.
        self.align_context = None if roi_bins == context_bins else Align1D(length, longest, context_bins)

    def forward(
        self, cells: Float[Tensor, "b c t"], context: Float[Tensor, "b c t"]
    ) -> Float[Tensor, "b o duration t"]:
        """Return the activated map."""
        per_bin = rearrange(self.mix.weight, "o (c bin) 1 1 -> bin c o", c=cells.shape[1])
        inner, outer = _table(cells, per_bin[: self.roi_bins]), _table(context, per_bin[self.roi_bins :])
        if self.align_context is None:
            proposals = self.align(at_least_float32(inner) + outer)
        else:
            proposals = self.align(inner) + self.align_context(outer)
        out = rearrange(proposals, "(duration t) (b o) -> b o duration t", duration=self.longest, b=len(cells))
        assert self.mix.bias is not None
        # Under autocast the map is kept as the convolution would have made it: in half precision.
        return F.relu((out + self.mix.bias[:, None, None]).to(inner.dtype))


def _table(cells: Float[Tensor, "b c t"], weight: Float[Tensor, "bin c o"]) -> Float[Tensor, "row column"]:
    products = rearrange(cells, "b c t -> (t b) c") @ weight
    return rearrange(products, "bin (t b) o -> (bin t) (b o)", b=len(cells))
