"""SlowFast networks on bottlenecks (Feichtenhofer et al. 2019), in the form of mmaction2.

    every 4th frame -> stem -> stage 1 -> stage 2 -> stage 3 -> stage 4 -> slow map (b, 32 W, F / 4, h, w)
                          ^          ^          ^          ^
                          | lateral convolutions: strided in time, their output is appended to the channels
    every frame ----> stem -> stage 1 -> stage 2 -> stage 3 -> stage 4 -> fast map (b, 4 W, F, h, w)

The slow pathway mixes time in its last two stages only, the fast one everywhere. Adapters end the slow pathway's
bottlenecks. mmaction2, PySlowFast and PyTorchVideo define this same network up to what `SlowFastConfig` lists.
PyTorchVideo's tutorials space the slow frames over a clip so that first and last are included; here, as in mmaction2
and OpenTAD, they are every 4th, which does not depend on the window's length.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters import Run, Tap, run_plainly
from models.backbones.base import Backbone
from models.backbones.resnet3d import EXPANSION, Bottleneck, ConvNorm, Maps, Stem, to_tokens
from models.config import AdapterConfig, SlowFastConfig

LATERALS = ("conv1_lateral", "layer1_lateral", "layer2_lateral", "layer3_lateral")
"""What leads to the slow pathway's four stages. mmaction2 counts them as parts of that pathway."""
JOINED = 2
"""Channels of a lateral connection over those of the fast pathway where it starts."""


class Pathway(nn.Module):
    """A stem and four stages; the blocks are executed by the network that holds the pathway."""

    def __init__(
        self,
        width: int,
        blocks: tuple[int, ...],
        *,
        stem_kernel: int,
        mixing: tuple[int, ...],
        joined: tuple[int, ...],
        adapters: Iterable[AdapterConfig | None],
    ) -> None:
        """Build with random weights.

        Args:
            width: channels of the stem.
            blocks: bottlenecks per stage.
            stem_kernel: steps of time that the stem sees.
            mixing: how many first bottlenecks of each stage see three steps of time; the others see one.
            joined: channels that each stage finds appended to its input.
            adapters: what ends each bottleneck.
        """
        super().__init__()
        self.conv1 = Stem(width, stem_kernel)
        remaining, channels = iter(adapters), width
        for stage, count in enumerate(blocks):
            inner = width * 2**stage
            layer = nn.ModuleList()
            for index in range(count):
                first = index == 0
                layer.append(
                    Bottleneck(
                        channels + joined[stage] if first else channels,
                        inner,
                        temporal_kernel=3 if index < mixing[stage] else 1,
                        stride=2 if first and stage > 0 else 1,
                        project=first,
                        adapter=next(remaining),
                    )
                )
                channels = EXPANSION * inner
            self.add_module(f"layer{stage + 1}", layer)

    @property
    def stages(self) -> list[list[Bottleneck]]:
        """Return the bottlenecks of every stage."""
        return [list(self.get_submodule(f"layer{number}").children()) for number in range(1, 5)]  # type: ignore[misc]


class Lateral(ConvNorm):
    """The way from the fast pathway to the slow one: a strided convolution over time."""

    def __init__(self, channels: int, config: SlowFastConfig) -> None:
        """Build for a number of fast channels."""
        kernel, stride = (config.lateral_kernel, 1, 1), (config.speed_ratio, 1, 1)
        super().__init__(channels, JOINED * channels, kernel, stride=stride, norm=config.lateral_norm)

    def forward(self, maps: Maps) -> Maps:
        """Return what the slow pathway gets."""
        joining = super().forward(maps)
        return joining if self.bn is None else F.relu(joining, inplace=True)


class SlowFast(Backbone):
    """Both pathways and what joins them."""

    def __init__(self, config: SlowFastConfig, adapter: AdapterConfig | None = None) -> None:
        """Build with random weights; `adapter` asks for adapters inside the slow pathway's bottlenecks."""
        super().__init__()
        self.config = config
        fast_width = config.width // config.channel_ratio
        fast_blocks = config.fast_blocks or config.blocks
        mixing = config.temporal_blocks or tuple(map(max, config.blocks, fast_blocks))
        adapted = adapter.adapted(config.layers) if adapter else ()
        # Channels of the fast pathway where the slow one's stages start.
        joining = [fast_width, *(EXPANSION * fast_width * 2**stage for stage in range(3))]
        self.slow_path = Pathway(
            config.width,
            config.blocks,
            stem_kernel=1,
            mixing=(0, 0, *mixing[2:]),
            joined=tuple(JOINED * channels for channels in joining),
            adapters=(adapter if index in adapted else None for index in range(config.layers)),
        )
        self.fast_path = Pathway(
            fast_width, fast_blocks, stem_kernel=5, mixing=mixing, joined=(0,) * 4, adapters=[None] * sum(fast_blocks)
        )
        for name, channels in zip(LATERALS, joining, strict=True):
            self.slow_path.add_module(name, Lateral(channels, config))
        self.layer_channels = tuple(
            EXPANSION * config.width * 2**stage for stage, count in enumerate(config.blocks) for _ in range(count)
        )

    def forward(
        self, pixels: Float[Tensor, "video 3 frame height width"], run: Run = run_plainly, tap: Tap | None = None
    ) -> list[Float[Tensor, "video _ _ _ _"]]:
        """Return the slow and the fast pathway's output; see `Backbone`."""
        config = self.config
        if pixels.shape[2] % config.slow_stride:
            raise ValueError(f"a window has {pixels.shape[2]} frames, expected a multiple of {config.slow_stride}")
        slow = run_blocks([self.slow_path.conv1], pixels[:, :, :: config.slow_stride], run)
        fast = run_blocks([self.fast_path.conv1], pixels[:, :, :: config.slow_stride // config.speed_ratio], run)
        done = 0
        stages = zip(LATERALS, self.slow_path.stages, self.fast_path.stages, strict=True)
        for name, slow_stage, fast_stage in stages:
            slow = torch.cat((slow, self.slow_path.get_submodule(name)(fast)), dim=1)
            slow = run_blocks(slow_stage, slow, run, tap, first=done)
            fast = run_blocks(fast_stage, fast, run)
            done += len(slow_stage)
        return [slow, fast]


def run_blocks(
    blocks: Iterable[Stem | Bottleneck], maps: Maps, run: Run, tap: Tap | None = None, *, first: int = 0
) -> Maps:
    """Return maps after some blocks; `tap` is shown every output, numbered from `first`."""
    for index, block in enumerate(blocks, start=first):
        grid = block.output_grid(maps)
        maps = run(block, maps, grid)
        if tap is not None:
            tap(index, to_tokens(maps), grid)
    return maps
