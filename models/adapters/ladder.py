"""AdaTAD dagger: adapters beside a frozen backbone (AdaTAD section 3.4; adatad-facts 1.2).

    y = mean(f_N) + sum over the adapted blocks of mean(change_i(f_i)),  means over space

The published form adds the changes to the last block's output and averages the sum over space; that mean is all the
detector sees, so it is taken first (`Adapter.pooled_change`). It also gives the form a meaning for backbones whose
blocks differ in resolution and width: Up leads to the width of the last one.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.adapters.base import Rung
from models.adapters.build import build_adapter
from models.adapters.grid import Run, TokenGrid, run_plainly
from models.backbones.base import Backbone
from models.config import AdapterConfig
from models.representation import pool_space


class AdapterLadder(nn.Module):
    """One adapter per adapted block; none is shared."""

    def __init__(self, backbone: Backbone, config: AdapterConfig) -> None:
        """Build the rungs for a backbone's blocks."""
        super().__init__()
        widths = backbone.layer_channels
        self.adapters = nn.ModuleDict(
            {
                str(index): build_adapter(widths[index], config, out_channels=widths[-1])
                for index in config.adapted(len(widths))
            }
        )

    def forward(
        self, backbone: Backbone, pixels: Float[Tensor, "video 3 frame height width"], run: Run = run_plainly
    ) -> list[Float[Tensor, "video channel time"]]:
        """Return the backbone's pooled pathways, the adapted one first.

        Nothing of the backbone is kept for the backward pass but the adapters' inputs.
        """
        changes: list[Tensor] = []
        training = torch.is_grad_enabled()

        def tap(index: int, tokens: Tensor, grid: TokenGrid) -> None:
            if str(index) in self.adapters:
                rung = Rung(self.adapters[str(index)])  # type: ignore[arg-type]
                with torch.set_grad_enabled(training):
                    changes.append(run(rung, tokens, grid))

        with torch.no_grad():
            maps = backbone(pixels, tap=tap)
        first, *others = pool_space(maps)
        return [first + sum(changes).transpose(1, 2), *others]  # type: ignore[union-attr]
