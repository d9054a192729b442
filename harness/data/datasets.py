"""The data sets of the paper and its code as values: everything that their configs set (adatad-facts 4.4, 6, 7, 8).

    spec = dataset_of("epic-verb")                              # any spelling that `tadscale evaluate --on` takes too
    with_values(config, spec.settings("opentad", tuning="frozen"))

No result hangs on a name: a data set is the settings below, and each of them is a config path that `--set` can change.
All were compared with OpenTAD's config files (tests/harness/data/opentad_settings.json). What those set and no config
here does: which epochs are evaluated (the last one here, the best of many in the published tables), the short side that
frames have before the crop, and EPIC-Kitchens' filter of actions shorter than a frame, of which there are none.
"""

import re
from dataclasses import replace

from harness.config import (
    AugmentConfig,
    DataConfig,
    DetectionConfig,
    EvaluationConfig,
    TrainingConfig,
    WindowConfig,
    flatten,
)
from harness.data.spec import Arm, DatasetSpec, Task, Variant
from harness.presets import TINY_HEADS
from models.config import HeadConfig
from models.published import ACTIONFORMER, ACTIONFORMER_CLASSES, GTAD, TRIDET

__all__ = ["DATASETS", "THUMOS14_CLASSES", "Arm", "DatasetSpec", "Task", "Variant", "dataset_of"]

THUMOS14_CLASSES = (
    "BaseballPitch",
    "BasketballDunk",
    "Billiards",
    "CleanAndJerk",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "Diving",
    "FrisbeeCatch",
    "GolfSwing",
    "HammerThrow",
    "HighJump",
    "JavelinThrow",
    "LongJump",
    "PoleVault",
    "Shotput",
    "SoccerPenalty",
    "TennisSwing",
    "ThrowDiscus",
    "VolleyballSpiking",
)
"""In OpenTAD's order; its annotation file has `Ambiguous` besides, which is no class."""

PUBLISHED = AugmentConfig(operators=2)
"""Random crop, flip, two of ImgAug's operators and colour jitter (adatad-facts 6.4): the same on every data set."""
CENTRE_VIEW = AugmentConfig(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=0.0, jitter=0.0, hue=0.0)
"""No augmentation: the largest centred square, as in tests."""
UNTOUCHED = flatten(CENTRE_VIEW, "data.augment.")

LOW, TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HALF_UP = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def _heads(name: str) -> dict[str, HeadConfig]:
    return {head[name].kind: head[name] for head in (ACTIONFORMER, TRIDET, GTAD) if name in head}


THUMOS14 = DatasetSpec(
    name="thumos14",
    title="THUMOS14",
    num_train_videos=200,
    aliases=("thumos",),
    classes=THUMOS14_CLASSES,
    # OpenTAD calls the official validation set training, and the official test set validation.
    subset_names=(
        ("training", "validation"),
        ("validation", "test"),
        ("validation", "testing"),
        ("val", "test"),
        ("train", "test"),
    ),
    data=DataConfig(
        name="thumos14",
        augment=PUBLISHED,
        num_classes=20,
        # Wrongly annotated, and without an action of the 20 classes: 211 of the 213 test videos remain.
        blocked=("video_test_0000270", "video_test_0001292"),
        # Frame stride 4 and one feature cell per frame.
        window=WindowConfig(frames=768, span=3072, features=768, resolution=160),
    ),
    training=TrainingConfig(epochs=60, cosine_epochs=100, batch_size=2, head_lr=1e-4, adapter_lr=1e-4),
    detection=DetectionConfig(min_score=0.001, pre_nms=2000, nms_sigma=0.7, max_detections=2000),
    evaluation=EvaluationConfig(tious=(0.3, 0.4, 0.5, 0.6, 0.7)),
    heads=_heads("thumos14"),
    adapter_lrs={"videomae-s": 2e-4},
    opentad_arms={
        "outside": {"model.head.input_dropout": 0.1},
        "frozen": {
            **UNTOUCHED,
            "model.head.input_dropout": 0.2,
            "detection.nms_sigma": 0.5,
            "detection.nms_min_score": 0.001,
        },
    },
    note="The run at 1536 frames and 224 x 224 pixels has adapter rate 2e-4 and adapters in the last 20 blocks only.",
)

