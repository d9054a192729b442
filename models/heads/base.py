"""What a detector needs of a head, whatever it is made of."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


@dataclass(frozen=True)
class RawDetections:
    """Scored segments of every candidate, before any selection; float32."""

    segments: Float[Tensor, "b candidate 2"] | Float[Tensor, "b candidate label 2"]
    """In feature-grid units; one per candidate, or one per candidate and class. May reach beyond the window."""
    scores: Float[Tensor, "b candidate label"]
    """Independent probabilities."""
    valid: Bool[Tensor, "b candidate"]
    """False where the candidate lies in padding."""


class Head(nn.Module):
    """A feature sequence in, losses or detections out.

    Both methods take one vector per feature cell and a mask of the cells that lie inside the video. Shapes must not
    depend on values (no boolean indexing, no `.item()`): the memory predictor runs heads on tensors without data.
    Everything that decides a loss or a score is computed in float32, so that autocast is safe.
    """

    def loss(
        self,
        features: Float[Tensor, "b c t"],
        mask: Bool[Tensor, "b t"],
        segments: Float[Tensor, "b action 2"],
        labels: Int64[Tensor, "b action"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return `loss` (the sum to minimise), its detached parts by name, and `positives`.

        Args:
            features: one vector per feature cell.
            mask: which cells are inside the video.
            segments: actions in feature-grid units.
            labels: their classes; -1 marks padding.
        """
        raise NotImplementedError

    def detect(self, features: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]) -> RawDetections:
        """Return a scored segment for every candidate."""
        raise NotImplementedError
