"""G-TAD, ActionFormer and TriDet on features and with AdaTAD (paper Table 15).

    python studies/compare_heads.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/compare_heads.py --on thumos14 --data-root DIR --weights DIR                # 6 trials
    python studies/compare_heads.py                                                            # 18 trials, a laptop

The paper (VideoMAE-L, THUMOS14), features and AdaTAD: G-TAD 50.8 and 55.5, ActionFormer 66.5 and 73.5, TriDet 68.8 and
74.1. Expect every head to gain. G-TAD's map tells all classes apart here, so that no external classifier is needed;
TriDet's and G-TAD's other settings are those of OpenTAD's feature-based configs, as no others were released.
The tiny preset, of 24 epochs, takes 8 minutes on two cores, 4 within the suite.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

ARMS = ("features", "adatad")
HEADS = tuple(THUMOS14.settings(head=kind)["model.head"] for kind in ("gtad", "actionformer", "tridet"))

STUDY = Study(
    name="compare_heads",
    title="Detection heads on features and with AdaTAD (paper Table 15)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(presets.TINY_LONGER),
            axes={"model.head": tuple(presets.TINY_HEADS.values()), **presets.arms(*ARMS, snippet_stride=4)},
            seeds=(0, 1, 2),
        ),
        "paper": Grid(base=presets.paper(THUMOS14, "videomae-l"), axes={"model.head": HEADS, **presets.arms(*ARMS)}),
    },
    x="model.head",
    by="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