ACTIVITYNET = DatasetSpec(
    name="activitynet",
    title="ActivityNet-1.3",
    num_train_videos=10_024,
    aliases=("activitynet13", "anet", "anet13"),
    block_files=("blocked.json", "missing_files.txt"),
    data=DataConfig(
        name="activitynet",
        augment=PUBLISHED,
        num_classes=200,
        window=WindowConfig(mode="resize", frames=768, span=0, features=192, resolution=160),
        shortest_share=0.01,
    ),
    training=TrainingConfig(epochs=15, cosine_epochs=15, batch_size=16, head_lr=1e-3, adapter_lr=1e-4),
    # A single class knows no threshold and no top k: every point of a video goes on to suppression.
    detection=DetectionConfig(
        min_score=0.0,
        nms_sigma=0.7,
        nms_min_score=0.001,
        max_detections=100,
        class_agnostic=True,
        voting_iou=0.9,
        external="cuhk",
    ),
    evaluation=EvaluationConfig(tious=HALF_UP),
    heads=_heads("activitynet"),
    opentad_arms={
        "frozen": {**UNTOUCHED, "model.head.input_dropout": 0.2},
        "full": {"model.head.input_dropout": 0.2},
    },
    without_external={
        **flatten(DetectionConfig(nms_sigma=0.75, nms_min_score=0.001, max_detections=100), "detection."),
        "model.head": ACTIONFORMER_CLASSES,
    },
    note="With --class-scores (CUHK's file) it is the paper's setting: a head with one class, whose segments the "
    "scores name. Without, the head tells the 200 classes apart, as OpenTAD's `adapter_cls` config does, at "
    "224 x 224 pixels, adapter rate 8e-5 and a cosine of 20 epochs (39.15 mAP with VideoMAE-L).",
)

EPIC_VERB = DatasetSpec(
    name="epic_verb",
    title="EPIC-Kitchens-100, verbs",
    num_train_videos=495,
    aliases=("epic100-verb", "epic-kitchens-100-verb"),
    task="verb",
    subset_names=(("train", "val"), ("train", "validation"), ("training", "validation")),
    data=DataConfig(
        name="epic_verb",
        augment=PUBLISHED,
        num_classes=97,
        train_subset="train",
        test_subset="val",
        # Frame stride 2 and eight frames per feature cell, of videos at 30 frames per second.
        window=WindowConfig(frames=6144, span=12288, features=768, resolution=160),
        min_kept=0.3,
    ),
    training=TrainingConfig(epochs=35, cosine_epochs=250, batch_size=2, head_lr=1e-4, adapter_lr=8e-5),
    detection=DetectionConfig(min_score=0.001, pre_nms=5000, nms_sigma=0.4, nms_min_score=0.001, max_detections=2000),
    evaluation=EvaluationConfig(tious=LOW),
    heads=_heads("epic_verb"),
    note="The published backbone is a VideoMAE-L that was fine-tuned on EPIC-Kitchens' verbs (InternVideo).",
)

EPIC_NOUN = replace(
    EPIC_VERB,
    name="epic_noun",
    title="EPIC-Kitchens-100, nouns",
    aliases=("epic100-noun", "epic-kitchens-100-noun"),
    task="noun",
    data=replace(EPIC_VERB.data, name="epic_noun", num_classes=293),
    heads=_heads("epic_noun"),
    note="Of the 300 nouns 7 have no instance in OpenTAD's files, which leaves 293. The published backbone is a "
    "VideoMAE-L that was fine-tuned on EPIC-Kitchens' nouns (InternVideo).",
)

EGO4D = DatasetSpec(
    name="ego4d",
    title="Ego4D Moment Queries",
    num_train_videos=1_486,  # by its authors' count, not seen in files here
    aliases=("ego4d-mq",),
    subset_names=(("train", "val"), ("training", "validation")),
    data=DataConfig(
        name="ego4d",
        augment=PUBLISHED,
        num_classes=110,
        train_subset="train",
        test_subset="val",
        # A clip of eight minutes at 30 frames per second is one window.
        window=WindowConfig(frames=7200, span=14400, features=900, resolution=160),
        min_kept=0.3,
        test_overlap=0.0,
    ),
    training=TrainingConfig(epochs=15, cosine_epochs=25, batch_size=2, head_lr=1e-4, adapter_lr=4e-4),
    detection=DetectionConfig(min_score=0.001, pre_nms=5000, nms_sigma=2.0, nms_min_score=0.001, max_detections=2000),
    evaluation=EvaluationConfig(tious=LOW),
    heads=_heads("ego4d"),
    adapter_last_layers={"opentad": 12},
    opentad={"data.window.features": 1800, "data.window.resolution": 192, "training.epochs": 20},
    note="The released run has 1800 cells at 192 x 192 pixels and adapters in the last 12 blocks of VideoMAE-L "
    "(InternVideo, fine-tuned on Ego4D); the paper says 900 cells at 160 x 160.",
)

