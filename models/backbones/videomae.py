"""VideoMAE vision transformers (Tong et al. 2022; Wang et al. 2023 for g), for features and for classification.

    window (b, 3, F, H, W) -> clips (b n, 3, 16, H, W) -> tubelet embedding + position table -> blocks
        -> maps (b, C, 8 n, h, w)

Parameter names are those of the authors' checkpoints, so published weights map directly (`models/checkpoints`).
The maps are the raw residual stream of the last block: the final norm belongs to classification only.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters import Run, Tap, TokenGrid, build_adapter, run_plainly
from models.backbones.base import Backbone
from models.config import AdapterConfig, VideoMAEConfig
from models.positions import sinusoid_table

try:  # An optional kernel (`tadscale[gpu]`); scaled_dot_product_attention computes the same.
    from flash_attn import flash_attn_func  # pyright: ignore[reportMissingImports]
except ImportError:
    flash_attn_func = None

NORM_EPS = 1e-6


def resize_table(
    table: Float[Tensor, "token channel"], built_for: TokenGrid, wanted: TokenGrid
) -> Float[Tensor, "resized channel"]:
    """Resample each tubelet's slice of a position table to another spatial grid (bicubic, no antialiasing).

    The table is a function of the flattened index, so this resamples fast-varying waves. The published results
    were obtained so; a sinusoid built anew at the wanted size is another network.
    """
    if (wanted.height, wanted.width) == (built_for.height, built_for.width):
        return table
    images = rearrange(table, "(t h w) c -> t c h w", t=built_for.time, h=built_for.height, w=built_for.width)
    resized = F.interpolate(images, size=(wanted.height, wanted.width), mode="bicubic", align_corners=False)
    return rearrange(resized, "t c h w -> (t h w) c")


class Attention(nn.Module):
    """Multi-head self-attention among the tokens of one clip, with biases for queries and values only."""

    def __init__(self, channels: int, heads: int) -> None:
        """Make the fused projection; its rows are queries, keys, values, each head by head."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Float[Tensor, "clip token channel"]) -> Float[Tensor, "clip token channel"]:
        """Mix the tokens of each clip."""
        # A key bias would shift all logits of a query alike, so the authors hold it at zero.
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = F.linear(tokens, self.qkv.weight, bias)
        if flash_attn_func is not None and qkv.is_cuda and qkv.dtype in (torch.float16, torch.bfloat16):
            query, key, value = rearrange(qkv, "n s (three h d) -> three n s h d", three=3, h=self.heads)
            return self.proj(rearrange(flash_attn_func(query, key, value), "n s h d -> n s (h d)"))
        query, key, value = rearrange(qkv, "n s (three h d) -> three n h s d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(mixed, "n h s d -> n s (h d)"))


class ClipDrop(nn.Module):
    """Stochastic depth: while training, a clip skips a branch with some chance; else the branch is scaled up.

    What is drawn is a value of its own, apart from its use, so that a block can be computed again, or a few clips at
    a time, with the same draws.
    """

    def __init__(self, drop_prob: float) -> None:
        """Set the chance."""
        super().__init__()
        self.drop_prob = drop_prob

    def draw(self, tokens: Float[Tensor, "clip _ _"]) -> Float[Tensor, "2 clip"] | None:
        """Return the factors of a block's two branches for every clip; None: all are 1."""
        if not (self.training and self.drop_prob):
            return None
        keep = 1 - self.drop_prob
        # One draw after the other, as two layers of stochastic depth would.
        attention, mlp = (tokens.new_empty(len(tokens)).bernoulli_(keep) for _ in range(2))
        return torch.stack((attention, mlp)) / keep


class Block(nn.Module):
    """A pre-norm transformer block; an adapter, where there is one, is its last step."""

    def __init__(self, config: VideoMAEConfig, drop_path: float, adapter: AdapterConfig | None) -> None:
        """Build the block; `drop_path` is the chance that a clip skips a branch while training."""
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config.width, config.heads)
        self.drop_path = ClipDrop(drop_path)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = Mlp(config.width, config.mlp_hidden)
        self.adapter = build_adapter(config.width, adapter) if adapter else None

    def forward(
        self, tokens: Float[Tensor, "clip token channel"], grid: TokenGrid
    ) -> Float[Tensor, "clip token channel"]:
        """Attend, transform, adapt."""
        tokens = self.transform(tokens, self.drop_path.draw(tokens))
        return tokens if self.adapter is None else self.adapter(tokens, grid)

    def transform(
        self, tokens: Float[Tensor, "clip token channel"], factors: Float[Tensor, "2 clip"] | None = None
    ) -> Float[Tensor, "clip token channel"]:
        """Return the tokens before adaptation, where the clips do not see each other.

        Args:
            tokens: any number of clips.
            factors: by what the two branches are multiplied in each of them; None: by 1.
        """
        attended = self.attn(self.norm1(tokens))
        if factors is not None:
            attended = attended * factors[0, :, None, None].to(attended.dtype)
        tokens = tokens + attended
        changed = self.mlp(self.norm2(tokens))
        if factors is not None:
            changed = changed * factors[1, :, None, None].to(changed.dtype)
        return tokens + changed


