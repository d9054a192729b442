"""What a detector is made of, as frozen values; the one page of `models` that needs no torch.

Kept apart from the networks so that a study can be listed, checked and looked up in the tables without
importing torch. A field's path (`model.adapter.kernel`) is its column in the results tables and its name on
the command line, so renaming one changes the digest of every trial.
"""

from dataclasses import dataclass
from typing import Literal

Tuning = Literal["frozen", "full", "adapter"]
AdapterKind = Literal["tia", "tia_no_residual", "plain"]


def _positive(config: object, *names: str, prefix: str = "model.backbone") -> None:
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{prefix}.{name} is {value}, expected more than 0")


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
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"model.backbone.drop_path is {self.drop_path}, expected 0 <= drop_path < 1")


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


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """A light module after every adapted transformer block (AdaTAD section 3.3; adatad-facts 1)."""

    kind: AdapterKind = "tia"
    placement: Literal["inside", "outside"] = "inside"
    """`inside` = AdaTAD; `outside` = AdaTAD dagger: no gradient passes through the backbone."""
    ratio: float = 0.25
    """Bottleneck width over backbone width (1 / gamma of the paper)."""
    kernel: int = 3
    """Temporal kernel in tubelets; odd. Not used by `plain`."""
    last_layers: int | None = None
    """Adapt only this many last blocks; None: all of them inside, the last half outside."""

    def __post_init__(self) -> None:
        """Refuse kernels without a centre and empty bottlenecks."""
        _positive(self, "ratio", "kernel", prefix="model.adapter")
        if self.kernel % 2 == 0:
            raise ValueError(f"model.adapter.kernel is {self.kernel}, expected an odd number of tubelets")
        if self.last_layers is not None and self.last_layers < 1:
            raise ValueError(f"model.adapter.last_layers is {self.last_layers}, expected at least 1 or none")


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
    first_range: int = 4
    """Longest regression distance of level 0, in cells; doubles per level, the last is open."""
    centre_radius: float = 1.5
    """Points within this many strides of an action's centre are its positives."""
    input_dropout: float = 0.0
    """Dropout of whole feature channels before the embedding."""
    path_dropout: float = 0.1
    projection_dropout: float = 0.0
    label_smoothing: float = 0.0
    regression_weight: float = 1.0
    normaliser_init: float = 100.0
    """Start of the running mean of positives per step that divides the losses."""
    position_embedding: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes no head can have."""
        _positive(self, "width", "embed_layers", "levels", "attention_heads", prefix="model.head")
        if self.width % self.attention_heads:
            raise ValueError(
                f"model.head.width {self.width} is not a multiple of attention_heads {self.attention_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How a step is executed, never what it computes (design.md part 6)."""

    keep: Literal["everything", "blocks"] = "blocks"
    """Between forward and backward: every activation, or block inputs only (the rest recomputed)."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Backbone, what of it trains, adapters and head."""

    backbone: VideoMAEConfig
    weights: str = ""
    """Identity of the pretrained weights (a digest, not a path); empty: random initialisation."""
    tuning: Tuning = "adapter"
    """What trains besides the head: nothing (`frozen`), the adapters, or the whole backbone (`full`)."""
    adapter: AdapterConfig | None = None
    head: ActionFormerConfig = ActionFormerConfig()

    def __post_init__(self) -> None:
        """Refuse combinations in which a setting would be ignored."""
        if self.tuning == "adapter" and self.adapter is None:
            raise ValueError("model.tuning is adapter but model.adapter is none, expected an adapter")
        if self.tuning == "frozen" and self.adapter is not None:
            raise ValueError(
                f"model.tuning is frozen but model.adapter is {self.adapter.kind}; set model.adapter=none with it"
            )
        if self.tuning == "full" and self.adapter is not None and self.adapter.placement == "outside":
            raise ValueError(
                "model.tuning is full but model.adapter.placement is outside, where no gradient reaches the backbone"
            )
        if self.adapter and self.adapter.last_layers and self.adapter.last_layers > self.backbone.depth:
            raise ValueError(
                f"model.adapter.last_layers is {self.adapter.last_layers}, "
                f"but {self.backbone.name} has {self.backbone.depth} layers"
            )
