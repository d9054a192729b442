"""What a detector is made of, as frozen values; the one page of `models` that needs no torch.

Kept apart from the networks so that a study can be listed, checked and looked up in the tables without
importing torch. A field's path (`model.adapter.kernel`) is its column in the results tables and its name on
the command line, so renaming one changes the digest of every trial. Where a branch can be of several kinds, its
`kind` says which.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal

Tuning = Literal["features", "frozen", "full", "adapter"]
AdapterKind = Literal["tia", "tia_no_residual", "plain", "longlora"]
Masking = Literal["opentad", "strict"]


def _positive(config: object, *names: str, prefix: str = "model.backbone") -> None:
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{prefix}.{name} is {value}, expected more than 0")


def _share(config: object, *names: str, prefix: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ValueError(f"{prefix}.{name} is {value}, expected 0 <= {name} < 1")


@dataclass(frozen=True, kw_only=True)
class VideoMAEConfig:
    """A VideoMAE vision transformer (Tong et al. 2022; sizes from adatad-facts 2.1)."""

    kind: Literal["videomae"] = "videomae"
    name: str
    """Short name for people and for `--set model.backbone=NAME`."""
    width: int
    """Channels C of the residual stream."""
    depth: int
    heads: int
    mlp_hidden: int
    """Hidden channels of the MLP (4 x width, except 6144 for g)."""
    patch: int = 16
    """Side of a patch in pixels."""
    image_size: int = 224
    """Resolution at which the position table is defined; other resolutions resample it (bicubic)."""
    clip_frames: int = 16
    """Frames that attend to each other."""
    tubelet: int = 2
    """Frames per token."""
    drop_path: float = 0.0
    """Stochastic depth of the last block, linear from 0 at the first; drawn per clip."""

    def __post_init__(self) -> None:
        """Refuse sizes no network can have."""
        _positive(self, "width", "depth", "heads", "mlp_hidden", "patch", "image_size", "clip_frames", "tubelet")
        if self.width % self.heads:
            raise ValueError(f"model.backbone.width {self.width} is not a multiple of heads {self.heads}")
        if self.clip_frames % self.tubelet:
            raise ValueError(
                f"model.backbone.clip_frames {self.clip_frames} is not a multiple of tubelet {self.tubelet}"
            )
        _share(self, "drop_path", prefix="model.backbone")

    @property
    def channels(self) -> int:
        """Channels of a feature cell."""
        return self.width

    @property
    def layers(self) -> int:
        """Blocks that can carry an adapter."""
        return self.depth

    @property
    def frame_multiple(self) -> int:
        """Frames of an input must be a multiple of this."""
        return self.clip_frames

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of an input's side."""
        return self.patch