MULTITHUMOS = replace(
    THUMOS14,
    name="multithumos",
    title="MultiTHUMOS",
    num_train_videos=200,
    aliases=(),
    classes=(),
    data=replace(THUMOS14.data, name="multithumos", num_classes=65, blocked=()),
    training=replace(THUMOS14.training, epochs=80),
    detection=DetectionConfig(min_score=0.001, pre_nms=8000, nms_sigma=0.5, max_detections=8000),
    evaluation=EvaluationConfig(tious=TENTHS),
    heads=_heads("multithumos"),
    adapter_lrs={"videomae-s": 4e-4, "videomae-b": 4e-4, "videomae-l": 4e-4},
    opentad_arms={},
    note="",
)

CHARADES = DatasetSpec(
    name="charades",
    title="Charades",
    num_train_videos=7_985,  # by its authors' count, not seen in files here
    subset_names=(("training", "testing"), ("training", "validation"), ("train", "test")),
    data=DataConfig(
        name="charades",
        augment=PUBLISHED,
        num_classes=157,
        test_subset="testing",
        window=WindowConfig(frames=512, span=2048, features=512, resolution=160),
        min_kept=0.5,
    ),
    training=TrainingConfig(epochs=20, cosine_epochs=20, batch_size=16, head_lr=1e-4, adapter_lr=1e-4),
    detection=DetectionConfig(min_score=0.001, pre_nms=2000, nms_sigma=0.3, max_detections=1000),
    evaluation=EvaluationConfig(tious=TENTHS),
    heads=_heads("charades"),
    adapter_lrs={"videomae-s": 4e-4, "videomae-b": 4e-4, "videomae-l": 2e-4, "videomae-g": 8e-5},
)

CUSTOM = replace(
    THUMOS14,
    name="custom",
    title="your own videos",
    num_train_videos=None,
    aliases=(),
    classes=(),
    subset_names=(("training", "validation"), ("train", "val"), ("train", "validation"), ("train", "test")),
    data=replace(THUMOS14.data, name="custom", blocked=()),
    note="The settings are THUMOS14's; the classes are those of classes.txt, or else of the annotations.",
)

SYNTHETIC = DatasetSpec(
    name="synthetic",
    title="synthetic videos",
    num_train_videos=40,
    data=DataConfig(
        name="synthetic",
        num_classes=8,
        window=WindowConfig(frames=64, span=256, features=64, resolution=48),
        test_overlap=0.25,
        # No flips: left and right are classes. No colour: the videos are grey and equally bright.
        augment=AugmentConfig(crop_area=(0.7, 1.0), flip=0.0, jitter=0.0, hue=0.0),
    ),
    training=TrainingConfig(
        epochs=12, cosine_epochs=12, warmup_epochs=1, batch_size=2, head_lr=4e-3, adapter_lr=2e-3, ema_decay=0.98
    ),
    detection=DetectionConfig(pre_nms=500, nms_sigma=0.5, nms_min_score=0.001, max_detections=200),
    evaluation=EvaluationConfig(),
    heads={"actionformer": TINY_HEADS["actionformer"]},
    note="Written by harness.data.synthetic; a few hundred steps instead of several thousand, so rates are higher.",
)

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        SYNTHETIC,
        CUSTOM,
        THUMOS14,
        ACTIVITYNET,
        EPIC_VERB,
        EPIC_NOUN,
        EGO4D,
        MULTITHUMOS,
        CHARADES,
    )
}
"""Every data set by the name it has in `data.name`."""


def dataset_of(name: str) -> DatasetSpec:
    """Return a data set, however its name is spelled.

    Raises:
        ValueError: there is no such data set.
    """
    known = {_plain(spelling): spec for spec in DATASETS.values() for spelling in (spec.name, *spec.aliases)}
    if _plain(name) not in known:
        raise ValueError(f"there is no data set {name}, expected one of {', '.join(DATASETS)}")
    return known[_plain(name)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
