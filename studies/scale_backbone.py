"""Backbones from SlowFast-R50 to VideoMAEv2-g against mAP and memory (paper Table 2 and Figure 1).

    python studies/scale_backbone.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/scale_backbone.py --on thumos14 --data-root DIR --weights DIR               # 7 trials
    python studies/scale_backbone.py --preset activitynet --on activitynet ... --class-scores CUHK.json
    python studies/scale_backbone.py                                                           # 15 trials, a laptop

The paper: 66.0 (SlowFast-R50), 68.8, 71.5, 73.5, 74.4, 74.8 (VideoMAE S, B, L, H, g) on THUMOS14 with adapters inside
at 768 frames and 160 x 160, and 75.4 with adapters beside g at 1536 frames and 224 x 224; 37.85 to 39.79 on
ActivityNet. Expect every size to help, and less each time. The tiny preset has three sizes of one transformer, a
convolutional network, and the largest again with more of everything. 4 minutes on two cores within the suite.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import ACTIVITYNET, SYNTHETIC, THUMOS14
from harness.study import Grid, Study

NAMES = ("slowfast-r50", "videomae-s", "videomae-b", "videomae-l", "videomae-h", "videomae-g")
TINY = ("slowfast-tiny", *presets.TINY_SIZES.values())
SMALL, LARGE = ("inside", 768, 160), ("outside", 1536, 224)
TINY_SMALL, TINY_LARGE = ("inside", 64, 48), ("outside", 128, 48)

PAPER = {
    data.name: Grid(
        base=presets.paper(data),
        axes=presets.paired(
            *(presets.with_backbone(data, name, SMALL) for name in NAMES),
            presets.with_backbone(data, NAMES[-1], LARGE),
        ),
    )
    for data in (THUMOS14, ACTIVITYNET)
}

STUDY = Study(
    name="scale_backbone",
    title="Backbones against mAP and memory (paper Table 2, Figure 1)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes=presets.paired(
                *(presets.with_backbone(SYNTHETIC, each, TINY_SMALL) for each in TINY),
                presets.with_backbone(SYNTHETIC, TINY[-1], TINY_LARGE),
            ),
            seeds=(0, 1, 2),
        ),
        "paper": PAPER["thumos14"],
        "activitynet": PAPER["activitynet"],
    },
    x="model.backbone",
    by="model.adapter.placement",
)

if __name__ == "__main__":
    main(STUDY)
