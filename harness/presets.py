"""Named base configs: a published data set's settings, and what a laptop runs; and the arms that studies compare.

Torch-free. A study is a base from here and its axes; what must change together with an axis (the learning rate with
the backbone, what OpenTAD's configs set for one arm only) is paired with it in plain sight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from harness.config import (
    AugmentConfig,
    DataConfig,
    DetectionConfig,
    EvaluationConfig,
    TrainingConfig,
    TrialConfig,
    WindowConfig,
    flatten,
    with_values,
)
from models.config import (
    BACKBONES,
    VIDEOMAE,
    ActionFormerConfig,
    AdapterConfig,
    BackboneConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    HeadConfig,
    RepresentationConfig,
    TriDetConfig,
    VideoMAEConfig,
)

THUMOS_ADAPTER_LR = {"videomae-s": 2e-4}
"""Adapter learning rate on THUMOS14 where it differs from 1e-4 (adatad-facts 7.1)."""

TINY_SIZES: Mapping[str, VideoMAEConfig] = {
    "xs": VideoMAEConfig(name="videomae-xs-tiny", width=48, depth=3, heads=3, mlp_hidden=192, image_size=48),
    "s": VIDEOMAE["videomae-tiny"],
    "m": VideoMAEConfig(name="videomae-m-tiny", width=144, depth=6, heads=3, mlp_hidden=576, image_size=48),
}
"""Backbones of three sizes for a laptop, pretrained there like `videomae-tiny`, which is the middle one."""

TINY_BRIEF = replace(VIDEOMAE["videomae-tiny"], name="videomae-brief-tiny")
"""The middle size after half of its pretraining: what Kinetics alone is to Kinetics and more."""

TINY_HEADS: Mapping[str, HeadConfig] = {
    "gtad": GTADConfig(graph_width=64, map_width=64, map_hidden=32, longest=32, roi_bins=8, context_bins=4),
    "actionformer": ActionFormerConfig(
        width=96, embed_layers=1, stem_layers=1, levels=4, path_dropout=0.0, offset_bias=2.0, normaliser_init=50.0
    ),
    "tridet": TriDetConfig(
        width=96,
        embed_layers=1,
        stem_layers=1,
        levels=4,
        sgp_hidden=192,
        bins=8,
        input_noise=0.0,
        path_dropout=0.0,
        normaliser_init=50.0,
    ),
}
"""The heads of the published tables, for a laptop. Without the bias, one side of the offsets is zero at every point
from the first step on in one trial of twelve, and stays so (results/published/README.md)."""

TIA, WINDOW = AdapterConfig(kind="tia"), RepresentationConfig()
ARMS: Mapping[str, Mapping[str, Any]] = {
    "features": {"model.tuning": "features", "model.adapter": None},
    "snippet_frozen": {"model.tuning": "frozen", "model.adapter": None},
    "snippet_full": {"model.tuning": "full", "model.adapter": None},
    "frozen": {"model.tuning": "frozen", "model.adapter": None, "model.representation": WINDOW},
    "full": {"model.tuning": "full", "model.adapter": None, "model.representation": WINDOW},
    "adatad": {"model.tuning": "adapter", "model.adapter": TIA, "model.representation": WINDOW},
}
"""What the paper compares AdaTAD with, as config paths that change together; those without a representation see
snippets, whose stride is the study's."""

TINY_LONGER: Mapping[str, Any] = {"training.epochs": 24, "training.cosine_epochs": 24}
"""What adapters need on the synthetic videos to be ahead of features: after half the epochs they are behind."""

Axes = dict[str | tuple[str, ...], Sequence[Any]]
"""Axes of a `harness.study.Grid`."""
WHERE = ("model.adapter.placement", "data.window.frames", "data.window.resolution")
Variant = Literal["paper", "opentad"]


