"""What a detector needs of a backbone, whatever it is made of."""

from jaxtyping import Float
from torch import Tensor, nn

from models.adapters.grid import Run, Tap, run_plainly


class Backbone(nn.Module):
    """Pixels of a window in, feature maps out; adapters, where the config wants them inside, end its blocks.

    A subclass takes `(config, adapter: AdapterConfig | None)`, names its parameters as the authors' checkpoints do
    where that is possible, and holds an adapter as attribute `adapter` of the block that it ends.
    """

    layer_channels: tuple[int, ...]
    """Channels of the output of every block that can carry an adapter, in the order in which they run."""

    def forward(
        self, pixels: Float[Tensor, "video 3 frame height width"], run: Run = run_plainly, tap: Tap | None = None
    ) -> list[Float[Tensor, "video _ _ _ _"]]:
        """Return one map (video, channel, time, row, column) per pathway; the one with the adapted blocks comes first.

        Args:
            pixels: normalised windows.
            run: how a block is executed.
            tap: is shown the output of every block that can carry an adapter, as it comes.
        """
        raise NotImplementedError
