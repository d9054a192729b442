"""Offline features, full fine-tuning of snippets and of frames, AdaTAD: five backbones (paper Tables 4 and 12).

    python studies/compare_tuning.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/compare_tuning.py --on thumos14 --data-root DIR --weights DIR               # 20 trials
    python studies/compare_tuning.py                                                           # 12 trials, a laptop

The paper (THUMOS14), features, fine-tuned frames, AdaTAD: S 57.6, 67.1, 68.8; B 64.7, 70.1, 71.5; L 66.5, 73.0, 73.5.
Expect AdaTAD to be level with full fine-tuning or better, for less memory. `--preset opentad` also gives each arm the
augmentation, dropout and suppression of OpenTAD's config for it, which is not a controlled comparison.
Adapters need a longer schedule than the other tiny studies have: 24 epochs. It took 7 minutes on two cores.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

ARMS = ("features", "snippet_full", "full", "adatad")
BACKBONES = presets.backbones(THUMOS14, "videomae-s", "videomae-b", "videomae-l", "videoswin-b", "slowfast-r50")

STUDY = Study(
    name="compare_tuning",
    title="Features, full fine-tuning, AdaTAD (paper Tables 4 and 12)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(presets.TINY_LONGER),
            axes=presets.arms(*ARMS, snippet_stride=4),
            seeds=(0, 1, 2),
        ),
        "paper": Grid(base=presets.paper(THUMOS14), axes={**BACKBONES, **presets.arms(*ARMS)}),
        "opentad": Grid(
            base=presets.paper(THUMOS14, variant="opentad"),
            axes={**BACKBONES, **presets.released_arms(THUMOS14, *ARMS)},
        ),
    },
    x="model.tuning",
    by="model.representation",
)

if __name__ == "__main__":
    main(STUDY)