@dataclass(frozen=True, kw_only=True)
class SlowFastConfig:
    """A SlowFast network on ResNet bottlenecks (Feichtenhofer et al. 2019; settings from adatad-facts 1.3).

    Two pathways over native time, without clips. The detector sees both: their outputs are pooled over space,
    resampled to the feature cells and joined, 2048 + 256 channels for the published sizes.
    """

    kind: Literal["slowfast"] = "slowfast"
    name: str
    """Short name for people and for `--set model.backbone=NAME`."""
    blocks: tuple[int, ...]
    """Bottlenecks per stage: 3+4+6+3 for R50, 3+4+23+3 for R101."""
    width: int = 64
    """Channels of the slow stem; a stage's output is 4, 8, 16 and 32 times as wide."""
    slow_stride: int = 4
    """Frames per step of the slow pathway (tau)."""
    speed_ratio: int = 4
    """Steps of the fast pathway per step of the slow one (alpha)."""
    channel_ratio: int = 8
    """Channels of the slow pathway over those of the fast one (1 / beta)."""
    lateral_kernel: int = 7
    """Temporal kernel of the lateral connections, in fast steps; odd. 7 in the published 8x8 networks that detectors
    use, 5 in the 4x16 ones and in PyTorchVideo's R101."""
    lateral_norm: bool = False
    """Whether a normalisation and a ReLU end the lateral connections: not in mmaction2's files, but in those of
    PyTorchVideo and PySlowFast."""
    fast_blocks: tuple[int, ...] = ()
    """Bottlenecks per stage of the fast pathway; empty: as many as in the slow one."""
    temporal_blocks: tuple[int, ...] = ()
    """Only so many first bottlenecks of each stage mix time (3+4+6+3 in PyTorchVideo's R101-50-50); empty: all."""

    def __post_init__(self) -> None:
        """Refuse sizes no network can have."""
        _positive(self, "width", "slow_stride", "speed_ratio", "channel_ratio", "lateral_kernel")
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise ValueError(f"model.backbone.blocks is {self.blocks}, expected four stages of at least one block")
        for name, fewest in (("fast_blocks", 1), ("temporal_blocks", 0)):
            counts = getattr(self, name)
            if counts and (len(counts) != 4 or min(counts) < fewest):
                raise ValueError(f"model.backbone.{name} is {counts}, expected none or four of at least {fewest}")
        if self.slow_stride % self.speed_ratio:
            raise ValueError(
                f"model.backbone.slow_stride {self.slow_stride} is not a multiple of speed_ratio {self.speed_ratio}"
            )
        if self.width % self.channel_ratio:
            raise ValueError(
                f"model.backbone.width {self.width} is not a multiple of channel_ratio {self.channel_ratio}"
            )
        if self.lateral_kernel % 2 == 0:
            raise ValueError(f"model.backbone.lateral_kernel is {self.lateral_kernel}, expected an odd number")

    @property
    def channels(self) -> int:
        """Channels of a feature cell: both pathways."""
        return 32 * self.width + 32 * self.width // self.channel_ratio

    @property
    def layers(self) -> int:
        """Bottlenecks of the slow pathway, which can carry an adapter."""
        return sum(self.blocks)

    @property
    def frame_multiple(self) -> int:
        """Frames of an input must be a multiple of this."""
        return self.slow_stride

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of an input's side: the network halves it five times."""
        return 32


@dataclass(frozen=True, kw_only=True)
class VideoSwinConfig:
    """A Video Swin transformer (Liu et al. 2022): shifted windows over native time, four stages."""

    kind: Literal["videoswin"] = "videoswin"
    name: str
    """Short name for people and for `--set model.backbone=NAME`."""
    width: int
    """Channels of the first stage; every later stage is twice as wide."""
    blocks: tuple[int, ...]
    """Blocks per stage."""
    heads: tuple[int, ...]
    """Attention heads per stage."""
    patch: tuple[int, int, int] = (2, 4, 4)
    """Frames, rows and columns per token."""
    window: tuple[int, int, int] = (8, 7, 7)
    """Tokens that attend to each other: time, rows, columns."""
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Stochastic depth of the last block, linear from 0 at the first; drawn per window."""

    def __post_init__(self) -> None:
        """Refuse sizes no network can have."""
        _positive(self, "width", "mlp_ratio")
        if len(self.blocks) != len(self.heads) or min(self.blocks) < 1:
            raise ValueError(
                f"model.backbone.blocks is {self.blocks} and heads {self.heads}, expected one of each per stage"
            )
        for name in ("patch", "window"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"model.backbone.{name} is {getattr(self, name)}, expected at least 1 everywhere")
        for stage, heads in enumerate(self.heads):
            if heads < 1 or self.width * 2**stage % heads:
                raise ValueError(
                    f"model.backbone.heads is {self.heads}, expected divisors of the stages' channels "
                    f"({self.width} doubling)"
                )
        _share(self, "drop_path", prefix="model.backbone")

    @property
    def channels(self) -> int:
        """Channels of a feature cell."""
        return self.width * 2 ** (len(self.blocks) - 1)

    @property
    def layers(self) -> int:
        """Blocks that can carry an adapter."""
        return sum(self.blocks)

    @property
    def frame_multiple(self) -> int:
        """Frames of an input must be a multiple of this."""
        return self.patch[0]

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of an input's side: one token that every merging pads."""
        return self.patch[1]


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """No network: features that somebody extracted before, such as I3D, TSP or SlowFast features from a file."""

    kind: Literal["offline"] = "offline"
    name: str
    """Short name for people, such as `i3d`."""
    channels: int
    """Channels of a feature cell."""

    def __post_init__(self) -> None:
        """Refuse features without channels."""
        _positive(self, "channels")

    @property
    def layers(self) -> int:
        """Blocks that can carry an adapter: none."""
        return 0

    @property
    def frame_multiple(self) -> int:
        """Any number of frames: none are looked at."""
        return 1

    @property
    def smallest_side(self) -> int:
        """Any resolution: no pixel is looked at."""
        return 1


