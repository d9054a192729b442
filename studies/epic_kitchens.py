"""EPIC-Kitchens-100: features against AdaTAD, verbs and nouns (paper Table 3).

    python studies/epic_kitchens.py --preset paper --on epic_verb --dry-run --device h100-80gb
    python studies/epic_kitchens.py --on epic_verb --data-root DIR --weights DIR               # 4 trials
    python studies/epic_kitchens.py --on epic_noun --data-root DIR --weights DIR               # 4 trials
    python studies/epic_kitchens.py                                                            # 12 trials, a laptop

A window is 6,144 frames. The published VideoMAE-L was fine-tuned on EPIC-Kitchens' verbs or nouns (a file for each) and
reaches 29.3 mAP on either with AdaTAD, for 48.5 GiB; OpenTAD's own runs 29.69 (verbs) and 29.44 (nouns), against
24.93 and 22.33 of ActionFormer on SlowFast features. Expect AdaTAD to win by several points.
The tiny preset asks the same of the tiny backbones on synthetic videos, in about 3 minutes on two cores.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import EPIC_VERB, SYNTHETIC
from harness.study import Grid, Study

ARMS = ("features", "adatad")

STUDY = Study(
    name="epic_kitchens",
    title="EPIC-Kitchens: features against AdaTAD (paper Table 3)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={
                **presets.backbones(SYNTHETIC, "slowfast-tiny", "videomae-tiny"),
                **presets.arms(*ARMS, snippet_stride=4),
            },
            seeds=(0, 1, 2),
        ),
        "paper": Grid(
            base=presets.paper(EPIC_VERB, "videomae-l"),
            axes={
                **presets.backbones(EPIC_VERB, "slowfast-r50", "videomae-l"),
                **presets.arms(*ARMS, snippet_stride=8),
            },
        ),
    },
    x="model.backbone",
    by="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
