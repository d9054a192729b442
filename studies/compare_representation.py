"""Snippets against frames, frozen against fully fine-tuned (paper Table 1).

    python studies/compare_representation.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/compare_representation.py --on thumos14 --data-root DIR --weights DIR       # 8 trials
    python studies/compare_representation.py                                                   # 12 trials, a laptop

Both representations see the same frames of a window: 768 snippets of 16 frames, each encoded alone, or one input of
768 frames. The paper (VideoMAE-S, THUMOS14): 57.6 mAP with frozen snippets, 68.4 with fine-tuned ones for 24.6 GiB, and
67.1 with fine-tuned frames for 2.8 GiB. Expect snippets to cost an order of magnitude more memory for about a point.
On two cores the tiny preset takes 4 minutes within the suite.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

ARMS = ("snippet_frozen", "snippet_full", "frozen", "full")

STUDY = Study(
    name="compare_representation",
    title="Snippets against frames, frozen and fine-tuned (paper Table 1)",
    presets={
        "tiny": Grid(base=presets.synthetic(), axes=presets.arms(*ARMS, snippet_stride=4), seeds=(0, 1, 2)),
        "paper": Grid(
            base=presets.paper(THUMOS14, "videomae-s"),
            axes={**presets.backbones(THUMOS14, "slowfast-r101", "videomae-s"), **presets.arms(*ARMS)},
        ),
        "opentad": Grid(
            base=presets.paper(THUMOS14, "videomae-s", "opentad"),
            axes={
                **presets.backbones(THUMOS14, "slowfast-r101", "videomae-s"),
                **presets.released_arms(THUMOS14, *ARMS),
            },
        ),
    },
    x="model.representation",
    by="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
