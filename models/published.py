"""The heads' published settings per data set (adatad-facts 4.4 and 5; no torch).

ActionFormer's are those of the AdaTAD configs in OpenTAD. No AdaTAD config with TriDet or G-TAD was ever released, so
theirs are OpenTAD's feature-based ones. `input_dropout` is that of the adapter runs; the frozen and dagger runs of
THUMOS14 had 0.2 and 0.1, and ActivityNet's full fine-tuning 0.2: their tables compare arms that differ in more than
the tuning (adatad-facts 12.9).
"""

from dataclasses import replace

from models.config import ActionFormerConfig, GTADConfig, TriDetConfig

_EPIC_VERB = ActionFormerConfig(
    attention_window=9, overlapping_ranges=True, input_dropout=0.2, regression_weight=0.5, normaliser_init=250.0
)

ACTIONFORMER = {
    "thumos14": ActionFormerConfig(),
    "activitynet": ActionFormerConfig(
        width=256, position_embedding=True, label_smoothing=0.1, regression_weight=2.0, normaliser_init=200.0
    ),
    "epic_noun": replace(_EPIC_VERB, label_smoothing=0.1),
    "epic_verb": _EPIC_VERB,
    "ego4d": ActionFormerConfig(
        levels=10,
        attention_window=17,
        full_attention_levels=3,
        overlapping_ranges=True,
        share_similar=False,
        input_dropout=0.2,
        projection_dropout=0.1,
        position_embedding=True,
    ),
    "multithumos": ActionFormerConfig(embed_layers=3, stem_layers=0),
    "charades": ActionFormerConfig(levels=8, input_dropout=0.3, position_embedding=True),
}
"""ActionFormer by data set."""

ACTIONFORMER_CLASSES = ActionFormerConfig(
    position_embedding=True, label_smoothing=0.1, regression_weight=1.0, normaliser_init=200.0
)
"""ActivityNet with its 200 classes in the head instead of an external classifier."""

TRIDET = {
    "thumos14": TriDetConfig(input_noise=5e-4),
    "activitynet": TriDetConfig(
        width=256,
        head_width=512,
        sgp_window=15,
        sgp_ratio=1.3,
        sgp_hidden=2048,
        sgp_init=0.2,
        bins=12,
        iou_power=1.0,
        input_noise=0.5,
        label_smoothing=0.1,
        normaliser_init=400.0,
        position_embedding=True,
    ),
    "epic_noun": TriDetConfig(
        sgp_ratio=4.0,
        sgp_hidden=1024,
        overlapping_ranges=True,
        iou_power=0.25,
        label_smoothing=0.1,
        normaliser_init=250.0,
    ),
    "epic_verb": TriDetConfig(
        sgp_window=5,
        sgp_ratio=2.0,
        sgp_hidden=1024,
        overlapping_ranges=True,
        iou_power=0.25,
        normaliser_init=250.0,
    ),
}
"""TriDet by data set."""

GTAD = {
    "thumos14": GTADConfig(class_agnostic=True),
    "activitynet": GTADConfig(longest=100, roi_bins=32, context_bins=4, map_kernel=1, class_agnostic=True),
}
"""G-TAD by data set; 256 feature cells per window for THUMOS14, 100 for ActivityNet."""