class Published(Protocol):
    """What a preset asks of a data set: of a value of `harness.data.datasets`, which lies above this module."""

    @property
    def adapter_last_layers(self) -> Mapping[Any, int]:
        """How many last blocks carry adapters, by variant, where it is not all of them."""
        ...

    def settings(self, variant: Variant = ..., tuning: Any = ..., head: str = ...) -> dict[str, Any]:
        """Return config path -> value."""
        ...

    def adapter_lr(self, backbone: str) -> float:
        """Return the adapters' learning rate with a backbone."""
        ...


def paper(dataset: Published, backbone: str = "videomae-s", variant: Variant = "paper") -> TrialConfig:
    """Return AdaTAD on a data set as the paper has it (adatad-facts 4.4, 6, 7, 8).

    Args:
        dataset: A value of `harness.data.datasets`, such as `THUMOS14`.
        backbone: A name of `models.config.BACKBONES`.
        variant: The paper's settings, or those of OpenTAD's released configs.

    Raises:
        ValueError: there is no such backbone.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone is {backbone}, expected one of {', '.join(BACKBONES)}")
    base = TrialConfig(
        model=DetectorConfig(
            backbone=BACKBONES[backbone],
            adapter=AdapterConfig(kind="tia", last_layers=dataset.adapter_last_layers.get(variant)),
        ),
        engine=EngineConfig(policy="auto"),
    )
    return with_values(base, {**dataset.settings(variant), "training.adapter_lr": dataset.adapter_lr(backbone)})


def synthetic(values: Mapping[str, Any] | None = None, *, quick: bool = False) -> TrialConfig:
    """Return `synthetic_adatad` with some paths changed."""
    return with_values(synthetic_adatad(quick=quick), values or {})


def backbones(dataset: Published, *names: str | BackboneConfig) -> Axes:
    """Return an axis over backbones, each with the adapters' learning rate published for it on a data set."""
    return paired(*(with_backbone(dataset, name) for name in names))


def with_backbone(
    dataset: Published, name: str | BackboneConfig, where: tuple[str, int, int] | None = None
) -> dict[str, Any]:
    """Return a point of an axis: a backbone, its adapters' learning rate published for a data set, and what it sees.

    Args:
        dataset: A value of `harness.data.datasets`.
        name: A name of `models.config.BACKBONES`, or a backbone.
        where: Placement of the adapters, frames per window and resolution, where the axis has these too.
    """
    backbone = BACKBONES[name] if isinstance(name, str) else name
    point = {"model.backbone": backbone, "training.adapter_lr": dataset.adapter_lr(backbone.name)}
    return point if where is None else {**point, **dict(zip(WHERE, where, strict=True))}


def arms(*names: str, snippet_stride: int = 1) -> Axes:
    """Return an axis over `ARMS`; snippets start every `snippet_stride` frames, at 1 there are as many as frames."""
    return paired(*(_arm(name, snippet_stride) for name in names))


def released_arms(dataset: Published, *names: str, snippet_stride: int = 1) -> Axes:
    """Return an axis over `ARMS` in which each has what OpenTAD's released configs set for it, beside the tuning.

    Those differ in augmentation, dropout and suppression too (adatad-facts 12.9): not a controlled comparison.
    """
    settings = {name: _leaves(dataset.settings("opentad", _released_as(name))) for name in names}
    first, *others = settings.values()
    varying = [path for path in first if any(other[path] != first[path] for other in others)]
    return paired(
        *({**_arm(name, snippet_stride), **{path: settings[name][path] for path in varying}} for name in names)
    )


def paired(*points: Mapping[str, Any]) -> Axes:
    """Return an axis of paths that change together: one mapping of paths to values for each of its points.

    Raises:
        ValueError: the points do not all have the same paths.
    """
    paths = tuple(points[0])
    for point in points:
        if set(point) != set(paths):
            raise ValueError(f"a point of an axis has {', '.join(point)}, expected {', '.join(paths)}")
    return {paths: tuple(tuple(point[path] for path in paths) for point in points)}


