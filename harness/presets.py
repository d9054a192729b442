"""Named base configs: the published settings, and the one that a laptop runs. Torch-free."""

from harness.config import (
    AugmentConfig,
    DataConfig,
    DetectionConfig,
    EvaluationConfig,
    TrainingConfig,
    TrialConfig,
    WindowConfig,
)
from models.config import VIDEOMAE, ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig

THUMOS_ADAPTER_LR = {"videomae-s": 2e-4}
"""Adapter learning rate on THUMOS14 where it differs from 1e-4 (adatad-facts 7.1)."""


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
            head=ActionFormerConfig(
                width=96, embed_layers=1, stem_layers=1, levels=4, path_dropout=0.0, normaliser_init=50.0
            ),
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
