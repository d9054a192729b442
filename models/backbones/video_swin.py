"""Video Swin (Liu et al. 2022): attention within shifted windows over native time, in stages that halve space.

    (b, 3, F, H, W) -> patches of 2x4x4, norm (b, F/2, H/4, W/4, C)
    -> stage: [block, block with shifted windows, ...] -> merging (h/2, w/2, 2C) -> stage ... -> norm
    block    x + Attention(Norm(x)), x + MLP(Norm(x)), adapter

Built of torchvision's pieces, under torchvision's names. Where the public codes agree on something that is not
obvious, so do we:

- The final norm is part of the feature map: torchvision and the authors' code have it at the end of the backbone, and
  mmaction2's backbone, which OpenTAD's Swin baseline pools over space, normalises every map it returns. Adapters
  beside the backbone (dagger) therefore add to normalised features.
- What is missing to whole patches, pairs and windows is filled up with zeros; those of a window attend and are
  attended to.
- An axis no longer than the window is one window and is not shifted. Relative positions of a window narrowed in space
  (the last stage below 224 pixels) are then looked up in the upper left corner of the full window's index, which is
  right only where time alone is narrowed.
"""

import math
from collections.abc import Iterator

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torchvision.models.video.swin_transformer import PatchEmbed3d, ShiftedWindowAttention3d

from models.adapters import Run, Tap, TokenGrid, build_adapter, run_plainly
from models.backbones.base import Backbone
from models.config import AdapterConfig, VideoSwinConfig

INIT_STD = 0.02
"""Spread of new weights. Published as a truncated normal, but cut at 100 standard deviations: a normal, which, unlike
the truncated one, can also be drawn as fake tensors."""


def init_linear_layers(module: nn.Module) -> None:
    """Draw the linear layers' weights as the public codes do."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=INIT_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class WindowAttention(ShiftedWindowAttention3d):
    """Torchvision's attention within shifted windows, with a position bias per head and offset of two tokens."""

    def define_relative_position_bias_table(self) -> None:
        """Make the bias table."""
        offsets = math.prod(2 * side - 1 for side in self.window_size)
        self.relative_position_bias_table = nn.Parameter(torch.empty(offsets, self.num_heads))
        nn.init.normal_(self.relative_position_bias_table, std=INIT_STD)

    def define_relative_position_index(self) -> None:
        """Make the table's index, which is no part of the state: a constant that no file should be able to change."""
        super().define_relative_position_index()
        index = self.get_buffer("relative_position_index")
        self.register_buffer("relative_position_index", index, persistent=False)


class Block(SwinTransformerBlock):
    """Torchvision's pre-norm block on 3-D windows; an adapter, where there is one, is its last step."""

    def __init__(
        self,
        channels: int,
        heads: int,
        config: VideoSwinConfig,
        *,
        shifted: bool,
        drop_path: float,
        adapter: AdapterConfig | None,
    ) -> None:
        """Build the block; `drop_path` is the chance that a video of the batch skips a branch while training."""
        super().__init__(
            channels,
            heads,
            list(config.window),
            [side // 2 if shifted else 0 for side in config.window],
            mlp_ratio=config.mlp_ratio,
            stochastic_depth_prob=drop_path,
            attn_layer=WindowAttention,
        )
        init_linear_layers(self)
        self.adapter = build_adapter(channels, adapter) if adapter else None

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (a block here is told its grid)
        self, x: Float[Tensor, "video time row column channel"], grid: TokenGrid
    ) -> Float[Tensor, "video time row column channel"]:
        """Attend, transform, adapt."""
        x = super().forward(x)
        if self.adapter is None:
            return x
        tokens = self.adapter(rearrange(x, "b t h w c -> b (t h w) c"), grid)
        return rearrange(tokens, "b (t h w) c -> b t h w c", t=grid.time, h=grid.height)


class VideoSwin(Backbone):
    """The feature extractor of a detector: one map with half the frames and, for four stages, 1/32 of the side."""

    def __init__(self, config: VideoSwinConfig, adapter: AdapterConfig | None = None) -> None:
        """Build with random weights; `adapter` asks for adapters inside the blocks."""
        super().__init__()
        self.config = config
        widths = [config.width * 2**stage for stage in range(len(config.blocks))]
        self.layer_channels = tuple(
            width for width, depth in zip(widths, config.blocks, strict=True) for _ in range(depth)
        )
        self.patch_embed = PatchEmbed3d(list(config.patch), embed_dim=config.width, norm_layer=nn.LayerNorm)
        blocks = _build_blocks(config, adapter)
        # Stages and mergings take turns, as in torchvision, whose names of parameters count both.
        self.features = nn.ModuleList()
        for width, depth in zip(widths, config.blocks, strict=True):
            if len(self.features):
                self.features.append(PatchMerging(width // 2))
                init_linear_layers(self.features[-1])
            self.features.append(nn.ModuleList(next(blocks) for _ in range(depth)))
        self.norm = nn.LayerNorm(config.channels)

    def forward(
        self, pixels: Float[Tensor, "video 3 frame height width"], run: Run = run_plainly, tap: Tap | None = None
    ) -> list[Float[Tensor, "video _ _ _ _"]]:
        """Return the normalised output of the last block; see `Backbone`."""
        x = self.patch_embed(pixels)
        index = 0
        for stage in self.features:
            if isinstance(stage, PatchMerging):
                x = stage(x)
                continue
            assert isinstance(stage, nn.ModuleList)
            grid = TokenGrid(num_clips=1, time=x.shape[1], height=x.shape[2], width=x.shape[3])
            for block in stage:
                x = run(block, x, grid)
                if tap is not None:
                    tap(index, rearrange(x, "b t h w c -> b (t h w) c"), grid)
                index += 1
        return [rearrange(self.norm(x), "b t h w c -> b c t h w")]


def _build_blocks(config: VideoSwinConfig, adapter: AdapterConfig | None) -> Iterator[Block]:
    adapted = adapter.adapted(config.layers) if adapter else ()
    index = 0
    for stage, (depth, heads) in enumerate(zip(config.blocks, config.heads, strict=True)):
        for position in range(depth):
            yield Block(
                config.width * 2**stage,
                heads,
                config,
                shifted=position % 2 == 1,
                drop_path=config.drop_path * index / max(config.layers - 1, 1),
                adapter=adapter if index in adapted else None,
            )
            index += 1
