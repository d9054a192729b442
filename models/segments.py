"""Segment algebra on tensors whose last axis is (start, end); everything broadcasts over the other axes.

Two equally long lists are compared element by element; `iou(a[:, None], b)` compares every pair.
"""

from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-7
"""Lower bound of denominators, so that empty segments give numbers; the value of OpenTAD's DIoU loss."""


def centre_width(segments: Float[Tensor, "*shape 2"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Return the middle and the length of each segment."""
    start, end = segments.unbind(-1)
    return (start + end) / 2, end - start


def intersection_union(
    first: Float[Tensor, "*first 2"], second: Float[Tensor, "*second 2"]
) -> tuple[Float[Tensor, "*both"], Float[Tensor, "*both"]]:
    """Return the lengths of the common part and of the union (what lies between two disjoint segments excluded)."""
    shared = (first[..., 1].minimum(second[..., 1]) - first[..., 0].maximum(second[..., 0])).clamp(min=0)
    return shared, centre_width(first)[1] + centre_width(second)[1] - shared


def iou(first: Float[Tensor, "*first 2"], second: Float[Tensor, "*second 2"]) -> Float[Tensor, "*both"]:
    """Return intersection over union, in [0, 1]; two empty segments give 0."""
    shared, union = intersection_union(first, second)
    return shared / union.clamp(min=SMALLEST)


def diou(first: Float[Tensor, "*first 2"], second: Float[Tensor, "*second 2"]) -> Float[Tensor, "*both"]:
    """Return the distance IoU, in (-1, 1]: IoU less the squared distance of centres over the squared hull.

    Zheng et al. 2020, in one dimension. Its gradient pulls segments together that do not overlap yet.
    """
    hull = first[..., 1].maximum(second[..., 1]) - first[..., 0].minimum(second[..., 0])
    distance = centre_width(first)[0] - centre_width(second)[0]
    return iou(first, second) - distance.square() / hull.square().clamp(min=SMALLEST)
