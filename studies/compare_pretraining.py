"""Pretraining of VideoMAE-L on Kinetics alone and on EPIC-Kitchens too: features and AdaTAD (paper Table 8).

    python studies/compare_pretraining.py --preset paper --on epic_noun --dry-run --device h100-80gb
    python studies/compare_pretraining.py --on epic_noun --data-root DIR --weights DIR         # 4 trials
    python studies/compare_pretraining.py                                                      # 12 trials, a laptop

`--weights DIR` holds two files for the one network: videomae-l.pth (Kinetics-400) and videomae-l-epic.pth (fine-tuned
on EPIC-Kitchens' nouns after it). The paper reaches 29.3 mAP with the second and AdaTAD. Expect AdaTAD to close much of
the gap that the pretraining leaves between the features. One window is 6,144 frames; the paper needed 48.5 GiB for it.
The tiny preset compares half of a pretraining with the whole of it.
"""

from dataclasses import replace

from harness import presets
from harness.cli.study import main
from harness.data.datasets import EPIC_NOUN, SYNTHETIC
from harness.study import Grid, Study
from models.config import BACKBONES

ON_EPIC = replace(BACKBONES["videomae-l"], name="videomae-l-epic")

STUDY = Study(
    name="compare_pretraining",
    title="Pretraining on Kinetics and on EPIC-Kitchens (paper Table 8)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={
                **presets.backbones(SYNTHETIC, presets.TINY_BRIEF, presets.TINY_SIZES["s"]),
                **presets.arms("features", "adatad", snippet_stride=4),
            },
            seeds=(0, 1, 2),
        ),
        "paper": Grid(
            base=presets.paper(EPIC_NOUN, "videomae-l"),
            axes={
                **presets.backbones(EPIC_NOUN, "videomae-l", ON_EPIC),
                **presets.arms("features", "adatad", snippet_stride=8),
            },
        ),
    },
    x="model.backbone",
    by="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