BackboneConfig = VideoMAEConfig | SlowFastConfig | VideoSwinConfig | OfflineConfig

VIDEOMAE = {
    "videomae-tiny": VideoMAEConfig(
        name="videomae-tiny", width=96, depth=4, heads=3, mlp_hidden=384, patch=16, image_size=48
    ),
    "videomae-s": VideoMAEConfig(name="videomae-s", width=384, depth=12, heads=6, mlp_hidden=1536, drop_path=0.1),
    "videomae-b": VideoMAEConfig(name="videomae-b", width=768, depth=12, heads=12, mlp_hidden=3072, drop_path=0.1),
    "videomae-l": VideoMAEConfig(name="videomae-l", width=1024, depth=24, heads=16, mlp_hidden=4096, drop_path=0.1),
    "videomae-h": VideoMAEConfig(name="videomae-h", width=1280, depth=32, heads=16, mlp_hidden=5120, drop_path=0.1),
    "videomae-g": VideoMAEConfig(
        name="videomae-g", width=1408, depth=40, heads=16, mlp_hidden=6144, patch=14, drop_path=0.1
    ),
}
"""The published sizes, and `videomae-tiny` for a laptop: the same code with smaller numbers."""

SLOWFAST = {
    "slowfast-tiny": SlowFastConfig(name="slowfast-tiny", blocks=(1, 1, 1, 1), width=8, channel_ratio=4),
    "slowfast-r50": SlowFastConfig(name="slowfast-r50", blocks=(3, 4, 6, 3)),
    "slowfast-r101": SlowFastConfig(name="slowfast-r101", blocks=(3, 4, 23, 3)),
    "slowfast-r50-pytorchvideo": SlowFastConfig(
        name="slowfast-r50-pytorchvideo", blocks=(3, 4, 6, 3), lateral_norm=True
    ),
    "slowfast-r101-pytorchvideo": SlowFastConfig(
        name="slowfast-r101-pytorchvideo", blocks=(3, 4, 23, 3), lateral_norm=True, lateral_kernel=5
    ),
}
"""mmaction2's networks, which OpenTAD uses, and PyTorchVideo's (PySlowFast's R50 is the same)."""
VIDEO_SWIN = {
    "videoswin-tiny": VideoSwinConfig(
        name="videoswin-tiny", width=24, blocks=(1, 1, 2), heads=(1, 2, 4), window=(4, 4, 4), drop_path=0.0
    ),
    "videoswin-t": VideoSwinConfig(name="videoswin-t", width=96, blocks=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "videoswin-s": VideoSwinConfig(name="videoswin-s", width=96, blocks=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "videoswin-b": VideoSwinConfig(name="videoswin-b", width=128, blocks=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
}
BACKBONES: dict[str, BackboneConfig] = {**VIDEOMAE, **SLOWFAST, **VIDEO_SWIN}
"""Every backbone by its name. The `-tiny` ones are the same code with numbers for a laptop."""


@dataclass(frozen=True, kw_only=True)
class RepresentationConfig:
    """How a window's frames become the backbone's input and its output a feature sequence (AdaTAD section 3.1)."""

    kind: Literal["frame", "snippet"] = "frame"
    """`frame`: the window as one long input (a ViT cuts it into its clips). `snippet`: overlapping short inputs, each
    encoded alone to one feature."""
    snippet_frames: int = 16
    """Frames of one snippet; used by `snippet` only."""
    snippet_stride: int = 4
    """Frames from one snippet's middle to the next one's; used by `snippet` only."""

    def __post_init__(self) -> None:
        """Refuse snippets without frames."""
        _positive(self, "snippet_frames", "snippet_stride", prefix="model.representation")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """A light module after every adapted block (AdaTAD section 3.3; adatad-facts 1)."""

    kind: AdapterKind = "tia"
    placement: Literal["inside", "outside"] = "inside"
    """`inside` = AdaTAD; `outside` = AdaTAD dagger: no gradient passes through the backbone."""
    ratio: float = 0.25
    """Bottleneck width over backbone width (1 / gamma of the paper); `longlora` has no bottleneck."""
    kernel: int = 3
    """Temporal kernel in tubelets; odd. Used by the `tia` kinds."""
    spatial_kernel: int = 1
    """Spatial kernel in tokens, the same for rows and columns; odd. Used by the `tia` kinds: 3 with kernel 3 is the
    (3, 3, 3) of the paper's Table 13."""
    attention_groups: int = 4
    """Stretches of the window's time that attend among themselves; half of the heads see them shifted by half a
    stretch. Used by `longlora`."""
    last_layers: int | None = None
    """Adapt only this many last blocks; None: all of them inside, the last half outside."""
    layers: tuple[int, ...] = ()
    """Adapt exactly these blocks, counted from 0; empty: as `last_layers` says."""

    def __post_init__(self) -> None:
        """Refuse kernels without a centre, empty bottlenecks and settings that would be ignored."""
        _positive(self, "ratio", "kernel", "spatial_kernel", "attention_groups", prefix="model.adapter")
        for name in ("kernel", "spatial_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"model.adapter.{name} is {getattr(self, name)}, expected an odd number of tubelets")
        if self.last_layers is not None and self.last_layers < 1:
            raise ValueError(f"model.adapter.last_layers is {self.last_layers}, expected at least 1 or none")
        if self.layers and self.last_layers is not None:
            raise ValueError(
                f"model.adapter.layers is {self.layers} and last_layers {self.last_layers}, expected only one of them"
            )
        if list(self.layers) != sorted(set(self.layers)) or (self.layers and self.layers[0] < 0):
            raise ValueError(f"model.adapter.layers is {self.layers}, expected rising block numbers from 0")

    def adapted(self, depth: int) -> tuple[int, ...]:
        """Return the numbers of the adapted blocks of a backbone with `depth` of them."""
        if self.layers:
            return self.layers
        default = depth if self.placement == "inside" else depth - depth // 2
        return tuple(range(depth - (self.last_layers or default), depth))


@dataclass(frozen=True, kw_only=True)
class ActionFormerConfig:
    """The ActionFormer head (Zhang et al. 2022) with AdaTAD's settings (adatad-facts 4)."""

    kind: Literal["actionformer"] = "actionformer"
    width: int = 512
    """Channels of the pyramid."""
    embed_layers: int = 2
    stem_layers: int = 2
    levels: int = 6
    """Pyramid levels, each half the length of the one below; level 0 has the window's feature length."""
    attention_heads: int = 4
    attention_window: int = 0
    """Local attention window in cells; 0 or 1: full attention."""
    full_attention_levels: int = 0
    """The coarsest so many levels attend fully whatever the window (Ego4D: 3)."""
    first_range: int = 4
    """Longest regression distance of level 0, in cells; doubles per level, the last is open."""
    overlapping_ranges: bool = False
    """A level's shortest distance is a quarter of its longest instead of half (EPIC-Kitchens, Ego4D)."""
    centre_radius: float = 1.5
    """Points within this many strides of an action's centre are its positives."""
    share_similar: bool = True
    """A point's classes are those of the equally short actions; False: of every action it is central to (Ego4D)."""
    input_dropout: float = 0.0
    """Dropout of whole feature channels before the embedding."""
    path_dropout: float = 0.1
    projection_dropout: float = 0.0
    label_smoothing: float = 0.0
    regression_weight: float = 1.0
    offset_bias: float = 0.0
    """Added to the initial bias of both offsets, in strides. An offset that is negative at every point has no gradient
    and stays zero; a positive bias keeps a short schedule from that (results/published/README.md)."""
    normaliser_init: float = 100.0
    """Start of the running mean of positives per step that divides the losses."""
    position_embedding: bool = False
    masking: Masking = "opentad"
    """`opentad` lets padding reach valid cells where the published code does (before the first convolution, after the
    neck's norm); `strict` masks there too."""

    def __post_init__(self) -> None:
        """Refuse sizes no head can have."""
        _positive(self, "width", "embed_layers", "levels", "attention_heads", "first_range", prefix="model.head")
        _share(self, "input_dropout", "path_dropout", "projection_dropout", "label_smoothing", prefix="model.head")
        if self.width % self.attention_heads:
            raise ValueError(
                f"model.head.width {self.width} is not a multiple of attention_heads {self.attention_heads}"
            )
        if self.full_attention_levels > self.levels:
            raise ValueError(
                f"model.head.full_attention_levels is {self.full_attention_levels}, expected at most the "
                f"{self.levels} levels"
            )

    def window_at(self, level: int) -> int:
        """Return the local attention window of a pyramid level; 0 or 1: full attention."""
        return 0 if level >= self.levels - self.full_attention_levels else self.attention_window


@dataclass(frozen=True, kw_only=True)
class TriDetConfig:
    """The TriDet head (Shi et al. 2023): SGP blocks and trident boundaries (adatad-facts 5.1)."""

    kind: Literal["tridet"] = "tridet"
    width: int = 512
    """Channels of the pyramid."""
    head_width: int | None = None
    """Channels of the towers; None: as wide as the pyramid (ActivityNet: 512 on a pyramid of 256)."""
    embed_layers: int = 2
    stem_layers: int = 2
    levels: int = 6
    """Pyramid levels, each half the length of the one below; level 0 has the window's feature length."""
    sgp_window: int = 1
    """Kernel of the near convolution and its gate in the halving blocks, in cells (w of the paper); odd. The stem's is
    1."""
    sgp_ratio: float = 5.0
    """How much wider the window branch's kernel is (k of the paper)."""
    sgp_hidden: int = 768
    """Hidden channels of an SGP block's MLP."""
    sgp_init: float = 0.0
    """Standard deviation of the depthwise kernels at the start."""
    downsampling: Literal["max", "avg"] = "max"
    bins: int = 16
    """Bins of the trident head on each side of a point."""
    boundary_kernel: int = 3
    """Kernel of the start and end towers."""
    first_range: int = 4
    """Longest regression distance of level 0, in cells; doubles per level, the last is open."""
    overlapping_ranges: bool = False
    """A level's shortest distance is a quarter of its longest instead of half (EPIC-Kitchens)."""
    centre_radius: float = 1.5
    share_similar: bool = True
    """A point's classes are those of the equally short actions; False: of every action it is central to."""
    iou_power: float = 0.2
    """Positive classification losses are multiplied by IoU to this power."""
    input_noise: float = 0.0
    """Standard deviation of noise added to the features while training."""
    path_dropout: float = 0.1
    label_smoothing: float = 0.0
    regression_weight: float = 1.0
    normaliser_init: float = 100.0
    """Start of the running mean of positives per step that divides the losses."""
    position_embedding: bool = False
    """Add ActionFormer's table of sinusoids before the stem (ActivityNet)."""
    masking: Masking = "opentad"
    """`opentad` lets padding reach valid cells where the published code does (pooling, the blocks' convolutions, mean
    and group norm, the neck's norm, boundary logits); `strict` masks there too."""

    def __post_init__(self) -> None:
        """Refuse sizes no head can have."""
        sizes = ("width", "embed_layers", "levels", "sgp_window", "sgp_ratio", "sgp_hidden", "bins", "boundary_kernel")
        _positive(self, *sizes, "first_range", prefix="model.head")
        _share(self, "path_dropout", "label_smoothing", prefix="model.head")
        for name in ("input_noise", "sgp_init", "iou_power"):
            if getattr(self, name) < 0:
                raise ValueError(f"model.head.{name} is {getattr(self, name)}, expected at least 0")
        if self.head_width is not None and self.head_width < 1:
            raise ValueError(f"model.head.head_width is {self.head_width}, expected at least 1 or none")
        for name in ("sgp_window", "boundary_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"model.head.{name} is {getattr(self, name)}, expected an odd number of cells")
        if self.width % 16:
            raise ValueError(f"model.head.width is {self.width}, expected a multiple of the 16 groups of its norm")


@dataclass(frozen=True, kw_only=True)
class GTADConfig:
    """The G-TAD head (Xu et al. 2020): graph blocks, boundaries and a map of proposals (adatad-facts 5.2)."""

    kind: Literal["gtad"] = "gtad"
    graph_width: int = 256
    """Channels of the graph blocks."""
    map_width: int = 512
    """Channels of a proposal before the map's convolutions."""
    map_hidden: int = 128
    longest: int = 64
    """Longest proposal in cells (dscale); proposals are all [s, s + d] with d up to this inside the window."""
    roi_bins: int = 16
    """Samples of a proposal's features along its time."""
    context_bins: int = 16
    """Samples of its graph neighbours' features."""
    neighbours: int = 3
    """Nearest cells in feature space that a graph edge joins."""
    map_kernel: int = 3
    """Kernel of the proposal map's convolutions: 3 for THUMOS14, 1 for ActivityNet."""
    boundary_overlap: float = 0.5
    """A cell is a boundary if more than this share of it lies near an action's start or end. OpenTAD rounds that share
    down, so that only wholly covered cells are: 0.999 trains as it does."""
    class_agnostic: bool = False
    """One actionness per proposal, as published: class names must come from an external classifier. False gives the
    classification map one channel per class."""
    score: Literal["map", "map_boundaries"] = "map"
    """A proposal's score: product of the two maps, or also of its start and end probabilities."""
    masking: Masking = "opentad"
    """`opentad` leaves the proposal map unmasked in padding, as the published code does; `strict` masks it."""

    def __post_init__(self) -> None:
        """Refuse sizes no head can have."""
        sizes = ("graph_width", "map_width", "map_hidden", "longest", "roi_bins", "context_bins", "neighbours")
        _positive(self, *sizes, "map_kernel", prefix="model.head")
        _share(self, "boundary_overlap", prefix="model.head")
        if self.graph_width % 4:
            raise ValueError(
                f"model.head.graph_width is {self.graph_width}, expected a multiple of its first convolution's 4 groups"
            )
        if self.map_kernel % 2 == 0:
            raise ValueError(f"model.head.map_kernel is {self.map_kernel}, expected an odd number of cells")

    @property
    def groups(self) -> int:
        """Groups of the graph blocks' convolutions: 32 as published, fewer where a narrow head has no 32 groups."""
        return math.gcd(32, self.graph_width // 2)


HeadConfig = ActionFormerConfig | TriDetConfig | GTADConfig


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How a step is executed, never what it computes (design.md part 6).

    Two of the fields do change numbers, within rounding: `weights` = int8 and `residual` = bf16.
    """

    policy: Literal["fixed", "auto", "reference"] = "fixed"
    """`fixed`: as the other fields say. `auto`: the planner fills them in before a run, so they stay at their defaults.
    `reference`: the paper's set-up, for comparison: fp32 frozen weights under autocast, reentrant checkpointing block
    by block, full-resolution adapters beside the backbone, and an average of the frozen weights too."""
    keep: Literal["everything", "blocks", "nothing"] = "blocks"
    """Between forward and backward: every activation; block inputs (beside the backbone: adapter inputs), the rest
    recomputed; or nothing of the backbone, which is then streamed twice (frozen, or with adapters outside)."""
    every: int = 1
    """With `keep` = blocks: only the input of every n-th block is kept."""
    keep_on: Literal["device", "host"] = "device"
    """Where what `keep` = blocks keeps waits for the backward pass; host: pinned memory, with prefetching."""
    clips: int = 0
    """Clips that go through patch embedding, attention and MLP at once; 0: all of them."""
    positions: int = 0
    """Spatial positions that go through an adapter inside the backbone at once, over the whole window; 0: all."""
    weights: Literal["fp32", "bf16", "int8"] = "fp32"
    """How frozen weights of linear layers and convolutions are stored. bf16 is what autocast makes of them anyway; int8
    (a scale per output channel) changes numbers."""
    residual: Literal["fp32", "bf16"] = "fp32"
    """How the residual stream is stored between the blocks of a backbone that is not trained; bf16 changes numbers."""
    inputs_on: Literal["device", "host"] = "device"
    """Where a window's uint8 frames wait; host: they are moved `clips` at a time."""
    averages_on: Literal["device", "host"] = "device"
    """Where the moving average of what trains lives and is updated."""
    optimizer_on: Literal["device", "host"] = "device"
    """Where the optimiser's state lives and is updated."""
    checkpoint_head: bool = False
    """Whether the head's blocks are recomputed in its backward pass."""
    compile: bool = False
    """Whether blocks go through `torch.compile`."""

    def __post_init__(self) -> None:
        """Refuse values out of range and settings that would be ignored."""
        for name, least in (("every", 1), ("clips", 0), ("positions", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"engine.{name} is {getattr(self, name)}, expected at least {least}")
        if self.policy != "fixed":
            for item in fields(self):
                if item.name != "policy" and getattr(self, item.name) != item.default:
                    raise ValueError(
                        f"engine.{item.name} is {getattr(self, item.name)} but engine.policy is {self.policy}, which "
                        f"decides it; expected {item.default}"
                    )
        if self.keep != "blocks":
            for name in ("every", "keep_on"):
                if getattr(self, name) != EngineConfig.__dataclass_fields__[name].default:
                    raise ValueError(
                        f"engine.{name} is {getattr(self, name)} but engine.keep is {self.keep}, expected blocks"
                    )


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Backbone, what of it trains, adapters and head."""

    backbone: BackboneConfig
    weights: str = ""
    """Identity of the pretrained weights (a digest, not a path); empty: random initialisation."""
    representation: RepresentationConfig = RepresentationConfig()
    tuning: Tuning = "adapter"
    """What trains besides the head: nothing (`features`, extracted once and read from disk; `frozen`, computed in every
    step), the adapters, or the whole backbone (`full`, with or without adapters)."""
    adapter: AdapterConfig | None = None
    head: HeadConfig = ActionFormerConfig()

    def __post_init__(self) -> None:
        """Refuse combinations in which a setting would be ignored or that make no sense."""
        adapter, backbone = self.adapter, self.backbone
        if self.tuning == "adapter" and adapter is None:
            raise ValueError("model.tuning is adapter but model.adapter is none, expected an adapter")
        if self.tuning in ("frozen", "features") and adapter is not None:
            raise ValueError(
                f"model.tuning is {self.tuning} but model.adapter is {adapter.kind}; set model.adapter=none with it"
            )
        if isinstance(backbone, OfflineConfig) and self.tuning != "features":
            raise ValueError(
                f"model.tuning is {self.tuning} but model.backbone is {backbone.name}, which is features from files; "
                "expected features"
            )
        if adapter is not None:
            self._check_adapter(adapter)
        if isinstance(backbone, VideoMAEConfig):
            self._check_snippets(backbone)

    def _check_snippets(self, backbone: VideoMAEConfig) -> None:
        frames = self.representation.snippet_frames
        if self.representation.kind == "snippet" and frames % backbone.clip_frames:
            raise ValueError(
                f"model.representation.snippet_frames is {frames}, expected a multiple of the "
                f"{backbone.clip_frames}-frame clip of {backbone.name}"
            )

    def _check_adapter(self, adapter: AdapterConfig) -> None:
        backbone = self.backbone
        if self.tuning == "full" and adapter.placement == "outside":
            raise ValueError(
                "model.tuning is full but model.adapter.placement is outside, where no gradient reaches the backbone"
            )
        if self.representation.kind == "snippet" and adapter.placement == "outside":
            raise ValueError(
                "model.representation.kind is snippet but model.adapter.placement is outside: adapters beside the "
                "backbone mix time over a whole window, and a snippet is encoded alone; expected frame"
            )
        if (adapter.last_layers or 0) > backbone.layers or (adapter.layers and adapter.layers[-1] >= backbone.layers):
            named = f"last_layers is {adapter.last_layers}" if adapter.last_layers else f"layers is {adapter.layers}"
            raise ValueError(f"model.adapter.{named}, but {backbone.name} has {backbone.layers} layers")
        if adapter.placement == "outside" and backbone.layers - 1 not in adapter.adapted(backbone.layers):
            raise ValueError(
                f"model.adapter.layers is {adapter.layers}, expected the last block ({backbone.layers - 1}) among "
                "them: outside, the output is the sum from the last adapted block on"
            )