def _leaves(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's settings with the single fields of the head in place of the whole."""
    head = settings.get("model.head")
    below = {path: value for path, value in settings.items() if path != "model.head"}
    return {**below, **(flatten(head, "model.head.") if head is not None else {})}


def _arm(name: str, snippet_stride: int) -> dict[str, Any]:
    snippets = RepresentationConfig(kind="snippet", snippet_stride=snippet_stride)
    return {"model.representation": snippets, **ARMS[name]}


def _released_as(name: str) -> str:
    """Return the arm of OpenTAD's configs: features are those of a frozen backbone."""
    tuning = ARMS[name]["model.tuning"]
    return "frozen" if tuning == "features" else tuning


def synthetic_adatad(*, quick: bool = False) -> TrialConfig:
    """Return AdaTAD with a tiny backbone on the synthetic videos (harness.data.synthetic).

    The schedule is a few hundred steps instead of several thousand, so the learning rates are higher, the average
    forgets faster and the loss normaliser starts near the number of positives of a small window. No flips: left and
    right are classes. Nor colour jitter: the videos are grey and equally bright.
    """
    epochs = 6 if quick else 12
    return TrialConfig(
        data=DataConfig(
            name="synthetic",
            num_classes=8,
            window=WindowConfig(frames=64, span=256, features=64, resolution=48),
            test_overlap=0.25,
            augment=AugmentConfig(crop_area=(0.7, 1.0), flip=0.0, jitter=0.0, hue=0.0),
        ),
        model=DetectorConfig(
            backbone=VIDEOMAE["videomae-tiny"],
            tuning="adapter",
            adapter=AdapterConfig(kind="tia"),
            head=TINY_HEADS["actionformer"],
        ),
        # Every activation of a tiny network fits; recomputing would only cost time.
        engine=EngineConfig(keep="everything"),
        training=TrainingConfig(
            epochs=epochs,
            cosine_epochs=epochs,
            warmup_epochs=1,
            batch_size=2,
            head_lr=4e-3,
            adapter_lr=2e-3,
            ema_decay=0.98,
            precision="fp32",
        ),
        detection=DetectionConfig(pre_nms=500, nms_sigma=0.5, nms_min_score=0.001, max_detections=200),
    )


def thumos_adatad(backbone: str = "videomae-s") -> TrialConfig:
    """Return the published AdaTAD setting on THUMOS14 (adatad-facts 4.4, 6, 7, 8).

    Args:
        backbone: a name of `models.config.VIDEOMAE`.

    Raises:
        ValueError: there is no such backbone.
    """
    if backbone not in VIDEOMAE:
        raise ValueError(f"backbone is {backbone}, expected one of {', '.join(VIDEOMAE)}")
    return TrialConfig(
        data=DataConfig(
            name="thumos14",
            num_classes=20,
            # 768 frames at stride 4 and one feature cell per frame.
            window=WindowConfig(frames=768, span=3072, features=768, resolution=160),
            min_kept=0.75,
            min_crop=0.9,
            test_overlap=0.5,
        ),
        model=DetectorConfig(
            backbone=VIDEOMAE[backbone],
            tuning="adapter",
            adapter=AdapterConfig(kind="tia", ratio=0.25, kernel=3),
            head=ActionFormerConfig(width=512, embed_layers=2, stem_layers=2, levels=6, normaliser_init=100.0),
        ),
        training=TrainingConfig(
            epochs=60,
            cosine_epochs=100,
            warmup_epochs=5,
            batch_size=2,
            head_lr=1e-4,
            adapter_lr=THUMOS_ADAPTER_LR.get(backbone, 1e-4),
            weight_decay=0.05,
            clip_norm=1.0,
            ema_decay=0.999,
        ),
        detection=DetectionConfig(min_score=0.001, pre_nms=2000, nms="gaussian", nms_sigma=0.7, max_detections=2000),
        evaluation=EvaluationConfig(tious=(0.3, 0.4, 0.5, 0.6, 0.7)),
    )