class PatchEmbedding(nn.Module):
    """One token per tubelet: a convolution whose kernel is its stride. Pixels beyond whole patches are ignored."""

    def __init__(self, config: VideoMAEConfig) -> None:
        """Build the convolution."""
        super().__init__()
        tubelet = (config.tubelet, config.patch, config.patch)
        self.proj = nn.Conv3d(3, config.width, tubelet, stride=tubelet)

    def forward(
        self, clips: Float[Tensor, "clip 3 frame height width"]
    ) -> Float[Tensor, "clip channel time row column"]:
        """Embed the tubelets."""
        return self.proj(clips)


class ClipTransformer(nn.Module):
    """What the feature extractor and the classifier share: from clips to the tokens of the last block."""

    positions: Tensor

    def __init__(self, config: VideoMAEConfig, adapter: AdapterConfig | None = None) -> None:
        """Build with random weights; `adapter` asks for adapters inside the blocks."""
        super().__init__()
        self.config = config
        adapted = adapter.adapted(config.depth) if adapter else ()
        side = config.image_size // config.patch
        self.built_for = TokenGrid(num_clips=1, time=config.clip_frames // config.tubelet, height=side, width=side)
        self.patch_embed = PatchEmbedding(config)
        self.blocks = nn.ModuleList(
            Block(config, config.drop_path * index / max(config.depth - 1, 1), adapter if index in adapted else None)
            for index in range(config.depth)
        )
        # Not persistent: a constant, and published checkpoints do not hold it.
        table = sinusoid_table(self.built_for.time * side * side, config.width)
        self.register_buffer("positions", table, persistent=False)
        for block in self.blocks:
            assert isinstance(block, Block)
            for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def embed(
        self, clips: Float[Tensor, "clip 3 frame height width"], num_clips: int = 1
    ) -> tuple[Float[Tensor, "clip token channel"], TokenGrid]:
        """Return the first block's input and its layout."""
        if clips.shape[2] != self.config.clip_frames:
            raise ValueError(f"clips have {clips.shape[2]} frames, expected {self.config.clip_frames}")
        if min(clips.shape[3:]) < self.config.patch:
            raise ValueError(f"clips are {clips.shape[3]}x{clips.shape[4]} pixels, expected at least one patch")
        maps = self.patch_embed(clips)
        grid = TokenGrid(num_clips=num_clips, time=maps.shape[2], height=maps.shape[3], width=maps.shape[4])
        tokens = rearrange(maps, "n c t h w -> n (t h w) c")
        return tokens + resize_table(self.positions, self.built_for, grid), grid


def cut_into_clips(
    pixels: Float[Tensor, "video channel frame height width"], clip_frames: int
) -> Float[Tensor, "clip channel time height width"]:
    """Return consecutive clips as a batch, the clips of one video adjacent and in order."""
    if pixels.shape[2] % clip_frames:
        raise ValueError(f"a window has {pixels.shape[2]} frames, expected a multiple of {clip_frames}")
    return rearrange(pixels, "b c (n f) h w -> (b n) c f h w", f=clip_frames)


class VideoMAE(ClipTransformer, Backbone):
    """The feature extractor of a detector."""

    def __init__(self, config: VideoMAEConfig, adapter: AdapterConfig | None = None) -> None:
        """Build with random weights; `adapter` asks for adapters inside the blocks."""
        super().__init__(config, adapter)
        self.layer_channels = (config.width,) * config.depth

    def forward(
        self, pixels: Float[Tensor, "video 3 frame height width"], run: Run = run_plainly, tap: Tap | None = None
    ) -> list[Float[Tensor, "video _ _ _ _"]]:
        """Return the last block's output; see `Backbone`. Adapters mix time across the clips of a video."""
        clips = cut_into_clips(pixels, self.config.clip_frames)
        num_clips = pixels.shape[2] // self.config.clip_frames
        tokens, grid = self.embed(clips, num_clips)
        for index, block in enumerate(self.blocks):
            tokens = run(block, tokens, grid)
            if tap is not None:
                tap(index, tokens, grid)
        return [rearrange(tokens, "(b n) (t h w) c -> b c (n t) h w", **grid.sizes)]


class ClipClassifier(ClipTransformer):
    """VideoMAE as it is fine-tuned on trimmed clips: mean over tokens, norm, linear classifier."""

    def __init__(self, config: VideoMAEConfig, num_classes: int) -> None:
        """Build with random weights."""
        super().__init__(config)
        self.fc_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.head = nn.Linear(config.width, num_classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, clips: Float[Tensor, "clip 3 frame height width"]) -> Float[Tensor, "clip label"]:
        """Return one logit per class and clip."""
        tokens, grid = self.embed(clips)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return self.head(self.fc_norm(tokens.mean(1)))
